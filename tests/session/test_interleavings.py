"""Thousands of seeded interleavings of everything that may happen to a few sessions at once.

The store yields to the event loop around every call, as often as the seed says, so that each seed
is another order of events, and the same one every time. Children stand for agent processes: who
starts one must see to it that it ends, be it by the cleaner or, after a refusal, by itself.
"""

import asyncio
import builtins
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest

from acprelay.errors import InvalidTransition, SessionExists, SessionNotFound
from acprelay.session import (
    TRANSITIONS,
    Handle,
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
    Session,
    SessionFilter,
    SessionKey,
    SessionSpec,
    SessionState,
)
from acprelay.testing.session import FakeClock, FakeIds, RecordingHooks, YieldingStore

SEEDS = 1_200
BLOCK = 100
SPAWNERS = 2

KEYS = [SessionKey("task", "main"), SessionKey("task", "db"), SessionKey("other", "main")]
Run = tuple[SessionKey, int]


class HistoryStore(MemoryStore):
    """Remembers every value it was given, in the order in which they were stored."""

    def __init__(self) -> None:
        super().__init__()
        self.history: builtins.list[Session] = []

    async def insert(self, session: Session) -> Session:
        return self._noted(await super().insert(session))

    async def replace(self, session: Session, *, expected_revision: int) -> Session:
        stored = await super().replace(session, expected_revision=expected_revision)
        return self._noted(stored)

    async def remove(self, session: Session, *, expected_revision: int) -> Session:
        return self._noted(await super().remove(session, expected_revision=expected_revision))

    def _noted(self, session: Session) -> Session:
        self.history.append(session)
        return session


