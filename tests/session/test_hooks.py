"""Hooks are told once, after the change is stored, and can break nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from acprelay.errors import InvalidTransition
from acprelay.session import (
    LifecycleManager,
    MemoryStore,
    Session,
    SessionKey,
    SessionSpec,
    SessionState,
)
from acprelay.testing.session import FakeScheduler, RecordingHooks

Manager = LifecycleManager[str, str]
Drive = Callable[[SessionState], Awaitable[SessionKey]]

CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState


def _names(hooks: RecordingHooks) -> list[str]:
    return [name for name, _ in hooks.calls]


async def test_on_activate_is_given_the_session_as_it_was_stored(
    manager: Manager, drive: Drive, hooks: RecordingHooks
) -> None:
    key = await drive(ACTIVE)
    assert hooks.calls == [("on_activate", await manager.get(key))]


async def test_on_terminate_is_given_the_session_with_its_reason(
    manager: Manager, drive: Drive, hooks: RecordingHooks
) -> None:
    key = await drive(CREATED)
    session = await manager.mark_terminating(key, reason="closed")
    assert hooks.calls == [("on_terminate", session)]
    assert session.reason == "closed"


async def test_a_hook_is_told_after_the_change_is_stored(
    manager: Manager,
    drive: Drive,
    store: MemoryStore,
    hooks: RecordingHooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = await drive(SPAWNING)
    revisions: list[int] = []
    replace = store.replace

    async def note(session: Session, *, expected_revision: int) -> Session:
        assert hooks.calls == []
        stored = await replace(session, expected_revision=expected_revision)
        revisions.append(stored.revision)
        return stored

    monkeypatch.setattr(store, "replace", note)
    await manager.activate(key)
    assert [session.revision for _, session in hooks.calls] == revisions


async def test_on_terminate_comes_before_the_cleanup_is_scheduled(
    manager: Manager,
    drive: Drive,
    scheduler: FakeScheduler,
    hooks: RecordingHooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = await drive(CREATED)
    told_before: list[str] = []

    def note(_key: SessionKey, _cleanup: Callable[[], Awaitable[None]]) -> None:
        told_before.extend(_names(hooks))

    monkeypatch.setattr(scheduler, "schedule", note)
    await manager.mark_terminating(key, reason="closed")
    assert told_before == ["on_terminate"]


@pytest.mark.requirement("lifecycle.terminate-is-idempotent")
async def test_hooks_fire_once_however_many_calls_ask_for_the_same(
    manager: Manager, drive: Drive, hooks: RecordingHooks
) -> None:
    key = await drive(ACTIVE)
    await asyncio.gather(*(manager.mark_terminating(key, reason="asked") for _ in range(20)))
    assert _names(hooks) == ["on_activate", "on_terminate"]


async def test_no_hook_fires_for_a_change_that_is_refused(
    manager: Manager, drive: Drive, hooks: RecordingHooks
) -> None:
    key = await drive(ACTIVE)
    with pytest.raises(InvalidTransition):
        await manager.activate(key)
    assert _names(hooks) == ["on_activate"]


async def test_no_hook_fires_for_other_changes(
    manager: Manager, drive: Drive, hooks: RecordingHooks
) -> None:
    key = await drive(ACTIVE)
    hooks.calls.clear()
    await manager.record_heartbeat(key, received=1)
    await manager.get(key)
    assert hooks.calls == []


async def test_hooks_that_raise_are_logged_and_change_nothing(
    manager: Manager,
    hooks: RecordingHooks,
    scheduler: FakeScheduler,
    spec: SessionSpec,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hooks.error = ValueError("a bug in the hook")
    key = (await manager.create(spec)).key
    await manager.begin_spawn(key)
    with caplog.at_level(logging.ERROR):
        assert (await manager.activate(key)).state is ACTIVE
        assert (await manager.mark_terminating(key, reason="asked")).state is TERMINATING
    failures = [record for record in caplog.records if record.name == "acprelay.session.manager"]
    assert [record.exc_info[1] for record in failures if record.exc_info] == [hooks.error] * 2
    assert all("task:main" in record.getMessage() for record in failures)
    assert len(scheduler.scheduled) == 1
