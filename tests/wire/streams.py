"""What the tests of streams have in common."""

from __future__ import annotations

from typing import NamedTuple

from acprelay.wire import UpdateStream

GENERATION = "g1"
PUBLIC_ID = "group:main"


class Taken(NamedTuple):
    """Frames that came the short way."""

    blob: bytes
    count: int  # type: ignore[assignment]  # hides tuple's method


def short_way(stream: UpdateStream, lines: list[bytes], start: int, seq: int) -> Taken:
    """Takes lines from one on, as far as the stream takes them; numbers them from `seq` on."""
    parts, count, _ = stream.rewrite([line + b"\n" for line in lines], start, seq)
    return Taken(b"".join(parts), count)
