"""What all logs of a relay may hold in memory together. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

HolderT = TypeVar("HolderT")


@dataclass(slots=True)
class _Account:
    """What one holder has: how many bytes, in how many holds."""

    size: int = 0
    holds: int = 0
    is_closed: bool = False


class _Hold(NamedTuple, Generic[HolderT]):
    """Runs that were held at once: whose, how many, and how many bytes they have together."""

    holder: HolderT
    account: _Account
    runs: int
    size: int


class RunBudget(Generic[HolderT]):
    """Bounds the runs that logs hold: what was held first goes first. Constant time, amortised.

    Args:
        limit: How many bytes may be held.
        drop: Has a log let go of some of its oldest runs: of one or more, at most of so many, and
            of no more once they have so many bytes; tells how many they were, and their bytes.
    """

    def __init__(self, *, limit: int, drop: Callable[[HolderT, int, int], tuple[int, int]]) -> None:
        self._limit = limit
        self._drop = drop
        self._size = 0
        self._holds: deque[_Hold[HolderT]] = deque()
        self._accounts: dict[HolderT, _Account] = {}
        self._void = 0  # holds of accounts that are closed

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
        account = self._accounts.get(holder)
        if account is None:
            account = self._accounts[holder] = _Account()
        account.size += size
        account.holds += 1
        self._holds.append(_Hold(holder, account, runs, size))
        self._size += size
        while self._size > self._limit:
            self._drop_some()

    def release(self, holder: HolderT) -> None:
        """Counts a log's runs no longer: it has let go of them itself."""
        account = self._accounts.pop(holder, None)
        if account is None:
            return
        account.is_closed = True
        self._size -= account.size
        self._void += account.holds
        if self._void * 2 > len(self._holds):  # seldom enough to cost each release but a little
            self._holds = deque(hold for hold in self._holds if not hold.account.is_closed)
            self._void = 0

    def _drop_some(self) -> None:
        holder, account, runs, size = self._holds.popleft()
        if account.is_closed:
            self._void -= 1
            return
        # Not all: a log that writes much at once would else empty the whole window with it.
        dropped = 0
        while runs and self._size > self._limit:
            count, freed = self._drop(holder, runs, self._size - self._limit)
            dropped += freed
            self._size -= freed
            runs -= count
        account.size -= dropped
        if runs:
            self._holds.appendleft(_Hold(holder, account, runs, size - dropped))
            return
        account.holds -= 1
        if not account.holds:
            del self._accounts[holder]


class Backlog:
    """Bytes that wait to be written, and whether they are too many.

    Args:
        limit: Beyond so many there are too many, until no more than half of it wait.

    Attributes:
        size: How many wait.
        is_over: Whether too many do.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self.size = 0
        self.is_over = False

    def add(self, size: int) -> None:
        """So many more wait."""
        self.size += size
        if self.size > self._limit:
            self.is_over = True

    def done(self, size: int) -> bool:
        """So many no longer wait; tells whether that was a relief."""
        self.size -= size
        is_relief = self.is_over and self.size <= self._limit // 2
        if is_relief:
            self.is_over = False
        return is_relief
