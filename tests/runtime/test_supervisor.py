"""Runs that end by themselves and runs that are not well, and what the relay does about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import SpawnFailed
from acprelay.routing.building import Rules
from acprelay.runtime.supervisor import Supervisor
from acprelay.session.models import SessionKey
from acprelay.testing.agents import FakeAgent

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

KEY = SessionKey("task", "main")
NOTICE, RESTARTED = "_acprelay/notice", "_acprelay/run_restarted"

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""

THRICE = Rules(restarts={"fake": 3})
AT_ONCE = Rules(stall_s=1e-9, silence_s=1e-9)

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]


@pytest.fixture(autouse=True)
async def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a microsecond pass whenever a supervisor asks for the time, from an hour ahead on.

    So a restart comes when a test lets it come, and never by itself, however slow the machine is.
    """
    ticks = count(int(asyncio.get_running_loop().time() + 3600) * 1_000_000)
    monkeypatch.setattr("acprelay.runtime.supervisor._now", lambda: next(ticks) / 1_000_000)


def resuming(agent: FakeAgent) -> None:
    agent.promise("session/resume")


def due_in_s(supervisor: Supervisor) -> float | None:
    """How far off the next restart was when it was set: it is not half over yet."""
    in_s = supervisor.standing().restart_in_s
    return None if in_s is None else next(s for s in (0.5, 1.0, 2.0, 4.0) if s >= in_s)


async def ring(world: World) -> None:
    """Lets the time of the restart come."""
    alarm = world.driver().supervisor._alarm
    assert alarm._timer is not None
    alarm.set(None)
    alarm._ring()
    await world.steps(AFTERWARDS)


async def crash(world: World) -> None:
    """Has the agent's process end by itself."""
    world.agent.die()
    await world.steps(AFTERWARDS)


async def opened(world: World) -> tuple[Client, str]:
    world.program = resuming
    client = await world.greeted()
    session = await client.open_session()
    client.outlet.payloads.clear()
    return client, session


# --- agents that end by themselves between turns


