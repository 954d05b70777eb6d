"""A caller that is cancelled leaves no half of a change behind, and takes nobody else with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from acprelay.errors import SessionExists
from acprelay.session import (
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
    Session,
    SessionKey,
    SessionSpec,
    SessionState,
)
from acprelay.testing.session import (
    FakeCleaner,
    FakeClock,
    FakeIds,
    FakeScheduler,
    RecordingHooks,
)

Manager = LifecycleManager[str, str]
Registry = MemoryRegistry[str, str]
Drive = Callable[[SessionState], Awaitable[SessionKey]]
T = TypeVar("T")

CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState
KEY = SessionKey("task", "main")


class GatedStore(MemoryStore):
    """A store whose writes are done at once, but answer only when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.written = asyncio.Event()

    async def insert(self, session: Session) -> Session:
        return await self._answer(await super().insert(session))

    async def replace(self, session: Session, *, expected_revision: int) -> Session:
        stored = await super().replace(session, expected_revision=expected_revision)
        return await self._answer(stored)

    async def _answer(self, stored: Session) -> Session:
        self.written.set()
        await self.gate.wait()
        return stored

    async def cancel_after_write(self, call: Awaitable[object]) -> None:
        """Cancel a caller when its change is written, but before the store has answered."""
        self.gate.clear()
        self.written.clear()
        caller = asyncio.get_running_loop().create_task(_await(call))
        async with asyncio.timeout(30):
            await self.written.wait()
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
        self.gate.set()


async def _await(call: Awaitable[T]) -> T:
    return await call


@pytest.fixture
async def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
def store_waits() -> bool:
    return True


