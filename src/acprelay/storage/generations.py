"""Which generation a place of a log belongs to, and which segments make one contiguous log.

Pure: values in, values out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from acprelay.routing.log import Position
from acprelay.storage.batches import SegmentHeader


class Generations:
    """The generations of a log, from the oldest that is known to the one that is written."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._bases: list[int] = []

    def begin(self, name: str, *, base: int) -> None:
        """Learns that the entries after a place belong to a generation, till the next one begins.

        Args:
            name: The generation, which may be the current one.
            base: The place, not before the one that the last generation began at.
        """
        if self._names[-1:] != [name]:
            self._names.append(name)
            self._bases.append(base)

    def locate(self, position: Position, *, head: int) -> int | None:
        """Finds the place that a position means.

        Args:
            position: What a client remembers.
            head: The end of the current generation.

        Returns:
            The place, or None where the generation is unknown or does not reach it.
        """
        ends = [*self._bases[1:], head]
        for name, base, end in zip(self._names, self._bases, ends, strict=True):
            if name == position.generation:
                return position.seq if base <= position.seq <= end else None
        return None

    def position(self, place: int) -> Position:
        """Names a place as the generation does that wrote the entry before it.

        At the very start, where there is no such entry, it is the first generation that does.
        """
        index = max(bisect_left(self._bases, place) - 1, 0)
        return Position(self._names[index], place)


class Link(NamedTuple):
    """A segment, as a part of a chain.

    Attributes:
        header: What it says of itself.
        is_empty: Whether it has no batch.
    """

    header: SegmentHeader
    is_empty: bool


def chain_start(links: Sequence[Link], quarantined: Sequence[int]) -> int:
    """Finds where the contiguous log begins that ends with the last segment.

    A segment's end is known only by the one that follows it, unless it is empty; so what is known
    to be missing between the two breaks the chain.

    Args:
        links: Segments in the order of their bases, of one base the empty ones first.
        quarantined: The bases of segments that were found to be damaged and put aside.

    Returns:
        The index of the first segment of the unbroken chain; 0 where there is no segment.
    """
    start = 0
    for index, (before, after) in enumerate(pairwise(links), 1):
        base, next_base = before.header.base, after.header.base
        is_lost = any(base < place < next_base for place in quarantined)
        if not after.header.follows or is_lost or (before.is_empty and base != next_base):
            start = index
    return start
