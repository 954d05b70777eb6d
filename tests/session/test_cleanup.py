"""Cleanup runs once, ends with nothing left, and is tried again after a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from unittest import mock

import pytest

from acprelay.errors import (
    InvalidTransition,
    SessionError,
    SessionExists,
    SessionNotFound,
    Unavailable,
)
from acprelay.session import (
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
    NoOpCleaner,
    NoOpScheduler,
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

CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState


async def test_cleanup_gives_the_session_to_the_injected_cleaner(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    session = await manager.get(key)
    await manager.complete_cleanup(key)
    assert cleaner.cleaned == [session]


async def test_a_cleaned_session_has_left_the_store_and_the_registry(
    manager: Manager, drive: Drive, store: MemoryStore, registry: Registry
) -> None:
    key = await drive(TERMINATING)
    await manager.complete_cleanup(key)
    assert (await store.get(key), registry.get(key)) == (None, None)
    assert (await store.count(), len(registry)) == (0, 0)


async def test_a_session_leaves_the_store_as_cleaned(
    manager: Manager, drive: Drive, store: MemoryStore, clock: FakeClock
) -> None:
    key = await drive(TERMINATING)
    at = clock.advance(5)
    with mock.patch.object(store, "remove", wraps=store.remove) as remove:
        await manager.complete_cleanup(key)
    last = remove.call_args.args[0]
    assert isinstance(last, Session)
    assert (last.key, last.state, last.cleaned_at) == (key, CLEANED, at)


@pytest.mark.parametrize("state", [CREATED, SPAWNING, ACTIVE])
async def test_cleanup_is_refused_unless_terminating(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, state: SessionState
) -> None:
    key = await drive(state)
    with pytest.raises(InvalidTransition):
        await manager.complete_cleanup(key)
    assert (await manager.get(key)).state is state
    assert cleaner.started == []


async def test_cleanup_of_what_was_never_there_does_nothing(
    manager: Manager, cleaner: FakeCleaner
) -> None:
    await manager.complete_cleanup(SessionKey("nobody", "main"))
    assert cleaner.started == []


@pytest.mark.requirement("lifecycle.cleanup-is-idempotent")
async def test_the_cleaner_runs_once_for_repeated_calls(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    for _ in range(5):
        await manager.complete_cleanup(key)
    assert len(cleaner.started) == 1


@pytest.mark.requirement("lifecycle.cleanup-is-idempotent")
async def test_the_cleaner_runs_once_for_concurrent_calls(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        for _ in range(20):
            callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()
        for _ in range(20):
            callers.create_task(manager.complete_cleanup(key))
        cleaner.release()
    assert len(cleaner.started) == 1
    assert await manager.count() == 0


async def test_the_scheduled_cleanup_and_callers_of_their_own_share_one_cleaner(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, scheduler: FakeScheduler
) -> None:
    key = await drive(TERMINATING)
    await asyncio.gather(scheduler.run(), manager.complete_cleanup(key))
    assert len(cleaner.started) == 1


async def test_cleanups_of_different_sessions_do_not_wait_for_each_other(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    slow = await drive(TERMINATING)
    other = (await manager.create(SessionSpec(session_id="other", agent="a", cwd="/"))).key
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        callers.create_task(manager.complete_cleanup(slow))
        await cleaner.arrived()
        await manager.begin_spawn(other)
        await manager.mark_terminating(other, reason="asked")
        callers.create_task(manager.complete_cleanup(other))
        await cleaner.arrived(2)
        cleaner.release()
    assert await manager.count() == 0


async def test_the_handle_is_there_for_the_cleaner_and_gone_after_it(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, registry: Registry
) -> None:
    key = await drive(ACTIVE)
    await manager.mark_terminating(key, reason="asked")
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()
        handle = registry.get(key)
        assert handle is not None
        assert handle.agent == "agent"
        cleaner.release()
    assert registry.get(key) is None


# --- failure


async def test_a_cleaner_that_failed_leaves_the_session_terminating_with_the_error_on_it(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, registry: Registry, clock: FakeClock
) -> None:
    key = await drive(TERMINATING)
    cleaner.fail_with(OSError("the worktree is busy"))
    at = clock.advance(5)
    with pytest.raises(OSError, match="the worktree is busy"):
        await manager.complete_cleanup(key)
    session = await manager.get(key)
    assert (session.state, session.error) == (TERMINATING, "OSError: the worktree is busy")
    assert session.cleanup_failed_at == at
    assert registry.get(key) is not None


async def test_a_cleaner_that_failed_is_tried_again_by_the_next_call(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    cleaner.fail_with(OSError("busy"), OSError("still busy"))
    for message in ("busy", "still busy"):
        with pytest.raises(OSError, match=f"^{message}$"):
            await manager.complete_cleanup(key)
    await manager.complete_cleanup(key)
    assert [session.error for session in cleaner.started] == [
        None,
        "OSError: busy",
        "OSError: still busy",
    ]
    assert await manager.count() == 0


async def test_a_failure_reaches_every_caller_that_waits_for_it(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    error = OSError("busy")
    cleaner.fail_with(error)
    outcomes = await asyncio.gather(
        *(manager.complete_cleanup(key) for _ in range(10)), return_exceptions=True
    )
    assert outcomes == [error] * 10
    assert len(cleaner.started) == 1


async def test_a_scheduled_cleanup_can_be_run_again_after_it_failed(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, scheduler: FakeScheduler
) -> None:
    await drive(TERMINATING)
    cleaner.fail_with(OSError("busy"))
    with pytest.raises(OSError, match="busy"):
        await scheduler.run()
    await scheduler.run()
    assert await manager.count() == 0


async def test_terminating_again_after_a_failed_cleanup_changes_nothing(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, hooks: RecordingHooks
) -> None:
    key = await drive(TERMINATING)
    cleaner.fail_with(OSError("busy"))
    with pytest.raises(OSError, match="busy"):
        await manager.complete_cleanup(key)
    failed = await manager.get(key)
    assert await manager.mark_terminating(key, reason="again") == failed
    assert len(hooks.calls) == 1


async def test_a_cancellation_that_a_cleaner_lets_out_is_a_failure_like_any_other(
    manager: Manager, drive: Drive, cleaner: FakeCleaner
) -> None:
    key = await drive(TERMINATING)
    cleaner.fail_with(asyncio.CancelledError())
    with pytest.raises(SessionError, match="its cleaner let a cancellation out"):
        await manager.complete_cleanup(key)
    assert "let a cancellation out" in ((await manager.get(key)).error or "")
    await manager.complete_cleanup(key)
    assert await manager.count() == 0


async def test_a_success_that_could_not_be_stored_is_cleaned_again(
    manager: Manager, drive: Drive, store: MemoryStore, cleaner: FakeCleaner, registry: Registry
) -> None:
    key = await drive(TERMINATING)
    lost = Unavailable("cannot reach the store")
    with mock.patch.object(store, "remove", side_effect=lost), pytest.raises(Unavailable):
        await manager.complete_cleanup(key)
    assert registry.get(key) is not None
    await manager.complete_cleanup(key)
    assert len(cleaner.cleaned) == 2
    assert (await manager.count(), len(registry)) == (0, 0)


# --- the next run


async def test_a_key_cannot_be_created_while_its_cleanup_is_under_way(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, spec: SessionSpec
) -> None:
    key = await drive(TERMINATING)
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        cleanup = callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()
        with pytest.raises(SessionExists):
            await manager.create(spec, run=2)
        cleaner.release()
        await cleanup
        assert (await manager.create(spec, run=2)).run == 2


@pytest.mark.parametrize("run", [1, 2])
async def test_a_scheduled_cleanup_that_comes_late_spares_the_next_session(
    manager: Manager, drive: Drive, scheduler: FakeScheduler, spec: SessionSpec, run: int
) -> None:
    key = await drive(CLEANED)
    await manager.create(spec, run=run)
    await scheduler.run()
    assert (await manager.get(key)).state is CREATED
    await manager.mark_terminating(key, reason="asked")
    [late, _] = scheduler.scheduled
    await late.cleanup()
    assert (await manager.get(key)).state is TERMINATING


@pytest.mark.parametrize("moment", range(12))
async def test_a_session_created_the_moment_its_key_is_free_gets_a_cleaner_of_its_own(
    manager: Manager, drive: Drive, cleaner: FakeCleaner, spec: SessionSpec, moment: int
) -> None:
    key = await drive(TERMINATING)
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as callers:
        callers.create_task(manager.complete_cleanup(key))
        await cleaner.arrived()
        cleaner.release()
        for _ in range(moment):
            await asyncio.sleep(0)
        creation = callers.create_task(_created(manager, spec))
        callers.create_task(_ended(manager, key))
        callers.create_task(_cleaned(manager, key))
        created = await creation
    await _ended(manager, key)
    await _cleaned(manager, key)
    assert [session.run for session in cleaner.cleaned] == ([1, 2] if created else [1])
    assert await manager.count() == 0


async def _created(manager: Manager, spec: SessionSpec) -> bool:
    with suppress(SessionExists):
        await manager.create(spec, run=2)
        return True
    return False


async def _ended(manager: Manager, key: SessionKey) -> None:
    with suppress(SessionNotFound):
        await manager.mark_terminating(key, reason="asked")


async def _cleaned(manager: Manager, key: SessionKey) -> None:
    await manager.complete_cleanup(key)
    left = [session for session in await manager.list() if session.state is TERMINATING]
    assert left == [], "a cleanup that cleaned nothing"


async def test_every_run_of_a_key_is_cleaned_once(
    manager: Manager, cleaner: FakeCleaner, spec: SessionSpec
) -> None:
    for run in (1, 2, 3):
        key = (await manager.create(spec, run=run)).key
        await manager.mark_terminating(key, reason="asked")
        await asyncio.gather(*(manager.complete_cleanup(key) for _ in range(3)))
    assert [session.run for session in cleaner.cleaned] == [1, 2, 3]


# --- the strategies that do nothing


async def test_a_manager_works_with_the_cleaner_and_scheduler_that_do_nothing(
    store: MemoryStore, registry: Registry, spec: SessionSpec
) -> None:
    manager = LifecycleManager(
        store=store,
        registry=registry,
        clock=FakeClock(),
        ids=FakeIds(),
        cleaner=NoOpCleaner(),
        scheduler=NoOpScheduler(),
        hooks=RecordingHooks(),
    )
    key = (await manager.create(spec)).key
    await manager.mark_terminating(key, reason="asked")
    assert (await manager.get(key)).state is TERMINATING
    await manager.complete_cleanup(key)
    assert await manager.count() == 0


async def test_the_cleaner_that_does_nothing_can_be_called_repeatedly(
    manager: Manager, drive: Drive
) -> None:
    session = await manager.get(await drive(TERMINATING))
    cleaner = NoOpCleaner()
    for _ in range(3):
        await cleaner.cleanup(session)
    assert await manager.get(session.key) == session