async def test_a_caller_that_is_cancelled_does_not_cancel_the_cleaner_for_the_others(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        others = [callers.create_task(manager.complete_cleanup(key)) for _ in range(2)]
        cancelled = callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()
        cancelled.cancel()
        await asyncio.wait({cancelled})
        assert cancelled.cancelled()
        assert not any(other.done() for other in others)
        cleaner.release()
    assert len(cleaner.cleaned) == 1
    assert await manager.count() == 0


async def test_the_first_caller_of_a_cleanup_may_be_cancelled_too(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        first = callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()
        other = callers.create_task(manager.complete_cleanup(key))
        first.cancel()
        await asyncio.wait({first})
        cleaner.release()
        await other
    assert len(cleaner.started) == 1


async def test_a_cleanup_all_of_whose_callers_are_cancelled_is_completed(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        callers_only = callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()
        callers_only.cancel()
    cleaner.release()
    async with asyncio.timeout(30), manager:
        pass
    assert await manager.count() == 0


async def test_leaving_the_manager_waits_for_the_cleaner(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()

        async def leave() -> int:
            async with manager:
                pass
            return len(cleaner.cleaned)

        leaving = callers.create_task(leave())
        await asyncio.sleep(0)
        assert not leaving.done()
        cleaner.release()
    assert leaving.result() == 1


async def test_leaving_the_manager_ends_no_session(manager: Manager, drive: Drive) -> None:
    key = await drive(ACTIVE)
    async with manager:
        pass
    assert (await manager.get(key)).state is ACTIVE


async def test_a_terminate_whose_caller_is_cancelled_is_announced_and_scheduled(
    manager: Manager,
    store: GatedStore,
    drive: Drive,
    hooks: RecordingHooks,
    scheduler: FakeScheduler,
) -> None:
    key = await drive(CREATED)
    await store.cancel_after_write(manager.mark_terminating(key, reason="closed"))
    async with asyncio.timeout(30), manager:
        pass
    assert [name for name, _ in hooks.calls] == ["on_terminate"]
    assert [entry.key for entry in scheduler.scheduled] == [key]


async def test_an_activation_whose_caller_is_cancelled_is_announced(
    manager: Manager, store: GatedStore, drive: Drive, hooks: RecordingHooks
) -> None:
    key = await drive(SPAWNING)
    await store.cancel_after_write(manager.activate(key))
    async with asyncio.timeout(30), manager:
        pass
    assert hooks.calls == [("on_activate", await manager.get(key))]


async def test_an_attachment_whose_caller_is_cancelled_puts_the_agent_where_the_cleaner_looks(
    manager: Manager, store: GatedStore, drive: Drive, registry: Registry
) -> None:
    key = await drive(SPAWNING)
    handle = registry.get(key)
    assert handle is not None
    await store.cancel_after_write(manager.attach_agent(key, "agent"))
    await manager.mark_terminating(key, reason="cancelled")
    assert handle.agent == "agent"


async def test_a_creation_whose_caller_is_cancelled_is_withdrawn(
    manager: Manager,
    store: GatedStore,
    spec: SessionSpec,
    scheduler: FakeScheduler,
    registry: Registry,
) -> None:
    await store.cancel_after_write(manager.create(spec))
    async with asyncio.timeout(30), manager:
        pass
    session = await manager.get(KEY)
    assert (session.state, session.reason) == (TERMINATING, "its creation was cancelled")
    await scheduler.run()
    assert (await manager.count(), len(registry)) == (0, 0)


async def test_leaving_the_manager_waits_for_what_is_withdrawn_meanwhile(
    manager: Manager, store: GatedStore, spec: SessionSpec
) -> None:
    async def leave() -> None:
        async with manager:
            pass

    store.gate.clear()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        creator = callers.create_task(manager.create(spec))
        await store.written.wait()
        leaving = callers.create_task(leave())
        await asyncio.sleep(0)
        creator.cancel()
        store.gate.set()
        await leaving
        assert (await manager.get(KEY)).state is TERMINATING


async def test_a_creation_that_is_refused_after_its_caller_was_cancelled_leaves_the_living_alone(
    manager: Manager, spec: SessionSpec, registry: Registry
) -> None:
    living = await manager.create(spec)
    caller = asyncio.get_running_loop().create_task(manager.create(spec))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    async with asyncio.timeout(30), manager:
        pass
    assert await manager.get(KEY) == living
    assert registry.get(KEY) is not None


async def test_a_withdrawn_creation_may_be_ended_by_somebody_else_first(
    manager: Manager, store: GatedStore, spec: SessionSpec, hooks: RecordingHooks
) -> None:
    store.gate.clear()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        creator = callers.create_task(manager.create(spec))
        await store.written.wait()
        callers.create_task(manager.mark_terminating(KEY, reason="closed"))
        callers.create_task(manager.complete_cleanup(KEY))
        await asyncio.sleep(0)
        creator.cancel()
        store.gate.set()
    async with asyncio.timeout(30), manager:
        pass
    assert await manager.count() == 0
    assert [session.reason for _, session in hooks.calls] == ["closed"]


def test_a_loop_that_shuts_down_cancels_the_cleaner_and_no_failure_is_noted(
    store: GatedStore, spec: SessionSpec
) -> None:
    async def abandon_a_cleanup() -> None:
        cleaner = FakeCleaner()
        manager = LifecycleManager(
            store=store,
            registry=MemoryRegistry[str, str](),
            clock=FakeClock(),
            ids=FakeIds(),
            cleaner=cleaner,
            scheduler=FakeScheduler(),
            hooks=RecordingHooks(),
        )
        key = (await manager.create(spec)).key
        await manager.mark_terminating(key, reason="asked")
        cleaner.hold()
        async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
            caller = callers.create_task(manager.complete_cleanup(key))
            await cleaner.arrived()
            caller.cancel()

    asyncio.run(abandon_a_cleanup())
    session = asyncio.run(store.get(KEY))
    assert session is not None
    assert (session.state, session.error) == (TERMINATING, None)


async def test_a_key_is_free_after_a_create_that_was_refused_by_the_store(
    manager: Manager, spec: SessionSpec, registry: Registry
) -> None:
    await manager.create(spec)
    registry.unregister(KEY)  # as for a session that another process holds
    with pytest.raises(SessionExists):
        await manager.create(spec)
    assert registry.get(KEY) is None
