"""How a segment file is written: a header, then batches of entries. Pure: bytes in, bytes out.

```
segment:  magic, flags, generation, base | CRC32
batch:    size of the payload, first seq, count | CRC32 | payload: WebSocket text frames
```

All numbers are big-endian. A batch's checksum covers the numbers before it and the payload, so that
a batch counts as there only where every byte of it is. This module knows no file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

_MAGIC = b"ACPRLOG\x01"  # the last byte is the format's version
_SEGMENT = struct.Struct(">8sB65pQ")
_BATCH = struct.Struct(">IQI")
_CRC = struct.Struct(">I")
_WHOLE_BATCH = struct.Struct(">IQII")
_FOLLOWS = 1

SEGMENT_HEADER_BYTES = _SEGMENT.size + _CRC.size
BATCH_HEADER_BYTES = _WHOLE_BATCH.size


class Damage(Exception):
    """Stored bytes are not what was written. It does not leave the package."""


class SegmentHeader(NamedTuple):
    """What a segment says of itself.

    Attributes:
        generation: The generation that its entries belong to.
        base: The place before its first entry.
        follows: Whether the entries up to `base` are in the segment before it.
    """

    generation: str
    base: int
    follows: bool


class BatchHeader(NamedTuple):
    """What a batch says of itself.

    Attributes:
        size: How many bytes its payload has.
        first: The number of its first entry.
        entries: How many entries it has.
        crc: Its checksum.
    """

    size: int
    first: int
    entries: int
    crc: int

    @property
    def last(self) -> int:
        """The number of its last entry."""
        return self.first + self.entries - 1


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Writes a segment's header."""
    flags = _FOLLOWS if header.follows else 0
    fields = _SEGMENT.pack(_MAGIC, flags, header.generation.encode(), header.base)
    return fields + _CRC.pack(crc32(fields))


def parse_segment_header(data: bytes) -> SegmentHeader:
    """Reads the header that a segment begins with.

    Raises:
        Damage: There is none.
    """
    fields = data[: _SEGMENT.size]
    if len(data) < SEGMENT_HEADER_BYTES or not fields.startswith(_MAGIC):
        raise Damage("it does not begin as a segment does")
    if _CRC.unpack_from(data, _SEGMENT.size) != (crc32(fields),):
        raise Damage("its header has a wrong checksum")
    _, flags, generation, base = _SEGMENT.unpack(fields)
    return SegmentHeader(generation.decode(), base, bool(flags & _FOLLOWS))


def encode_batch_header(first: int, count: int, payload: bytes | bytearray) -> bytes:
    """Writes the header of a batch."""
    fields = _BATCH.pack(len(payload), first, count)
    return fields + _CRC.pack(crc32(payload, crc32(fields)))


def parse_batch_header(data: bytes | memoryview) -> BatchHeader:
    """Reads the header that at least `BATCH_HEADER_BYTES` begin with, whatever it says."""
    return BatchHeader(*_WHOLE_BATCH.unpack_from(data))


def is_intact(header: BatchHeader, payload: bytes | memoryview) -> bool:
    """Whether a batch is as it was written."""
    fields = _BATCH.pack(header.size, header.first, header.entries)
    return crc32(payload, crc32(fields)) == header.crc


def intact_batches(data: memoryview, *, place: int) -> Iterator[tuple[int, int]]:
    """Goes through batches that follow one another, as far as they are whole and as written.

    Whoever comes to a conversation after a restart waits for it, and there may be a hundred
    thousand: so it makes no value of a header.

    Args:
        data: What begins with a batch.
        place: The place before its first entry.

    Yields:
        The number of the last entry of each, and where in the data it ends.
    """
    offset = 0
    while (payload := offset + BATCH_HEADER_BYTES) <= len(data):
        size, first, entries, crc = _WHOLE_BATCH.unpack_from(data, offset)
        end = payload + size
        if end > len(data) or first != place + 1 or not entries:
            return
        if crc32(data[payload:end], crc32(data[offset : offset + _BATCH.size])) != crc:
            return
        place += entries
        offset = end
        yield place, end