@pytest.mark.requirement("supervision.idle-crashes-are-restarted")
async def test_an_idle_agent_that_crashes_is_restarted_and_restored_unasked(
    open_world: OpenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        await crash(world)
        supervisor = world.driver().supervisor
        assert due_in_s(supervisor) == 0.5
        assert not world.driver().is_live
        assert len(world.launcher.living) == 0
        await ring(world)
        assert world.driver().is_live
        assert due_in_s(supervisor) is None
        assert len(world.agent.requests("session/resume")) == 1
        assert client.markers(RESTARTED) == [{"sessionId": session, "run": 2, "restarts": 1}]
        assert "result" in await client.answer(client.prompt(session))
        assert (await world.manager.get(KEY)).run == 2
    said = [record.getMessage() for record in caplog.records]
    ended = "cannot reach agent 'fake': it ended with exit status 3"
    assert f"session {session}: {ended}; restarting it in 0.5 s" in said
    assert f"session {session}: restarted its agent, as run 2" in said


@pytest.mark.requirement("supervision.turns-are-not-restarted")
async def test_an_agent_that_crashes_in_a_turn_is_not_restarted_and_no_prompt_is_repeated(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        world.agent.ignore("session/prompt")
        request = client.prompt(session)
        await world.steps(AFTERWARDS)
        await crash(world)
        assert (await client.answer(request))["error"]["data"]["code"] == "agent_exited"
        assert due_in_s(world.driver().supervisor) is None
        assert "result" in await client.answer(client.prompt(session))
        assert len(world.agent.requests("session/prompt")) == 1
        assert client.markers(RESTARTED) == []


async def test_an_agent_that_crashes_while_somebody_waits_for_it_is_not_restarted(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        world.agent.ignore("session/set_mode")
        request = client.request("session/set_mode", {"sessionId": session, "modeId": "ask"})
        await world.steps(AFTERWARDS)
        await crash(world)
        assert "error" in await client.answer(request)
        assert due_in_s(world.driver().supervisor) is None


async def test_with_nobody_there_when_it_crashes_an_agent_is_not_restarted(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, _ = await opened(world)
        await client.leave()
        await crash(world)
        assert due_in_s(world.driver().supervisor) is None
        assert world.launcher.living == []


async def test_with_nobody_there_when_the_time_comes_the_conversation_is_left_dormant(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, _ = await opened(world)
        await crash(world)
        await client.leave()
        await ring(world)
        assert not world.driver().is_live
        assert len(world.launcher.launched) == 1


@pytest.mark.requirement("supervision.unrestorable-agents-stay-dormant")
async def test_an_agent_that_cannot_restore_is_left_dormant_and_no_process_started(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client = await world.greeted()
        await client.open_session()
        await crash(world)
        assert due_in_s(world.driver().supervisor) is None
        assert len(world.launcher.launched) == 1
        assert [notice["code"] for notice in client.markers(NOTICE)] == ["agent_exited"]


async def test_a_restart_that_the_agent_refuses_is_not_tried_again(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, _ = await opened(world)
        await crash(world)

        def forgetful(agent: FakeAgent) -> None:
            agent.promise("session/resume")
            agent.refuse("session/resume", message="no such session")

        world.program = forgetful
        await ring(world)
        assert due_in_s(world.driver().supervisor) is None
        codes = [notice["code"] for notice in client.markers(NOTICE)]
        assert codes == ["agent_exited", "not_restorable"]


async def test_an_agent_that_nobody_is_to_restart_is_not(open_world: OpenWorld) -> None:
    async with open_world(rules=Rules(restarts={"fake": 0, "other": 3})) as world:
        await opened(world)
        await crash(world)
        assert due_in_s(world.driver().supervisor) is None


@pytest.mark.requirement("supervision.restarts-are-limited", "supervision.restarts-back-off")
async def test_after_so_many_restarts_in_a_row_it_is_left_dormant_until_the_next_prompt(
    open_world: OpenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        supervisor = world.driver().supervisor
        waits = []
        for _ in range(3):
            await crash(world)
            waits.append(due_in_s(supervisor))
            await ring(world)
        await crash(world)
        assert waits == [0.5, 1.0, 2.0]
        assert due_in_s(supervisor) is None
        assert [marker["restarts"] for marker in client.markers(RESTARTED)] == [1, 2, 3]
        assert "left dormant after 3 restarts in a row" in caplog.text
        assert "result" in await client.answer(client.prompt(session))
        await crash(world)
        assert due_in_s(supervisor) is None
        supervisor._restarts.run_began(-60.0)  # a run has lived for long
        assert "result" in await client.answer(client.prompt(session))
        supervisor._restarts.run_began(asyncio.get_running_loop().time() - 60.0)
        await crash(world)
        assert due_in_s(supervisor) == 0.5


@pytest.mark.requirement("supervision.restarts-back-off")
async def test_a_run_that_lived_for_long_and_ended_in_a_turn_ends_the_row_of_restarts(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        supervisor = world.driver().supervisor
        for _ in range(3):
            await crash(world)
            await ring(world)
        supervisor._restarts.run_began(asyncio.get_running_loop().time() - 60.0)
        world.agent.ignore("session/prompt")
        request = client.prompt(session)
        await world.steps(AFTERWARDS)
        await crash(world)
        assert "error" in await client.answer(request)
        assert "result" in await client.answer(client.prompt(session))
        await crash(world)
        assert due_in_s(supervisor) == 0.5


async def test_restarts_that_fail_are_tried_again_and_count(open_world: OpenWorld) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        supervisor = world.driver().supervisor
        await crash(world)
        world.launcher.fail_with(*[SpawnFailed("cannot start agent 'fake'") for _ in range(2)])
        waits = []
        for _ in range(2):
            await ring(world)
            waits.append(due_in_s(supervisor))
        await ring(world)
        assert waits == [1.0, 2.0]
        assert world.driver().is_live
        assert client.markers(RESTARTED) == [{"sessionId": session, "run": 4, "restarts": 3}]


@pytest.mark.requirement("supervision.prompts-wait-for-no-restart")
async def test_a_prompt_before_the_restart_begins_the_run_at_once(open_world: OpenWorld) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        await crash(world)
        assert "result" in await client.answer(client.prompt(session))
        assert due_in_s(world.driver().supervisor) is None
        assert world.driver().supervisor._alarm._timer is None
        assert client.markers(RESTARTED) == []
        assert len(world.launcher.launched) == 2


async def test_a_prompt_during_the_restart_waits_for_that_run_alone(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        await crash(world)
        world.launcher.hold()
        await ring(world)
        request = client.prompt(session)
        await world.steps(AFTERWARDS)
        world.launcher.release()
        assert "result" in await client.answer(request)
        assert len(world.launcher.launched) == 2


async def test_a_prompt_that_waits_for_a_restart_that_fails_is_answered_and_not_retried(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        await crash(world)
        world.launcher.hold()
        await ring(world)
        request = client.prompt(session)
        world.launcher.fail_with(SpawnFailed("cannot start agent 'fake'"))
        world.launcher.release()
        assert (await client.answer(request))["error"]["data"]["code"] == "spawn_failed"
        await world.steps(AFTERWARDS)
        assert due_in_s(world.driver().supervisor) is None


@pytest.mark.parametrize("method", ["session/close", "session/delete"])
async def test_a_session_that_is_closed_or_deleted_meanwhile_is_not_restarted(
    open_world: OpenWorld, method: str
) -> None:
    async with open_world(rules=THRICE) as world:
        client, session = await opened(world)
        await crash(world)
        supervisor = world.driver().supervisor
        assert (await client.call(method, {"sessionId": session}))["result"] == {}
        assert due_in_s(supervisor) is None
        assert supervisor._alarm._timer is None


async def test_a_restart_waits_until_what_the_crashed_agent_has_left_is_gone(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=THRICE) as world:
        await opened(world)
        first = world.agent
        first.hold_end()
        await crash(world)
        await ring(world)
        assert len(world.launcher.launched) == 1
        first.release_end()
        await world.steps_until(lambda: world.driver().is_live)
        assert len(world.launcher.launched) == 2


async def test_a_relay_that_stops_meanwhile_restarts_nothing(open_world: OpenWorld) -> None:
    async with open_world(rules=THRICE) as world:
        await opened(world)
        await crash(world)
        supervisor = world.driver().supervisor
        await world.host.aclose(reason="the test is over")
        assert supervisor._alarm._timer is None
        supervisor._restart()  # as if it had been due just now
        await world.steps(AFTERWARDS)
        assert supervisor._alarm._timer is None  # nor is it tried again
        assert len(world.launcher.launched) == 1


async def test_agents_that_die_as_the_relay_stops_are_not_restarted(
    open_world: OpenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(rules=THRICE) as world:
        client, _ = await opened(world)
        closing = asyncio.get_running_loop().create_task(
            world.host.aclose(reason="the test is over")
        )
        await asyncio.sleep(0)  # it has begun, and reached no agent yet
        world.agent.die()  # a service manager tells its whole group at once
        await closing
        await world.steps(AFTERWARDS)
        assert [notice["code"] for notice in client.markers(NOTICE)] == ["agent_exited"]
        assert "restarting" not in caplog.text


# --- agents that are not well


async def look(world: World, times: int = 2) -> None:
    for _ in range(times):
        await world.host.keep_house()
        await world.steps(AFTERWARDS)


def told(client: Client) -> list[tuple[object, object]]:
    """The conditions that it was told of."""
    notices = [notice for notice in client.markers(NOTICE) if notice["code"] == "agent_health"]
    return [(notice["condition"], notice["state"]) for notice in notices]


@pytest.mark.requirement("supervision.silence-is-told", "supervision.warnings-end-nothing")
async def test_silence_in_a_turn_is_told_in_both_logs_and_ends_nothing(
    open_world: OpenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(rules=AT_ONCE) as world:
        client, session = await opened(world)
        world.agent.ignore("session/prompt")
        await look(world)
        assert told(client) == []  # it is in no turn
        request = client.prompt(session)
        await world.steps(AFTERWARDS)
        await look(world, times=4)
        assert told(client) == [("silent-in-turn", "began")]
        assert world.driver().supervisor.standing().health == ("silent-in-turn",)
        world.agent.answer(world.agent.requests("session/prompt")[0], {"stopReason": "end_turn"})
        assert "result" in await client.answer(request)
        await look(world)
        assert told(client) == [("silent-in-turn", "began"), ("silent-in-turn", "ended")]
        assert world.agent.exit is None
    assert f"session {session}: cannot hear agent 'fake'" in caplog.text
    assert f"session {session}: agent 'fake' is no longer silent in its turn" in caplog.text


async def test_an_agent_that_waits_for_a_client_is_not_silent(open_world: OpenWorld) -> None:
    async with open_world(rules=AT_ONCE) as world:
        client, session = await opened(world)
        world.agent.ignore("session/prompt")
        client.prompt(session)
        await world.steps(AFTERWARDS)
        options = [{"optionId": "yes", "kind": "allow_once"}]
        world.agent.ask(
            41, "session/request_permission", sessionId="agent-session", options=options
        )
        await look(world)
        assert told(client) == []


async def test_an_agent_that_the_relay_does_not_read_is_not_silent(open_world: OpenWorld) -> None:
    async with open_world(rules=AT_ONCE) as world:
        client, session = await opened(world)
        world.agent.ignore("session/prompt")
        client.prompt(session)
        await world.steps(AFTERWARDS)
        world.driver()._slot.pause()
        await look(world)
        assert told(client) == []


@pytest.mark.requirement("supervision.stalled-input-is-told", "supervision.warnings-end-nothing")
async def test_input_that_is_not_read_is_told_and_ends_nothing(
    open_world: OpenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(rules=Rules(stall_s=30.0)) as world:
        client, session = await opened(world)
        world.agent.waiting_since = asyncio.get_running_loop().time() - 31.0
        await look(world)
        assert told(client) == [("stdin-stalled", "began")]
        world.agent.waiting_since = None
        await look(world)
        assert told(client) == [("stdin-stalled", "began"), ("stdin-stalled", "ended")]
        assert world.agent.exit is None
    assert f"session {session}: cannot get through to agent 'fake'" in caplog.text


@pytest.mark.requirement("supervision.silence-is-told")
async def test_what_is_the_matter_ends_with_the_run(open_world: OpenWorld) -> None:
    async with open_world(rules=AT_ONCE) as world:
        client, session = await opened(world)
        world.agent.ignore("session/prompt")
        client.prompt(session)
        await world.steps(AFTERWARDS)
        await look(world)
        await crash(world)
        assert told(client) == [("silent-in-turn", "began"), ("silent-in-turn", "ended")]
        await look(world)
        assert world.driver().supervisor.standing().health == ()
