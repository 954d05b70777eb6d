"""The public log: what an agent says for everybody to see, in the order of its pipe.

A log holds WebSocket frames, ready to be written, in runs: one run per batch of the agent's output.
An entry is one frame and has a sequence number; the first is 1. A reader's position is the number
of the last entry it has had, so 0 is the start and `head` the end.

The log knows no client, no socket and no agent. It forgets its oldest runs beyond a budget of
bytes, but never one that its owner says is still to be read.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

from acprelay.errors import LocalProtocolError

_last = attrgetter("last")


class Run(NamedTuple):
    """Entries that were appended together.

    Attributes:
        last: The sequence number of its last entry.
        end: How many bytes the log has been given up to and with this run.
        blob: The entries, as WebSocket text frames one after another.
        hidden_from: The attachment that does not get these entries, if any.
    """

    last: int
    end: int
    blob: bytes
    hidden_from: str | None


class Slice(NamedTuple):
    """What a reader gets.

    Attributes:
        blobs: Bytes for the wire, in order.
        cursor: The reader's position once it has had them.
    """

    blobs: list[bytes]
    cursor: int


class PublicLog:
    """An append-only sequence of entries, bounded by bytes, read by position.

    Args:
        generation: Names this sequence: a position means nothing in another generation.
        history_bytes: How much stays readable behind the slowest reader.
    """

    def __init__(self, *, generation: str, history_bytes: int) -> None:
        self.generation = generation
        self.head = 0
        self._history_bytes = history_bytes
        self._runs: list[Run] = []
        self._start = 0
        self._written = 0
        self._forgotten = 0

    @property
    def start(self) -> int:
        """The oldest position that can still be read from."""
        return self._start

    @property
    def retained_bytes(self) -> int:
        """How many bytes the log holds."""
        return self._written - self._forgotten

    def append(self, blob: bytes, count: int, *, hidden_from: str | None = None) -> None:
        """Adds `count` entries, which are the WebSocket frames in `blob`."""
        self.head += count
        self._written += len(blob)
        self._runs.append(Run(self.head, self._written, blob, hidden_from))

    def read(self, after: int, *, upto: int, limit: int, reader: str) -> Slice:
        """Gives whole runs from a position on.

        Args:
            after: The position to read from; a boundary between runs, at least `start`.
            upto: The last entry to give; a boundary between runs.
            limit: Stop after the run that reaches this many bytes; one run is always given.
            reader: The attachment that reads: entries hidden from it are passed over.

        Raises:
            LocalProtocolError: What follows the position is forgotten: giving the rest would be a
                silent gap.
        """
        if after < self._start:
            raise LocalProtocolError(
                f"cannot read from position {after}: the log begins at {self._start}",
                hint="report this: it is a defect",
            )
        blobs: list[bytes] = []
        size = 0
        cursor = after
        for index in range(bisect_right(self._runs, after, key=_last), len(self._runs)):
            run = self._runs[index]
            if run.last > upto or size >= limit:
                break
            cursor = run.last
            if run.hidden_from != reader:
                blobs.append(run.blob)
                size += len(run.blob)
        return Slice(blobs, cursor)

    def unread_bytes(self, after: int) -> int:
        """How many bytes lie between a position and the head."""
        if after >= self.head:
            return 0
        index = bisect_right(self._runs, after, key=_last)
        before = self._runs[index - 1].end if index else self._forgotten
        return self._written - before

    def trim(self, read_upto: int) -> None:
        """Forgets the oldest runs beyond the budget, as far as every reader has had them.

        Args:
            read_upto: The position of the slowest reader; nothing after it is forgotten.
        """
        if self.retained_bytes <= self._history_bytes:
            return
        # An eighth of slack: forgetting run by run would move the whole list for each append.
        floor = self._written - self._history_bytes * 7 // 8
        affordable = bisect_right(self._runs, floor, key=attrgetter("end"))
        had = bisect_right(self._runs, read_upto, key=_last)
        count = min(affordable, had)
        if count:
            self._start = self._runs[count - 1].last
            self._forgotten = self._runs[count - 1].end
            del self._runs[:count]
