"""What kind of update an agent's `session/update` brings (ACP, "Prompt Turn").

This module knows one member of an update, and what no kind means.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from acprelay.wire.envelope import Envelope
from acprelay.wire.objects import mend


class _Update(msgspec.Struct, rename="camel"):
    session_update: str | None = None


_decode = msgspec.json.Decoder(_Update).decode
_decode_all = msgspec.json.Decoder(list[_Update]).decode


def update_kind(envelope: Envelope) -> str | None:
    """Reads `params.update.sessionUpdate` of a `session/update`; whatever an agent wrote there.

    Returns:
        None where there is none, it is no string, or the message is another one. Of several the
        last, as JSON's readers have it.
    """
    if envelope.method != "session/update":
        return None
    update = envelope.member("params", "update")
    if update is None:
        return None
    return kind_of(mend(update))


def kind_of(update: bytes | memoryview) -> str | None:
    """Reads the kind of a raw update that `msgspec` can read; None where it has none."""
    try:
        return _decode(update).session_update
    except (msgspec.DecodeError, RecursionError):
        return None


def kinds_of(updates: Sequence[bytes | memoryview]) -> list[str | None]:
    """Reads the kinds of raw updates, each of which is one JSON value, as `kind_of` does."""
    if len(updates) == 1:  # it may have megabytes, which need no copy
        return [kind_of(updates[0])]
    try:
        return [update.session_update for update in _decode_all(b"[%b]" % b",".join(updates))]
    except (msgspec.DecodeError, RecursionError):  # not all of them are what they should be
        return list(map(kind_of, updates))
