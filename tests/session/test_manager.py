"""The manager creates, finds and moves sessions, with the collaborators it is given."""

import ast
import asyncio
import inspect
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import replace
from unittest import mock

import pytest

from acprelay.errors import (
    InvalidKey,
    InvalidTransition,
    SessionExists,
    SessionNotFound,
    Unavailable,
)
from acprelay.session import (
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
    Session,
    SessionFilter,
    SessionKey,
    SessionManager,
    SessionSpec,
    SessionState,
)
from acprelay.testing.session import FakeClock, FakeIds, FakeScheduler

Manager = LifecycleManager[str, str]
Registry = MemoryRegistry[str, str]
Drive = Callable[[SessionState], Awaitable[SessionKey]]

CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState
UNKNOWN = SessionKey("nobody", "main")


class FakeProcess:
    pid = 4711


# --- creation and lookup


async def test_a_created_session_is_found_under_its_key(
    manager: Manager, spec: SessionSpec
) -> None:
    session = await manager.create(spec)
    assert session.key == SessionKey("task", "main")
    assert (session.state, session.run, session.spec) == (CREATED, 1, spec)
    assert await manager.get(session.key) == session


async def test_a_created_session_is_found_by_its_role(manager: Manager, spec: SessionSpec) -> None:
    database = await manager.create(replace(spec, role="db"))
    await manager.create(replace(spec, role="auth"))
    assert await manager.get_by_role("task", "db") == database


async def test_what_was_never_created_is_not_found(manager: Manager, spec: SessionSpec) -> None:
    await manager.create(spec)
    with pytest.raises(SessionNotFound):
        await manager.get(UNKNOWN)
    with pytest.raises(SessionNotFound):
        await manager.get_by_role("task", "db")


async def test_a_role_that_is_none_is_refused_in_a_lookup(manager: Manager) -> None:
    with pytest.raises(InvalidKey):
        await manager.get_by_role("task", "no role")


async def test_a_second_create_for_a_key_that_lives_is_refused(
    manager: Manager, spec: SessionSpec, registry: Registry
) -> None:
    first = await manager.create(spec)
    handle = registry.get(first.key)
    with pytest.raises(SessionExists, match="'task:main'"):
        await manager.create(replace(spec, agent="tester"), run=2)
    assert await manager.get(first.key) == first
    assert registry.get(first.key) is handle


@pytest.mark.parametrize("state", [state for state in SessionState if state is not CLEANED])
async def test_a_key_is_taken_in_every_state_but_the_last(
    manager: Manager, drive: Drive, spec: SessionSpec, state: SessionState
) -> None:
    await drive(state)
    with pytest.raises(SessionExists):
        await manager.create(spec)


async def test_a_cleaned_key_can_be_created_again_as_the_next_run(
    manager: Manager, drive: Drive, spec: SessionSpec
) -> None:
    key = await drive(CLEANED)
    again = await manager.create(spec, run=2)
    assert (again.key, again.run, again.state) == (key, 2, CREATED)


async def test_of_many_creates_at_once_for_a_key_one_succeeds(
    manager: Manager, spec: SessionSpec
) -> None:
    outcomes = await asyncio.gather(
        *(manager.create(spec) for _ in range(20)), return_exceptions=True
    )
    created = [outcome for outcome in outcomes if isinstance(outcome, Session)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, SessionExists)]
    assert (len(created), len(refused)) == (1, 19)
    assert await manager.list() == created


@pytest.mark.parametrize(
    ("session_id", "role"), [("no id", "main"), ("", "main"), ("task", "no role"), ("task", "")]
)
async def test_a_spec_whose_key_does_not_match_is_refused_and_leaves_nothing(
    manager: Manager, registry: Registry, session_id: str, role: str
) -> None:
    with pytest.raises(InvalidKey):
        await manager.create(SessionSpec(session_id=session_id, role=role, agent="a", cwd="/"))
    assert (await manager.count(), len(registry)) == (0, 0)


