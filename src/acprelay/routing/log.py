"""The public log: what an agent says for everybody to see, in the order of its pipe.

A log holds WebSocket frames, ready to be written. An entry is one frame and has a sequence number,
which stands in its stamp; the first is 1. A reader's place is the number of the last entry it has
had, so 0 is the start and `head` the end. The numbers go on for as long as the conversation lives;
a *generation* is a stretch of them that one writer has written without a break. What a client
remembers is a `Position`, since the same number may mean another entry after a crash that cost
the end of a generation.

A log knows no client, no socket and no agent. It may forget its oldest entries, and then says so:
reading them raises `CursorExpired`.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol, Self, TypeAlias

from acprelay.errors import InvalidParams

_POSITION = re.compile("([A-Za-z0-9_-]{1,64}):([0-9]{1,18})")


class Position(NamedTuple):
    """A place in a log, as clients write it: `generation:seq`."""

    generation: str
    seq: int

    def __str__(self) -> str:
        return f"{self.generation}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `generation:seq`.

        Raises:
            InvalidParams: It is something else.
        """
        found = _POSITION.fullmatch(text)
        if found is None:
            raise InvalidParams(
                f"cannot read position {text[:80]!r}",
                hint="a position is generation:seq, as updates carry them in _meta.acprelay",
            )
        return cls(found[1], int(found[2]))


Slice: TypeAlias = tuple[list[bytes], int]
"""What a reader gets: bytes for the wire, in order, which are whole WebSocket text frames; and the
reader's place once it has had them."""


class PublicLog(Protocol):
    """An append-only sequence of entries, read by place. All calls are synchronous."""

    @property
    def generation(self) -> str:
        """The generation that is being written."""
        ...

    @property
    def head(self) -> int:
        """The number of the last entry; 0 before there is one."""
        ...

    @property
    def start(self) -> int:
        """The oldest place that can be read from: entries after it are there."""
        ...

    @property
    def is_congested(self) -> bool:
        """Whether so much waits to be stored that no more should be appended for the moment.

        Whoever opened the log is told when that is over.
        """
        ...

    def append(self, blob: bytes, count: int) -> None:
        """Adds `count` entries, which are the WebSocket frames in `blob`; never blocks."""
        ...

    def read(self, after: int, *, upto: int, limit: int) -> Slice:
        """Gives entries in order.

        Args:
            after: The place to read from, any from `start` to `head`.
            upto: The last entry to give, at most `head`.
            limit: Bytes to give at most, except that one entry is always given where there is one.

        Raises:
            CursorExpired: What follows the place is forgotten: giving the rest would be a silent
                gap.
        """
        ...

    def locate(self, position: Position) -> int:
        """Finds the place that a client remembers.

        Raises:
            CursorExpired: The log no longer reaches it, or never did: its generation is unknown, or
                ended before it.
        """
        ...

    def position(self, place: int) -> Position:
        """What a client is to remember of a place from `start` to `head`."""
        ...
