"""A change is stored however many writers elsewhere are faster, and never on top of theirs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from acprelay.errors import Conflict, InvalidTransition, SessionNotFound
from acprelay.session import (
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
    Session,
    SessionKey,
    SessionSpec,
    SessionState,
    SessionStore,
)
from acprelay.testing.session import (
    FakeCleaner,
    FakeClock,
    FakeIds,
    FakeScheduler,
    RecordingHooks,
    YieldingStore,
)

Manager = LifecycleManager[str, str]

CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState
KEY = SessionKey("task", "main")


class ContendedStore(MemoryStore):
    """A store where another writer comes before every write, as long as there are rivals."""

    def __init__(self) -> None:
        super().__init__()
        self.rivals: list[Callable[[Session], Session]] = []
        self.conflicts = 0

    async def replace(self, session: Session, *, expected_revision: int) -> Session:
        await self._let_a_rival_write(session.key)
        return await super().replace(session, expected_revision=expected_revision)

    async def remove(self, session: Session, *, expected_revision: int) -> Session:
        await self._let_a_rival_write(session.key)
        return await super().remove(session, expected_revision=expected_revision)

    async def _let_a_rival_write(self, key: SessionKey) -> None:
        if not self.rivals:
            return
        stored = await self.get(key)
        assert stored is not None
        changed = self.rivals.pop(0)(stored)
        if changed.run == stored.run and not changed.state.is_terminal:
            await super().replace(changed, expected_revision=stored.revision)
        else:
            await super().remove(stored, expected_revision=stored.revision)
        if changed.run != stored.run:
            await self.insert(changed)
        self.conflicts += 1


def _sends_one(session: Session) -> Session:
    return replace(session, messages_sent=session.messages_sent + 1)


def _terminates(session: Session) -> Session:
    return replace(session, state=TERMINATING, reason="a rival asked")


def _cleans(session: Session) -> Session:
    return replace(session, state=CLEANED)


def _starts_the_next_run(session: Session) -> Session:
    return replace(session, run=session.run + 1, state=CREATED)


@pytest.fixture
def store() -> ContendedStore:
    return ContendedStore()


async def test_a_change_is_repeated_until_it_is_stored(
    manager: Manager, store: ContendedStore, spec: SessionSpec
) -> None:
    key = (await manager.create(spec)).key
    store.rivals = [_sends_one] * 100
    await manager.record_heartbeat(key, received=1, sent=1)
    session = await manager.get(key)
    assert (session.messages_received, session.messages_sent) == (1, 101)
    assert store.conflicts == 100


async def test_a_hook_fires_once_although_its_change_had_to_be_repeated(
    manager: Manager, store: ContendedStore, spec: SessionSpec, hooks: RecordingHooks
) -> None:
    key = (await manager.create(spec)).key
    await manager.begin_spawn(key)
    store.rivals = [_sends_one] * 3
    await manager.activate(key)
    store.rivals = [_sends_one] * 3
    await manager.mark_terminating(key, reason="asked")
    assert [name for name, _ in hooks.calls] == ["on_activate", "on_terminate"]
    assert store.conflicts == 6


async def test_who_stored_the_termination_announces_it_and_nobody_else(
    manager: Manager,
    store: ContendedStore,
    spec: SessionSpec,
    hooks: RecordingHooks,
    scheduler: FakeScheduler,
) -> None:
    key = (await manager.create(spec)).key
    store.rivals = [_terminates]
    session = await manager.mark_terminating(key, reason="asked")
    assert session.reason == "a rival asked"
    assert (hooks.calls, scheduler.scheduled) == ([], [])


async def test_an_agent_is_refused_when_a_rival_terminates_first(
    manager: Manager,
    store: ContendedStore,
    spec: SessionSpec,
    registry: MemoryRegistry[str, str],
) -> None:
    key = (await manager.create(spec)).key
    await manager.begin_spawn(key)
    store.rivals = [_terminates]
    with pytest.raises(InvalidTransition):
        await manager.attach_agent(key, "agent")
    handle = registry.get(key)
    assert handle is not None
    assert handle.agent is None


async def test_a_change_of_one_run_never_reaches_the_next(
    manager: Manager, store: ContendedStore, spec: SessionSpec
) -> None:
    key = (await manager.create(spec)).key
    store.rivals = [_starts_the_next_run]
    with pytest.raises(SessionNotFound):
        await manager.mark_terminating(key, reason="asked of the first run")
    session = await manager.get(key)
    assert (session.run, session.state) == (2, CREATED)


async def test_a_cleanup_is_completed_although_a_rival_writes(
    manager: Manager, store: ContendedStore, spec: SessionSpec, cleaner: FakeCleaner
) -> None:
    key = (await manager.create(spec)).key
    await manager.mark_terminating(key, reason="asked")
    store.rivals = [_sends_one]
    await manager.complete_cleanup(key)
    assert (await store.count(), len(cleaner.cleaned)) == (0, 1)


async def test_a_cleanup_that_a_rival_completed_first_is_complete(
    manager: Manager,
    store: ContendedStore,
    spec: SessionSpec,
    registry: MemoryRegistry[str, str],
) -> None:
    key = (await manager.create(spec)).key
    await manager.mark_terminating(key, reason="asked")
    store.rivals = [_cleans]
    await manager.complete_cleanup(key)
    assert (await store.count(), len(registry)) == (0, 0)


async def test_the_cleaner_s_error_is_told_although_a_rival_has_removed_the_session(
    manager: Manager, store: ContendedStore, spec: SessionSpec, cleaner: FakeCleaner
) -> None:
    key = (await manager.create(spec)).key
    await manager.mark_terminating(key, reason="asked")
    store.rivals = [_cleans]
    cleaner.fail_with(OSError("busy"))
    with pytest.raises(OSError, match="busy"):
        await manager.complete_cleanup(key)
    assert await store.count() == 0


class CountingStore(YieldingStore):
    """Counts the conflicts that its users meet."""

    def __init__(self, inner: SessionStore, *, random: Random) -> None:
        super().__init__(inner, random=random)
        self.conflicts = 0

    async def replace(self, session: Session, *, expected_revision: int) -> Session:
        try:
            return await super().replace(session, expected_revision=expected_revision)
        except Conflict:
            self.conflicts += 1
            raise


def _manager_of(store: SessionStore) -> Manager:
    return LifecycleManager(
        store=store,
        registry=MemoryRegistry[str, str](),
        clock=FakeClock(),
        ids=FakeIds(),
        cleaner=FakeCleaner(),
        scheduler=FakeScheduler(),
        hooks=RecordingHooks(),
    )


@pytest.mark.parametrize("seed", range(20))
async def test_managers_that_share_a_store_lose_no_heartbeat(seed: int, spec: SessionSpec) -> None:
    store = CountingStore(MemoryStore(), random=Random(seed))
    managers = [_manager_of(store) for _ in range(3)]
    await managers[0].create(spec)
    async with asyncio.timeout(30), asyncio.TaskGroup() as writers:
        for manager in managers * 10:
            writers.create_task(manager.record_heartbeat(KEY, received=1, sent=2))
    session = await managers[0].get(KEY)
    assert (session.messages_received, session.messages_sent) == (30, 60)
    assert store.conflicts > 0


@pytest.mark.parametrize("seed", range(20))
async def test_of_managers_that_share_a_store_one_announces_a_termination(
    seed: int, spec: SessionSpec
) -> None:
    store = YieldingStore(MemoryStore(), random=Random(seed))
    told = RecordingHooks()
    managers = [
        LifecycleManager(
            store=store,
            registry=MemoryRegistry[str, str](),
            clock=FakeClock(),
            ids=FakeIds(),
            cleaner=FakeCleaner(),
            scheduler=FakeScheduler(),
            hooks=told,
        )
        for _ in range(3)
    ]
    await managers[0].create(spec)
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        for number, manager in enumerate(managers):
            callers.create_task(manager.mark_terminating(KEY, reason=str(number)))
    assert [session.reason for _, session in told.calls] == [(await managers[0].get(KEY)).reason]