async def test_a_run_that_is_not_counted_from_one_is_refused_and_leaves_nothing(
    manager: Manager, spec: SessionSpec, registry: Registry
) -> None:
    with pytest.raises(ValueError, match="cannot number a run"):
        await manager.create(spec, run=0)
    assert (await manager.count(), len(registry)) == (0, 0)


async def test_a_list_gives_what_its_filter_matches(manager: Manager, spec: SessionSpec) -> None:
    main = await manager.create(spec)
    database = await manager.create(replace(spec, role="db"))
    other = await manager.create(replace(spec, session_id="other"))
    assert _keys(await manager.list()) == _keys([main, database, other])
    assert _keys(await manager.list(SessionFilter(session_id="task"))) == _keys([main, database])
    assert await manager.list(filter=SessionFilter(role="db")) == [database]
    assert await manager.list(SessionFilter(session_id="nobody")) == []


def _keys(sessions: list[Session]) -> set[SessionKey]:
    return {session.key for session in sessions}


async def test_sessions_are_counted_by_state(manager: Manager, spec: SessionSpec) -> None:
    for role in ("a", "b", "c"):
        await manager.create(replace(spec, role=role))
    await manager.begin_spawn(SessionKey("task", "a"))
    await manager.mark_terminating(SessionKey("task", "b"), reason="asked")
    assert await manager.count() == 3
    assert await manager.state_counts() == {
        CREATED: 1,
        SPAWNING: 1,
        ACTIVE: 0,
        TERMINATING: 1,
        CLEANED: 0,
    }


# --- injected collaborators


async def test_the_injected_ids_name_a_session_that_has_no_id(
    manager: Manager, ids: FakeIds
) -> None:
    spec = SessionSpec(agent="coder", cwd="/repo")
    first, second = await manager.create(spec), await manager.create(spec)
    assert [first.session_id, second.session_id] == ids.minted == ["id-1", "id-2"]
    assert first.spec == replace(spec, session_id="id-1")


async def test_no_id_is_minted_for_a_session_that_has_one(
    manager: Manager, ids: FakeIds, spec: SessionSpec
) -> None:
    await manager.create(spec)
    assert ids.minted == []


async def test_the_injected_clock_tells_the_time_of_every_change(
    manager: Manager, clock: FakeClock, spec: SessionSpec
) -> None:
    key = (await manager.create(spec)).key
    times = [clock.now()]
    times.append(clock.advance(1.5))
    await manager.begin_spawn(key)
    times.append(clock.advance(1.5))
    await manager.attach_agent(key, "agent")
    times.append(clock.advance(1.5))
    await manager.activate(key)
    times.append(clock.advance(1.5))
    await manager.record_heartbeat(key, received=1)
    times.append(clock.advance(1.5))
    session = await manager.mark_terminating(key, reason="asked")
    assert times == [
        session.created_at,
        session.spawning_at,
        session.attached_at,
        session.activated_at,
        session.last_heartbeat_at,
        session.terminating_at,
    ]


async def test_the_injected_store_holds_the_sessions(
    manager: Manager, store: MemoryStore, spec: SessionSpec
) -> None:
    session = await manager.create(spec)
    assert await store.list() == [session]


async def test_the_injected_registry_holds_a_fresh_handle_for_each_session(
    manager: Manager, registry: Registry, spec: SessionSpec
) -> None:
    first = await manager.create(spec)
    second = await manager.create(replace(spec, role="db"))
    assert set(registry) == {first.key, second.key}
    assert registry.get(first.key) is not registry.get(second.key)


async def test_the_injected_scheduler_is_given_the_cleanup_of_what_terminates(
    manager: Manager, drive: Drive, scheduler: FakeScheduler
) -> None:
    key = await drive(TERMINATING)
    assert [entry.key for entry in scheduler.scheduled] == [key]
    await scheduler.run()
    with pytest.raises(SessionNotFound):
        await manager.get(key)


