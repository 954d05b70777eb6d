"""Doubles for what a session manager is built from: programmable, and they remember what was asked.

They check nothing by themselves; a test reads what they recorded. `YieldingStore` is another kind:
it wraps a real store and lets other tasks run around every call, as often as a seeded source of
chance says, so that a test can go through thousands of interleavings and repeat any of them.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

from acprelay.session.models import Session, SessionFilter, SessionKey, SessionState
from acprelay.session.ports import SessionStore


class FakeClock:
    """A `Clock` that stands still until it is told to advance."""

    def __init__(self, now: float = 1_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """Return the time it was set to."""
        return self._now

    def advance(self, by_s: float) -> float:
        """Move on by some seconds; return the time then."""
        self._now += by_s
        return self._now


class FakeIds:
    """An `IdGenerator` that gives the ids it was given, then `id-1`, `id-2` and so on.

    Attributes:
        minted: What it has given so far.
    """

    def __init__(self, *ids: str) -> None:
        self._given = list(ids)
        self._counted = 0
        self.minted: list[str] = []

    def mint(self) -> str:
        """Return the next id."""
        if self._given:
            minted = self._given.pop(0)
        else:
            self._counted += 1
            minted = f"id-{self._counted}"
        self.minted.append(minted)
        return minted


class FakeCleaner:
    """A `Cleaner` that can be told to fail and to wait.

    Attributes:
        started: The sessions it was asked to clean, in order.
        cleaned: Those that it cleaned without an error, in order.
    """

    def __init__(self) -> None:
        self.started: list[Session] = []
        self.cleaned: list[Session] = []
        self._failures: list[BaseException] = []
        self._gate = asyncio.Event()
        self._gate.set()
        self._arrived = asyncio.Event()

    def fail_with(self, *errors: BaseException) -> None:
        """Raise these errors, one for each of the next cleanups."""
        self._failures.extend(errors)

    def hold(self) -> None:
        """Let cleanups wait until `release`."""
        self._gate.clear()

    def release(self) -> None:
        """Let waiting and later cleanups go on."""
        self._gate.set()

    async def arrived(self, count: int = 1) -> None:
        """Wait until as many cleanups have started, counted from the first."""
        while len(self.started) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def cleanup(self, session: Session) -> None:
        """Record the session, wait while held, and fail if told to."""
        self.started.append(session)
        self._arrived.set()
        await self._gate.wait()
        if self._failures:
            raise self._failures.pop(0)
        self.cleaned.append(session)


class ScheduledCleanup(NamedTuple):
    """What a `FakeScheduler` was given."""

    key: SessionKey
    cleanup: Callable[[], Awaitable[None]]


class FakeScheduler:
    """A `CleanupScheduler` that keeps what it is given until a test runs it.

    Attributes:
        scheduled: Everything it was ever given, in order.
    """

    def __init__(self) -> None:
        self.scheduled: list[ScheduledCleanup] = []
        self._waiting: list[ScheduledCleanup] = []

    def schedule(self, key: SessionKey, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Keep a cleanup."""
        entry = ScheduledCleanup(key, cleanup)
        self.scheduled.append(entry)
        self._waiting.append(entry)

    async def run(self) -> None:
        """Run what waits, one after another; a cleanup that fails waits for the next run.

        Raises:
            Exception: Whatever the first cleanup to fail raised; those behind it wait, too.
        """
        while self._waiting:
            await self._waiting[0].cleanup()
            del self._waiting[0]


class RecordingHooks:
    """`LifecycleHooks` that record the calls, and can be told to fail.

    Attributes:
        calls: The name of the hook and the session it was told of, in order.
        error: Raised by every hook after it has recorded the call, unless it is None.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Session]] = []
        self.error: Exception | None = None

    def on_activate(self, session: Session) -> None:
        """Record an activation."""
        self._record("on_activate", session)

    def on_terminate(self, session: Session) -> None:
        """Record a termination."""
        self._record("on_terminate", session)

    def _record(self, name: str, session: Session) -> None:
        self.calls.append((name, session))
        if self.error is not None:
            raise self.error


class YieldingStore:
    """A `SessionStore` that yields to the event loop before and after every call of another store.

    Args:
        inner: The store that does the work.
        random: Says how often to yield; seeded, it makes every run the same.
        most: The most yields in one place.
    """

    def __init__(self, inner: SessionStore, *, random: Random, most: int = 3) -> None:
        self._inner = inner
        self._random = random
        self._most = most

    async def insert(self, session: Session) -> Session:
        """Insert, with yields around it."""
        async with self._yields():
            return await self._inner.insert(session)

    async def get(self, key: SessionKey) -> Session | None:
        """Get, with yields around it: what it returns may be out of date."""
        async with self._yields():
            return await self._inner.get(key)

    async def replace(self, session: Session, *, expected_revision: int) -> Session:
        """Replace, with yields around it."""
        async with self._yields():
            return await self._inner.replace(session, expected_revision=expected_revision)

    async def remove(self, session: Session, *, expected_revision: int) -> Session:
        """Remove, with yields around it."""
        async with self._yields():
            return await self._inner.remove(session, expected_revision=expected_revision)

    async def list(
        self,
        filter: SessionFilter | None = None,  # noqa: A002 - the word every caller expects
    ) -> builtins.list[Session]:
        """List, with yields around it."""
        async with self._yields():
            return await self._inner.list(filter)

    async def count(self) -> int:
        """Count, with yields around it."""
        async with self._yields():
            return await self._inner.count()

    async def state_counts(self) -> dict[SessionState, int]:
        """Count by state, with yields around it."""
        async with self._yields():
            return await self._inner.state_counts()

    @asynccontextmanager
    async def _yields(self) -> AsyncIterator[None]:
        await self._pause()
        try:
            yield
        finally:
            await self._pause()

    async def _pause(self) -> None:
        for _ in range(self._random.randint(0, self._most)):
            await asyncio.sleep(0)
