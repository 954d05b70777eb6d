"""The segment files of one log: what they hold, and how more is put at their end.

They are one contiguous stretch of the log, oldest first. Nothing is written here: the writer is
told what to write, and the log, as the owner of the stream, what became of it.
"""

from __future__ import annotations

from bisect import bisect_right
from errno import EIO, ELOOP, ENOENT
from operator import attrgetter
from pathlib import Path

from acprelay.errors import StoreError, Unavailable
from acprelay.routing.log import Slice
from acprelay.storage.batches import (
    BATCH_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    Damage,
    SegmentHeader,
    encode_segment_header,
)
from acprelay.storage.commands import (
    Evict,
    Quarantine,
    Seal,
    SegmentFile,
    Stream,
    StreamOwner,
    Sync,
)
from acprelay.storage.recovery import damage_error
from acprelay.storage.segment import Segment, new_index, segment_name
from acprelay.storage.shared import Shared

_GONE = (ENOENT, ELOOP, EIO)
_base = attrgetter("base")


class SegmentDamaged(Exception):
    """A segment was put aside. It does not leave the package.

    Args:
        trouble: What to tell of it.
    """

    def __init__(self, trouble: StoreError) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class Segments:
    """What of a log is in files, or on its way there.

    Args:
        directory: Where they are.
        found: What a relay before this one left.
        owner: Who learns what became of writing.
        shared: What logs share.
    """

    def __init__(
        self, *, directory: str, found: list[Segment], owner: StreamOwner, shared: Shared
    ) -> None:
        self._directory = directory
        self._segments = found
        self._owner = owner
        self._shared = shared
        self._stream = Stream(owner)
        self._active: Segment | None = None
        self._file: SegmentFile | None = None
        self._generation = ""  # of the segment that is written

    @property
    def base(self) -> int | None:
        """The oldest place that can be read from; None where there is no segment."""
        return self._segments[0].base if self._segments else None

    def make(self, *, generation: str, base: int) -> None:
        """Makes a segment before there is an entry for it: the log's place is to be known.

        Args:
            generation: Names it.
            base: The place.
        """
        _, file = self._begin(generation, base=base)
        self._shared.outgoing.put_batch(file, base + 1, 0, b"")

    def append(self, run: bytes, *, first: int, entries: int, generation: str) -> None:
        """Has a run written.

        Args:
            run: Its frames.
            first: The number of its first entry: the next one.
            entries: How many it has.
            generation: What it belongs to, as the whole segment does.
        """
        segment, file = self._active, self._file
        if (
            segment is None
            or file is None
            or segment.end >= self._shared.limits.segment_bytes
            or generation != self._generation
        ):
            self.seal()
            segment, file = self._begin(generation, base=first - 1)
        if self._shared.outgoing.put_batch(file, first, entries, run):
            segment.index.note(segment.last, segment.end)
            segment.end += BATCH_HEADER_BYTES
        segment.last += entries
        segment.end += len(run)

    def sync(self) -> None:
        """Has what was appended made durable, soon."""
        if self._file is not None:
            self._shared.outgoing.put(Sync(self._file))

    def seal(self) -> None:
        """Has the segment that is written made durable and closed; the next run begins another."""
        if self._file is not None:
            self._shared.outgoing.put(Seal(self._file))
        self._active = self._file = None

    def cut(self, place: int) -> None:
        """Takes back what was not written after all, and goes on in a new stream.

        Args:
            place: The last entry that was written.
        """
        self._stream = Stream(self._owner)
        self._active = self._file = None
        self._segments = [each for each in self._segments if each.base < place]
        if self._segments:
            newest = self._segments[-1]
            newest.last = min(newest.last, place)
            newest.index.cut(place)

    def forget(self) -> None:
        """Gives up what is in files: something between it and what comes is missing."""
        self.seal()
        self.close()
        self._segments.clear()

    def close(self) -> None:
        """Closes what was opened to be read."""
        for segment in self._segments:
            self._shared.files.close(segment.path)

    def read(self, after: int, *, upto: int, limit: int) -> Slice:
        """Gives entries that are written, of one segment at most.

        Args:
            after: The place to read from, not before `base`.
            upto: The last entry to give, of those that are written.
            limit: Bytes to give at most; the first run that is given may have more.

        Raises:
            SegmentDamaged: What is there is not what was written; it is put aside, and what was
                before it is given up.
            Unavailable: A file cannot be opened for the moment.
        """
        index = bisect_right(self._segments, after, key=_base) - 1
        segment = self._segments[index]
        # This waits for the disk where a page is not in memory, in the event loop. It is a few
        # times 64 KiB at most, mostly just written and always read in order, which the system reads
        # ahead; a thread would cost more for each read than nearly all of them take.
        try:
            return segment.read(self._shared.files, after=after, upto=upto, limit=limit)
        except Damage as damage:
            raise self._put_aside(index, damage) from damage
        except OSError as error:
            if error.errno in _GONE:
                raise self._put_aside(index, error.strerror) from error
            raise Unavailable(
                f"cannot read {Path(segment.path).name}: {error.strerror}",
                hint="try again; the relay may have too many files open",
                path=segment.path,
            ) from error

    def _begin(self, generation: str, *, base: int) -> tuple[Segment, SegmentFile]:
        header = SegmentHeader(generation, base, follows=bool(self._segments))
        path = f"{self._directory}/{segment_name(header)}"
        segment = Segment(
            path=path, base=base, last=base, end=SEGMENT_HEADER_BYTES, index=new_index(base)
        )
        file = SegmentFile(path, encode_segment_header(header), self._stream)
        self._segments.append(segment)
        self._evict_oldest()
        self._active, self._file, self._generation = segment, file, generation
        return segment, file

    def _evict_oldest(self) -> None:
        """As a segment begins, the one that many before it has long been sealed and synced."""
        limits = self._shared.limits
        kept = limits.cached_bytes // limits.segment_bytes
        if len(self._segments) > kept + 1:
            self._shared.outgoing.put(Evict(self._segments[-kept - 2].path))

    def _put_aside(self, index: int, why: object) -> SegmentDamaged:
        segment = self._segments[index]
        path = Path(segment.path)
        if segment is self._active:
            self.seal()
        for each in self._segments[: index + 1]:
            self._shared.files.close(each.path)
        del self._segments[: index + 1]
        self._shared.outgoing.put(Quarantine(path))
        return SegmentDamaged(damage_error(path, why, last=segment.last))
