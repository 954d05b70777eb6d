"""Reads batches: from a place on, or a whole segment to see how far it is intact.

Pure, given a way to get bytes at an offset. What is read on the way completes the segment's index,
so that a segment is never walked through for the index alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from acprelay.routing.log import Slice
from acprelay.routing.log_memory import excerpt
from acprelay.storage.batches import (
    BATCH_HEADER_BYTES,
    BatchHeader,
    Damage,
    intact_batches,
    is_intact,
    parse_batch_header,
)
from acprelay.storage.index import SparseIndex

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Gives bytes: how many, and from which offset. Fewer come only where the file ends."""

_READ_BYTES = 128 * 1024
_SCAN_BYTES = 1024 * 1024


class Extent(NamedTuple):
    """How far a segment is intact.

    Attributes:
        last: The number of the last entry of its last intact batch.
        end: Where that batch ends.
    """

    last: int
    end: int


class BatchReader:
    """Goes through the batches of a segment.

    Args:
        read_at: Gives the segment's bytes.
        size: How many it has.
        place: The place before the first batch to read.
        offset: Where that batch begins.
        chunk: How many bytes to get at once.
    """

    def __init__(
        self, read_at: ReadAt, *, size: int, place: int, offset: int, chunk: int = _READ_BYTES
    ) -> None:
        self.place = place
        self.offset = offset
        self._read_at = read_at
        self._size = size
        self._chunk = chunk
        self._buffer = memoryview(b"")
        self._buffer_offset = 0

    def header(self) -> BatchHeader | None:
        """Gives the next batch's header; None where no complete batch follows, or not the next."""
        if self.offset + BATCH_HEADER_BYTES > self._size:
            return None
        header = parse_batch_header(self._bytes(self.offset, BATCH_HEADER_BYTES))
        end = self.offset + BATCH_HEADER_BYTES + header.size
        is_next = header.first == self.place + 1 and header.entries > 0
        return header if is_next and end <= self._size else None

    def payload(self, header: BatchHeader) -> memoryview | None:
        """Gives the batch's payload, if it is what was written."""
        payload = self._bytes(self.offset + BATCH_HEADER_BYTES, header.size)
        return payload if is_intact(header, payload) else None

    def advance(self, header: BatchHeader) -> None:
        """Passes over the batch that has this header."""
        self.place = header.last
        self.offset += BATCH_HEADER_BYTES + header.size

    def _bytes(self, offset: int, size: int) -> memoryview:
        begin = offset - self._buffer_offset
        if begin < 0 or begin + size > len(self._buffer):
            self._buffer = memoryview(self._read_at(max(size, self._chunk), offset))
            self._buffer_offset = offset
            begin = 0
        found = self._buffer[begin : begin + size]
        if len(found) < size:
            raise Damage(f"it ends before byte {offset + size}")
        return found


def read_batches(
    read_at: ReadAt, index: SparseIndex, *, size: int, after: int, upto: int, limit: int
) -> Slice:
    """Gives the entries of a segment from a place on.

    Args:
        read_at: Gives the segment's bytes.
        index: The segment's.
        size: How many bytes it has.
        after: The place to read from, in the segment.
        upto: The last entry to give, in the segment.
        limit: Bytes to give at most; the first batch that is given may have more.

    Raises:
        Damage: A batch on the way is not what was written, or missing.
    """
    point = index.find(after)
    reader = BatchReader(read_at, size=size, place=point.place, offset=point.offset)
    blobs: list[bytes] = []
    given = 0
    cursor = after
    while cursor < upto:
        header = reader.header()
        if header is None:
            raise Damage(f"no batch begins at byte {reader.offset}")
        index.note(reader.place, reader.offset)
        if header.last > after:
            if blobs and given + header.size > limit:
                break
            payload = reader.payload(header)
            if payload is None:
                raise Damage(f"the batch at byte {reader.offset} has a wrong checksum")
            base, last = reader.place, header.last
            blob = excerpt(bytes(payload), base=base, last=last, after=cursor, upto=upto)
            blobs.append(blob)
            given += len(blob)
            cursor = min(last, upto)
        reader.advance(header)
    return blobs, cursor


def scan(read_at: ReadAt, index: SparseIndex, *, size: int) -> Extent:
    """Finds out how far a segment is intact, counted from its first batch."""
    place, offset = index.find(0)
    wanted = _SCAN_BYTES
    while offset + BATCH_HEADER_BYTES <= size:
        data = memoryview(read_at(min(wanted, size - offset), offset))
        passed = 0
        for last, end in intact_batches(data, place=place):
            index.note(place, offset + passed)
            place, passed = last, end
        offset += passed
        if passed:
            wanted = _SCAN_BYTES
            continue
        needed = BATCH_HEADER_BYTES + parse_batch_header(data).size
        if needed <= wanted or offset + needed > size:
            break
        wanted = needed
    return Extent(place, offset)


def is_torn(read_at: ReadAt, *, offset: int, size: int) -> bool:
    """Whether what follows the intact part of a segment is but an end that was not written whole.

    Otherwise an intact batch comes after it, as the header at the offset leads to it: bytes in the
    middle are not what was written.
    """
    reader = BatchReader(read_at, size=size, place=0, offset=offset, chunk=_SCAN_BYTES)
    while reader.offset + BATCH_HEADER_BYTES <= size:
        header = parse_batch_header(read_at(BATCH_HEADER_BYTES, reader.offset))
        if not header.size or reader.offset + BATCH_HEADER_BYTES + header.size > size:
            return True  # it leads nowhere
        if reader.payload(header) is not None:
            return False
        reader.advance(header)
    return True
