"""A segment file, as the event loop sees it: what it holds, where, and what it is called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from acprelay.routing.log import Slice
from acprelay.storage.batches import SEGMENT_HEADER_BYTES, SegmentHeader
from acprelay.storage.disk import OpenFiles
from acprelay.storage.index import SparseIndex
from acprelay.storage.reading import read_batches

SEGMENT_SUFFIX = ".segment"
_NAME = re.compile(r"([0-9]{20})\.[A-Za-z0-9_-]+\.segment(\.damaged)?")


@dataclass(slots=True, eq=False, kw_only=True)
class Segment:
    """One segment.

    Attributes:
        path: Where it is.
        base: The place before its first entry.
        last: The number of its last entry; `base` if it has none.
        end: How many bytes it has, once all is written that was given to be.
        index: Where its entries are.
    """

    path: str
    base: int
    last: int
    end: int
    index: SparseIndex

    def read(self, files: OpenFiles, *, after: int, upto: int, limit: int) -> Slice:
        """Gives entries that are written; the limit is as for `PublicLog.read`, but approximate.

        Raises:
            Damage: They are not there, or not as they were written.
            OSError: The file cannot be read.
        """
        fd = files.get(self.path)
        return read_batches(
            lambda size, offset: os.pread(fd, size, offset),
            self.index,
            size=os.fstat(fd).st_size,
            after=after,
            upto=min(upto, self.last),
            limit=limit,
        )


def new_index(base: int) -> SparseIndex:
    """The index of a segment of which nothing is known but where it begins."""
    return SparseIndex(place=base, offset=SEGMENT_HEADER_BYTES)


def segment_name(header: SegmentHeader) -> str:
    """What a segment's file is called: by its first entry, so that names sort, and generation."""
    return f"{header.base + 1:020}.{header.generation}{SEGMENT_SUFFIX}"


def base_of(name: str, *, damaged: bool = False) -> int | None:
    """Reads back from a file's name where the segment begins.

    Args:
        name: A file's name.
        damaged: Whether a segment is looked for that was put aside.

    Returns:
        The place before its first entry; None if it is no such file.
    """
    found = _NAME.fullmatch(name)
    if found is None or bool(found[2]) is not damaged:
        return None
    return int(found[1]) - 1