async def test_what_a_scheduler_raises_reaches_the_caller_and_the_session_still_ends(
    manager: Manager, drive: Drive, scheduler: FakeScheduler
) -> None:
    key = await drive(ACTIVE)
    full = RuntimeError("no room")
    with (
        mock.patch.object(scheduler, "schedule", side_effect=full),
        pytest.raises(RuntimeError, match="no room"),
    ):
        await manager.mark_terminating(key, reason="asked")
    assert (await manager.get(key)).state is TERMINATING
    await manager.complete_cleanup(key)
    assert await manager.count() == 0


async def test_a_store_out_of_reach_fails_the_create_and_leaves_no_handle(
    manager: Manager, store: MemoryStore, registry: Registry, spec: SessionSpec
) -> None:
    lost = Unavailable("cannot reach the store")
    with mock.patch.object(store, "insert", side_effect=lost), pytest.raises(Unavailable):
        await manager.create(spec)
    assert len(registry) == 0
    await manager.create(spec)


# --- changes of state


async def test_a_session_goes_from_created_to_cleaned(manager: Manager, spec: SessionSpec) -> None:
    key = (await manager.create(spec)).key
    assert (await manager.begin_spawn(key)).state is SPAWNING
    assert (await manager.attach_agent(key, "agent")).state is SPAWNING
    assert (await manager.activate(key)).state is ACTIVE
    assert (await manager.mark_terminating(key, reason="closed")).state is TERMINATING
    await manager.complete_cleanup(key)
    with pytest.raises(SessionNotFound):
        await manager.get(key)


@pytest.mark.parametrize("state", [SPAWNING, ACTIVE, TERMINATING])
async def test_begin_spawn_is_refused_unless_created(
    manager: Manager, drive: Drive, state: SessionState
) -> None:
    key = await drive(state)
    before = await manager.get(key)
    with pytest.raises(InvalidTransition):
        await manager.begin_spawn(key)
    assert await manager.get(key) == before


@pytest.mark.parametrize("state", [CREATED, ACTIVE, TERMINATING])
async def test_activate_is_refused_unless_spawning(
    manager: Manager, drive: Drive, state: SessionState
) -> None:
    key = await drive(state)
    before = await manager.get(key)
    with pytest.raises(InvalidTransition):
        await manager.activate(key)
    assert await manager.get(key) == before


@pytest.mark.parametrize("state", [CREATED, ACTIVE, TERMINATING])
async def test_attach_agent_is_refused_unless_spawning(
    manager: Manager, drive: Drive, registry: Registry, state: SessionState
) -> None:
    key = await drive(state)
    before = await manager.get(key)
    handle = registry.get(key)
    assert handle is not None
    held = handle.agent
    with pytest.raises(InvalidTransition):
        await manager.attach_agent(key, "late agent")
    assert await manager.get(key) == before
    assert handle.agent == held != "late agent"


async def test_an_attached_agent_is_in_the_handle_with_its_process(
    manager: Manager, drive: Drive, registry: Registry
) -> None:
    key = await drive(SPAWNING)
    process = FakeProcess()
    await manager.attach_agent(key, "agent", process=process)
    handle = registry.get(key)
    assert handle is not None
    assert (handle.agent, handle.process) == ("agent", process)


async def test_a_second_agent_is_refused_and_the_first_stays(
    manager: Manager, drive: Drive, registry: Registry
) -> None:
    key = await drive(SPAWNING)
    await manager.attach_agent(key, "first")
    with pytest.raises(InvalidTransition):
        await manager.attach_agent(key, "second")
    handle = registry.get(key)
    assert handle is not None
    assert handle.agent == "first"


async def test_an_agent_cannot_be_attached_to_a_session_of_another_process(
    manager: Manager, drive: Drive, registry: Registry
) -> None:
    key = await drive(SPAWNING)
    registry.unregister(key)
    before = await manager.get(key)
    with pytest.raises(SessionNotFound):
        await manager.attach_agent(key, "agent")
    assert await manager.get(key) == before


