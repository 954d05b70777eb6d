"""Where in a segment file its entries are: one point for every `SPACING` bytes of it.

Pure. From the nearest point before an entry the batches' headers lead the rest of the way.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

SPACING = 64 * 1024


class Point(NamedTuple):
    """Where a batch begins.

    Attributes:
        place: The place before its first entry.
        offset: The offset of its header in the file.
    """

    place: int
    offset: int


class SparseIndex:
    """Knows where some batches of a segment begin, the first of them always.

    Args:
        place: The place before the segment's first entry.
        offset: Where its first batch begins.
    """

    def __init__(self, *, place: int, offset: int) -> None:
        self._places = [place]
        self._offsets = [offset]

    def __len__(self) -> int:
        return len(self._places)

    def note(self, place: int, offset: int) -> None:
        """Learns where a batch begins; keeps it if it lies far enough behind the last point."""
        if offset - self._offsets[-1] >= SPACING:
            self._places.append(place)
            self._offsets.append(offset)

    def find(self, place: int) -> Point:
        """Gives the last known point that is not after a place; else the first."""
        index = max(bisect_right(self._places, place) - 1, 0)
        return Point(self._places[index], self._offsets[index])

    def cut(self, place: int) -> None:
        """Forgets every point after a place."""
        kept = max(bisect_right(self._places, place), 1)
        del self._places[kept:], self._offsets[kept:]
