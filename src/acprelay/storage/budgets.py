"""What all logs of a relay may hold in memory together. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

HolderT = TypeVar("HolderT")


class RunBudget(Generic[HolderT]):
    """Bounds the runs that logs hold: what was held first goes first. Constant time, amortised.

    Args:
        limit: How many bytes may be held.
        drop: Has a log let go of its oldest run; tells how many bytes that had.
    """

    def __init__(self, *, limit: int, drop: Callable[[HolderT], int]) -> None:
        self._limit = limit
        self._drop = drop
        self._size = 0
        self._holds: deque[tuple[HolderT, int, int]] = deque()  # holder, runs, bytes

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return self._size

    def hold(self, holder: HolderT, runs: int, size: int) -> None:
        """Counts the next runs of a log, and has the oldest of all dropped beyond the limit.

        Args:
            holder: The log.
            runs: How many.
            size: How many bytes they have together.
        """
        self._holds.append((holder, runs, size))
        self._size += size
        while self._size > self._limit:
            self._drop_some()

    def release(self, holder: HolderT) -> None:
        """Counts a log's runs no longer: it has let go of them itself."""
        kept = [hold for hold in self._holds if hold[0] is not holder]
        self._holds = deque(kept)
        self._size = sum(size for _, _, size in kept)

    def _drop_some(self) -> None:
        holder, runs, size = self._holds.popleft()
        # Run by run: a log that writes much at once would else empty the whole window with it.
        dropped = 0
        while runs and self._size > self._limit:
            freed = self._drop(holder)
            dropped += freed
            self._size -= freed
            runs -= 1
        if runs:
            self._holds.appendleft((holder, runs, size - dropped))


class Backlog:
    """Bytes that wait to be written, and whether they are too many.

    Args:
        limit: Beyond so many there are too many, until no more than half of it wait.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._is_over = False

    @property
    def size(self) -> int:
        """How many bytes wait."""
        return self._size

    @property
    def is_over(self) -> bool:
        """Whether too many wait."""
        return self._is_over

    def add(self, size: int) -> None:
        """So many more wait."""
        self._size += size
        if self._size > self._limit:
            self._is_over = True

    def done(self, size: int) -> bool:
        """So many no longer wait; tells whether that was a relief."""
        self._size -= size
        is_relief = self._is_over and self._size <= self._limit // 2
        if is_relief:
            self._is_over = False
        return is_relief