@pytest.mark.parametrize("state", [CREATED, SPAWNING, ACTIVE])
async def test_a_session_can_be_terminated_from_any_state_that_is_not_its_end(
    manager: Manager, drive: Drive, state: SessionState
) -> None:
    key = await drive(state)
    session = await manager.mark_terminating(key, reason="asked")
    assert (session.state, session.reason) == (TERMINATING, "asked")


@pytest.mark.requirement("lifecycle.terminate-is-idempotent")
async def test_mark_terminating_is_idempotent_and_keeps_the_first_reason(
    manager: Manager, drive: Drive, scheduler: FakeScheduler
) -> None:
    key = await drive(ACTIVE)
    first = await manager.mark_terminating(key, reason="closed")
    assert await manager.mark_terminating(key, reason="shut down") == first
    assert first.reason == "closed"
    assert len(scheduler.scheduled) == 1


async def test_heartbeats_count_messages_both_ways(
    manager: Manager, drive: Drive, clock: FakeClock
) -> None:
    key = await drive(ACTIVE)
    await manager.record_heartbeat(key, received=3, sent=1)
    await manager.record_heartbeat(key, received=2)
    at = clock.advance(5)
    await manager.record_heartbeat(key)
    session = await manager.get(key)
    assert (session.messages_received, session.messages_sent) == (5, 1)
    assert session.last_heartbeat_at == at


async def test_concurrent_heartbeats_are_all_counted(manager: Manager, drive: Drive) -> None:
    key = await drive(ACTIVE)
    await asyncio.gather(*(manager.record_heartbeat(key, received=1, sent=2) for _ in range(100)))
    session = await manager.get(key)
    assert (session.messages_received, session.messages_sent) == (100, 200)


@pytest.mark.parametrize("state", [TERMINATING, CLEANED])
async def test_a_heartbeat_after_terminating_is_ignored(
    manager: Manager, drive: Drive, state: SessionState
) -> None:
    key = await drive(state)
    before = await manager.list()
    await manager.record_heartbeat(key, received=1)
    assert await manager.list() == before


async def test_a_negative_heartbeat_is_refused(manager: Manager, drive: Drive) -> None:
    key = await drive(ACTIVE)
    with pytest.raises(ValueError, match="cannot count"):
        await manager.record_heartbeat(key, received=-1)


async def test_changes_of_an_unknown_session_are_refused(manager: Manager) -> None:
    with pytest.raises(SessionNotFound):
        await manager.begin_spawn(UNKNOWN)
    with pytest.raises(SessionNotFound):
        await manager.attach_agent(UNKNOWN, "agent")
    with pytest.raises(SessionNotFound):
        await manager.activate(UNKNOWN)
    with pytest.raises(SessionNotFound):
        await manager.mark_terminating(UNKNOWN, reason="asked")


async def test_changes_of_one_session_are_made_in_the_order_of_the_calls(
    manager: Manager, spec: SessionSpec
) -> None:
    key = SessionKey("task", "main")
    await asyncio.gather(
        manager.create(spec),
        manager.begin_spawn(key),
        manager.attach_agent(key, "agent"),
        manager.activate(key),
        manager.mark_terminating(key, reason="asked"),
        manager.complete_cleanup(key),
    )
    assert await manager.count() == 0


# --- its shape


def test_the_manager_is_what_the_ports_ask_for(manager: Manager) -> None:
    as_port: SessionManager[str] = manager
    assert as_port is manager


def test_every_public_method_of_the_manager_is_under_twenty_lines() -> None:
    source = textwrap.dedent(inspect.getsource(LifecycleManager))
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    methods = [node for node in definition.body if isinstance(node, ast.AsyncFunctionDef)]
    lengths = {
        method.name: (method.end_lineno or 0) - method.lineno + 1
        for method in methods
        if not method.name.startswith("_")
    }
    assert len(lengths) == 12
    assert max(lengths.values()) < 20, lengths
