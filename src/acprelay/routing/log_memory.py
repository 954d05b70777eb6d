"""A public log in memory, and the runs of entries that any log holds there.

A run is what was appended together: WebSocket frames one after another, handed out as the object
that it came as. Only where a reader begins or ends inside a run is a part of it copied. A run that
is longer than `RUN_BYTES` is cut between two frames when it comes, so that no read costs more than
that beyond what it was asked for; a single frame is never cut. This module knows no file and no
reader.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from acprelay.errors import CursorExpired
from acprelay.routing.log import Position, Slice
from acprelay.wire.websocket import frames_size, skip, walk

RUN_BYTES = 512 * 1024
"""What a run of several frames has at most: what one read of a pipe gives, with its stamps."""

_COMPACT_FROM = 256


def runs_of(blob: bytes, count: int) -> Iterator[tuple[bytes, int]]:
    """Cuts what is appended into runs that are not too long.

    Args:
        blob: Text frames.
        count: How many.

    Yields:
        A run, and how many frames it has.
    """
    if len(blob) <= RUN_BYTES or count == 1:
        yield blob, count
        return
    begun, frames = 0, 0
    for start, _, end in walk(blob):
        if frames and end - begun > RUN_BYTES:
            yield blob[begun:start], frames
            begun, frames = start, 0
        frames += 1
    yield blob[begun:], frames


def excerpt(blob: bytes, *, base: int, last: int, after: int, upto: int) -> bytes:
    """Takes those entries of a run that a reader wants; the run itself, if it wants all.

    Args:
        blob: The run.
        base: The place before its first entry.
        last: The number of its last entry.
        after: The place to read from, before `last`.
        upto: The last entry to give, after `base` and `after`.
    """
    begin = frames_size(blob, after - base) if after > base else 0
    end = skip(blob, begin, upto - max(after, base)) if upto < last else len(blob)
    return blob if end - begin == len(blob) else blob[begin:end]


class RunWindow:
    """The newest runs of a log, without a gap. Dropping the oldest costs the same however many.

    Args:
        first: The place before the first run that will be appended.

    Attributes:
        first: The oldest place that can be read from.
        size: How many bytes the runs have.
    """

    def __init__(self, *, first: int) -> None:
        self.first = first
        self.size = 0
        self._newest_base = first
        self._gone = 0  # how many of the runs in the lists are dropped
        self._lasts: list[int] = []
        self._blobs: list[bytes] = []

    def __len__(self) -> int:
        return len(self._blobs) - self._gone

    def append(self, last: int, blob: bytes) -> None:
        """Adds a run.

        Args:
            last: The number of its last entry.
            blob: Its entries.
        """
        self._newest_base = self._lasts[-1] if self._lasts else self.first
        self._lasts.append(last)
        self._blobs.append(blob)
        self.size += len(blob)

    def drop(self, most: int = 1, *, enough: int = 1) -> tuple[int, int]:
        """Lets go of the oldest runs, of which there have to be so many.

        Args:
            most: How many at most.
            enough: No more of them once they have so many bytes together.

        Returns:
            How many were dropped, and how many bytes they had.
        """
        gone, blobs, size = self._gone, self._blobs, 0
        end = gone + most
        while gone < end and size < enough:
            size += len(blobs[gone])
            blobs[gone] = b""
            gone += 1
        dropped, self._gone = gone - self._gone, gone
        self.first = self._lasts[gone - 1]
        self.size -= size
        # Half of the lists at a time: moving the rest for each run would cost its length each time.
        if self._gone >= _COMPACT_FROM and self._gone * 2 >= len(self._blobs):
            del self._lasts[: self._gone], self._blobs[: self._gone]
            self._gone = 0
        return dropped, size

    def runs_after(self, place: int) -> list[tuple[int, bytes]]:
        """Gives the runs that follow a place between two runs: the last entry of each, and it."""
        index = bisect_right(self._lasts, place, self._gone)
        return list(zip(self._lasts[index:], self._blobs[index:], strict=True))

    def read(self, after: int, *, upto: int, limit: int) -> Slice:
        """Gives entries as `PublicLog.read` does.

        Args:
            after: The place to read from, not before `first`.
            upto: The last entry to give, at most the last of the newest run.
            limit: Bytes to give at most; the first run that is given may have more.
        """
        lasts, blobs = self._lasts, self._blobs
        if after == self._newest_base and lasts and upto == lasts[-1]:
            return blobs[-1:], upto  # a reader that has kept up
        index = bisect_right(lasts, after, self._gone)
        base = lasts[index - 1] if index > self._gone else self.first
        given: list[bytes] = []
        size = 0
        cursor = after
        while cursor < upto:
            last, blob = lasts[index], blobs[index]
            if base < cursor or upto < last:
                blob = excerpt(blob, base=base, last=last, after=cursor, upto=upto)
            size += len(blob)
            if given and size > limit:
                break
            given.append(blob)
            cursor = min(last, upto)
            base = last
            index += 1
        return given, cursor


class MemoryLog:
    """A `PublicLog` that keeps its newest entries, as many as its budget has bytes for.

    It is one generation, from its making to its end, and never congested. The newest run is kept
    whatever its size.

    Reading hands out whole runs. The limit of a read is therefore approximate: it stops before the
    run that would exceed it, but the first run is given in any case. Such a run has at most
    `RUN_BYTES`, or is a single entry.

    Args:
        generation: What the one generation is called.
        history_bytes: How many bytes are kept at most.
        first: The place to begin at.

    Attributes:
        generation: The generation that is being written: the only one.
        head: The number of the last entry.
    """

    def __init__(self, *, generation: str, history_bytes: int, first: int = 0) -> None:
        self.generation = generation
        self.head = first
        self._history_bytes = history_bytes
        self._runs = RunWindow(first=first)

    @property
    def start(self) -> int:
        """The oldest place that can be read from."""
        return self._runs.first

    @property
    def is_congested(self) -> bool:
        """Never: nothing waits to be stored."""
        return False

    @property
    def retained_bytes(self) -> int:
        """How many bytes the log holds."""
        return self._runs.size

    def append(self, blob: bytes, count: int) -> None:
        """Adds `count` entries, and forgets the oldest runs beyond the budget."""
        runs = self._runs
        for run, frames in runs_of(blob, count):
            self.head += frames
            runs.append(self.head, run)
        while runs.size > self._history_bytes and len(runs) > 1:
            runs.drop()

    def read(self, after: int, *, upto: int, limit: int) -> Slice:
        """Gives entries in order, as `PublicLog.read` says.

        Raises:
            CursorExpired: What follows the place is forgotten.
        """
        if after < self._runs.first:
            raise self._expired()
        return self._runs.read(after, upto=min(upto, self.head), limit=limit)

    def locate(self, position: Position) -> int:
        """Finds the place that a client remembers.

        Raises:
            CursorExpired: It is of another generation, or forgotten, or was never written.
        """
        if position.generation != self.generation or not self.start <= position.seq <= self.head:
            raise self._expired()
        return position.seq

    def position(self, place: int) -> Position:
        """What a client is to remember of a place."""
        return Position(self.generation, place)

    def _expired(self) -> CursorExpired:
        return CursorExpired(oldest=str(self.position(self.start)))