class World:
    """One relay's sessions, and everybody who has to do with them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.store = HistoryStore()
        self.registry = MemoryRegistry[str, str]()
        self.hooks = RecordingHooks()
        self.children: set[str] = set()
        self.runs: Counter[SessionKey] = Counter()
        self.being_cleaned: set[SessionKey] = set()
        self.cleaned: Counter[Run] = Counter()
        self.ended: Counter[SessionKey] = Counter()
        self.attached: Counter[Run] = Counter()
        self.cleanups: asyncio.TaskGroup = asyncio.TaskGroup()
        self.manager = LifecycleManager(
            store=YieldingStore(self.store, random=self.random),
            registry=self.registry,
            clock=FakeClock(),
            ids=FakeIds(),
            cleaner=self,
            scheduler=self,
            hooks=self.hooks,
        )

    async def pause(self, most: int = 8) -> None:
        for _ in range(self.random.randint(0, most)):
            await asyncio.sleep(0)

    # --- collaborators of the manager

    async def cleanup(self, session: Session) -> None:
        key = session.key
        assert key not in self.being_cleaned, "two cleaners at once"
        handle = self.registry.get(key)
        assert handle is not None, "a handle that is gone before its cleaner"
        self.being_cleaned.add(key)
        try:
            await self.end(handle)
        finally:
            self.being_cleaned.remove(key)
        self.cleaned[key, session.run] += 1
        self.ended[key] += 1

    async def end(self, handle: Handle[str, str]) -> None:
        await self.pause()
        if handle.spawn_task is not None:
            handle.spawn_task.cancel()
            with suppress(asyncio.CancelledError):
                await handle.spawn_task
        if self.random.random() < 0.2:
            raise OSError("busy")
        if handle.agent is not None:
            self.children.discard(handle.agent)

    def schedule(self, key: SessionKey, cleanup: Callable[[], Awaitable[None]]) -> None:
        async def until_it_succeeds() -> None:
            await self.pause()
            while True:
                try:
                    return await cleanup()
                except OSError:
                    await self.pause()

        self.cleanups.create_task(until_it_succeeds(), name=f"cleanup of {key}")

    # --- actors

    async def spawner(self, key: SessionKey) -> None:
        """Creates a session, starts a child for it, and ends it when refused or cancelled."""
        run = await self.create(key)
        child = f"child {run} of {key}"
        handle = self.registry.get(key)
        assert handle is not None
        handle.spawn_task = asyncio.current_task()
        try:
            await self.manager.begin_spawn(key)
            self.children.add(child)
            await self.pause()
            await self.manager.attach_agent(key, child)
            self.attached[key, run] += 1
            await self.pause()
            await self.manager.activate(key)
        except (InvalidTransition, SessionNotFound, asyncio.CancelledError):
            self.children.discard(child)

    async def create(self, key: SessionKey) -> int:
        spec = SessionSpec(session_id=key.session_id, role=key.role, agent="a", cwd="/")
        while True:
            await self.pause(40)
            self.runs[key] += 1
            run = self.runs[key]
            with suppress(SessionExists):
                return (await self.manager.create(spec, run=run)).run

    async def driver(self, key: SessionKey) -> None:
        for _ in range(3):
            await self.pause(30)
            await self.manager.record_heartbeat(key, received=1, sent=1)

    async def terminator(self, key: SessionKey) -> None:
        await self.pause(120)
        with suppress(SessionNotFound):
            session = await self.manager.mark_terminating(key, reason="asked")
            assert session.state is SessionState.TERMINATING

    async def reaper(self, key: SessionKey) -> None:
        """Sees to it that every session ends, so that all spawners get their turn."""
        while self.ended[key] < SPAWNERS:
            await self.terminator(key)

    async def impatient(self, key: SessionKey) -> None:
        await self.pause(120)
        with suppress(InvalidTransition, OSError):
            await self.manager.complete_cleanup(key)

    async def lister(self, key: SessionKey) -> None:
        await self.pause(120)
        listed = await self.manager.list(SessionFilter(session_id=key.session_id))
        keys = [session.key for session in listed]
        assert len(keys) == len(set(keys)) <= 2
        assert {session.session_id for session in listed} <= {key.session_id}
        assert not any(session.state.is_terminal for session in listed)

    # --- a life

    async def live(self) -> None:
        roles = [self.terminator, self.impatient, self.driver, self.lister]
        cast = [(role, key) for role in roles for key in KEYS for _ in range(2)]
        cast += [(self.spawner, key) for key in KEYS for _ in range(SPAWNERS)]
        self.random.shuffle(cast)
        async with asyncio.timeout(30):
            async with self.manager, self.cleanups, asyncio.TaskGroup() as actors:
                for role, key in cast:
                    actors.create_task(role(key))
                for key in KEYS:
                    actors.create_task(self.reaper(key))

    def check(self) -> None:
        created = [(session.key, session.run) for session in self.store.history if _is_new(session)]
        assert len(created) == len(set(created)) == len(KEYS) * SPAWNERS
        assert self.cleaned == Counter(created), "not cleaned exactly once"
        assert not self.children, "a child was left behind"
        assert len(self.registry) == 0
        for run in created:
            self._check_run(run)

    def _check_run(self, run: Run) -> None:
        life = [session for session in self.store.history if (session.key, session.run) == run]
        assert life[-1].state is SessionState.CLEANED
        for before, after in pairwise(life):
            _check_step(before, after)
        assert life[-1].attached_at is not None or not self.attached[run]
        told = [name for name, session in self.hooks.calls if (session.key, session.run) == run]
        was_active = any(session.state is SessionState.ACTIVE for session in life)
        assert told == ["on_activate"] * was_active + ["on_terminate"]


def _is_new(session: Session) -> bool:
    return session.state is SessionState.CREATED and session.last_heartbeat_at is None


def _check_step(before: Session, after: Session) -> None:
    """A step follows the table, and takes nothing back that an earlier step has stored."""
    moves = {now for (state, _), now in TRANSITIONS.items() if state is before.state}
    assert after.state in moves | {before.state}
    assert after.revision > before.revision
    assert after.messages_received >= before.messages_received
    assert after.messages_sent >= before.messages_sent
    for name in ("spawning_at", "attached_at", "activated_at", "terminating_at", "reason", "error"):
        assert getattr(before, name) in (None, getattr(after, name))


def _live(seed: int) -> World:
    complaints: list[dict[str, object]] = []

    async def live() -> World:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        world = World(seed)
        await world.live()
        assert await world.store.count() == 0
        return world

    world = asyncio.run(live())
    world.check()
    assert complaints == [], "an error that nobody retrieved"
    return world


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_order_of_events_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        try:
            _live(seed)
        except BaseException as failure:
            failure.add_note(f"seed {seed}")
            raise


def test_a_seed_gives_the_same_order_of_events_every_time() -> None:
    assert _live(7).store.history == _live(7).store.history


def test_the_seeds_reach_every_kind_of_life() -> None:
    worlds = [_live(seed) for seed in range(100)]
    ends = Counter(
        (session.activated_at is not None, session.attached_at is not None, session.error is None)
        for world in worlds
        for session in world.store.history
        if session.state is SessionState.CLEANED
    )
    assert set(ends) == {
        (active, attached, spotless)
        for active, attached in ((False, False), (False, True), (True, True))
        for spotless in (False, True)
    }
    assert any(len(world.attached) > len(KEYS) for world in worlds), "no second run got its agent"
