"""Whatever ends a start, at whatever instant: one answer, no process, no session, no task.

An instant is a number of rounds of the event loop after the client has asked for its session. Each
test goes through all of them, from before the first step until the session has long been open. The
worlds themselves check, when they are left, that no process, session or task is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import pytest

from acprelay.errors import SpawnFailed
from acprelay.session.models import SessionKey, SessionState
from acprelay.session.store_memory import MemoryStore
from acprelay.testing.agents import FakeAgent, Message
from acprelay.testing.session import YieldingStore

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

KEY = SessionKey("task", "main")

AFTERWARDS = 60
"""Rounds in which everything that a memory store does not slow down has come to rest."""

SLOWNESS = 12
"""How many times as long it may take with a store that yields."""

OpenWorld: TypeAlias = Callable[..., AbstractAsyncContextManager["World"]]
Preparation: TypeAlias = Callable[["World"], None]
Disturbance: TypeAlias = Callable[["World", "Client", object], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a start that was disturbed at one instant."""

    instant: int
    existed: bool
    """Whether there was a session when the disturbance came."""
    lives: SessionState | None
    """The state of the session afterwards, if there is still one."""
    codes: tuple[object, ...]
    """The answers to `session/new`: an error's code, a refusal's message, or `open`."""


def code(answer: Message) -> object:
    if "error" not in answer:
        return "open"
    data = answer["error"].get("data", {"code": answer["error"]["message"]})
    return data["code"]


async def outcomes(
    disturb: Disturbance, prepare: Preparation, open_world: OpenWorld, seed: int | None = None
) -> list[Outcome]:
    """Disturbs a start at every instant."""
    found: list[Outcome] = []
    slowness = 1 if seed is None else SLOWNESS
    last = AFTERWARDS // 2 * slowness
    for instant in range(0, last, 1 if seed is None else 9):
        memory = MemoryStore()
        store = memory if seed is None else YieldingStore(memory, random=Random(seed))
        async with open_world(store=store) as world:
            client = await world.greeted()
            prepare(world)
            request = client.begin_session()
            await world.steps(instant)
            existed = await memory.get(KEY) is not None
            await disturb(world, client, request)
            await world.steps(AFTERWARDS * slowness)
            session = await memory.get(KEY)
            assert (session is None) == world.is_gone()
            outcome = Outcome(
                instant=instant,
                existed=existed,
                lives=session.state if session is not None else None,
                codes=tuple(map(code, client.answers(request))),
            )
            # A conversation is there exactly where somebody knows of it.
            assert len(world.storage.records()) == outcome.codes.count("open"), outcome
            assert (KEY in world.archive) == ("open" in outcome.codes), outcome
            found.append(outcome)
    return found


# --- how a start goes


def warm(_world: World) -> None:
    """The process that has described the agent serves the session."""


def cold(world: World) -> None:
    """The session's process is started for it."""
    world.agent.die()


def refusing(world: World) -> None:
    program(world, lambda agent: agent.refuse("session/new", message="log in first"))


def dying(world: World) -> None:
    program(world, lambda agent: agent.die_on("session/new"))


def opening_and_dying(world: World) -> None:
    def answer_and_die(agent: FakeAgent, asked: Message) -> None:
        agent.answer(asked, {"sessionId": "agent-session"})
        agent.die()

    program(world, lambda agent: agent.react("session/new", answer_and_die))


def failing(world: World) -> None:
    world.agent.die()
    world.launcher.fail_with(SpawnFailed("cannot start agent 'fake'"))


def silent(world: World) -> None:
    program(world, lambda agent: agent.ignore("session/new"))


def cold_and_silent(world: World) -> None:
    world.agent.die()
    world.program = lambda agent: agent.ignore("initialize")


def program(world: World, how: Callable[[FakeAgent], None]) -> None:
    """Lets the process that is warm behave like this, and every later one."""
    how(world.agent)
    world.program = how


def slow_to_end(world: World) -> None:
    """The agent survives the first attempts to end it by a few rounds."""
    agent = world.agent
    agent.hold_end()

    def release_soon(rounds: int) -> None:
        if rounds:
            asyncio.get_running_loop().call_soon(release_soon, rounds - 1)
        else:
            agent.release_end()

    release_soon(AFTERWARDS // 2)


ENDLESS = (silent, cold_and_silent)

OWN_CODE: dict[Preparation, str] = {
    warm: "open",
    cold: "open",
    slow_to_end: "open",
    refusing: "log in first",
    dying: "agent_exited",
    opening_and_dying: "agent_exited",
    failing: "spawn_failed",
}
"""How a start that nobody disturbs is answered; those that are never answered are missing."""

every_start = pytest.mark.parametrize("prepare", [*OWN_CODE, *ENDLESS])


def check(found: list[Outcome], prepare: Preparation, *codes: str) -> None:
    """Checks what holds for every outcome.

    Args:
        found: The outcomes.
        prepare: How the start went.
        codes: The answers that the disturbance may cause.
    """
    for outcome in found:
        if outcome.lives is SessionState.SPAWNING:
            assert prepare in ENDLESS, outcome
            assert outcome.codes == (), outcome
        elif outcome.lives is not None:
            assert outcome.lives is SessionState.ACTIVE, outcome
            assert outcome.codes == ("open",), outcome
        else:
            assert len(outcome.codes) == 1, outcome
        assert set(outcome.codes) <= {*codes, OWN_CODE.get(prepare)}, outcome


@pytest.mark.parametrize("prepare", OWN_CODE)
async def test_an_undisturbed_start_comes_to_its_end_in_time(
    prepare: Preparation, open_world: OpenWorld
) -> None:
    async def do_nothing(_world: World, _client: Client, _request: object) -> None:
        pass

    [first, *_] = await outcomes(do_nothing, prepare, open_world)
    assert first.codes == (OWN_CODE[prepare],)
    assert first.lives == (SessionState.ACTIVE if first.codes == ("open",) else None)


# --- what may happen to it


async def terminate(world: World, _client: Client, _request: object) -> None:
    await world.host.runs.terminate(KEY, reason="disturbed")


async def end(world: World, _client: Client, _request: object) -> None:
    existed = await world.store.get(KEY) is not None
    await world.host.runs.end(KEY, reason="disturbed")
    if existed:
        assert await world.store.get(KEY) is None


async def leave(_world: World, client: Client, _request: object) -> None:
    await client.leave()


async def stop(world: World, _client: Client, _request: object) -> None:
    await world.host.aclose(reason="the relay is stopping")
    assert await world.store.count() == 0
    assert len(world.registry) == 0


async def cancel(_world: World, client: Client, request: object) -> None:
    client.notify("$/cancel_request", requestId=request)


async def kill(world: World, _client: Client, _request: object) -> None:
    for agent in world.launcher.living:
        agent.die()


async def all_at_once(world: World, client: Client, request: object) -> None:
    async with asyncio.TaskGroup() as together:
        for act in (terminate, kill, cancel, end, leave, stop, terminate):
            together.create_task(_perform(act, world, client, request))


async def _perform(act: Disturbance, world: World, client: Client, request: object) -> None:
    await act(world, client, request)


@every_start
async def test_a_session_may_be_terminated_at_any_instant_of_its_start(
    prepare: Preparation, open_world: OpenWorld
) -> None:
    found = await outcomes(terminate, prepare, open_world)
    check(found, prepare, "session_ended")
    assert [outcome for outcome in found if outcome.existed and outcome.lives] == []


@pytest.mark.requirement("lifecycle.early-cancel-leaves-no-process")
@every_start
async def test_whoever_ends_a_session_in_its_start_returns_when_it_is_gone(
    prepare: Preparation, open_world: OpenWorld
) -> None:
    found = await outcomes(end, prepare, open_world)
    check(found, prepare, "session_ended")
    assert [outcome for outcome in found if outcome.existed and outcome.lives] == []


@every_start
async def test_the_relay_may_stop_at_any_instant_of_a_start(
    prepare: Preparation, open_world: OpenWorld
) -> None:
    found = await outcomes(stop, prepare, open_world)
    check(found, prepare, "session_ended", "unavailable")
    assert [outcome for outcome in found if outcome.lives] == []


@every_start
async def test_a_client_may_vanish_at_any_instant_of_a_start(
    prepare: Preparation, open_world: OpenWorld
) -> None:
    async def leave_and_look(world: World, client: Client, request: object) -> None:
        await leave(world, client, request)
        await world.steps(AFTERWARDS)
        if KEY in world.archive:
            assert not world.driver().attendance.has_clients
        else:
            assert world.launcher.living == []

    found = await outcomes(leave_and_look, prepare, open_world)
    for outcome in found:
        if outcome.codes == ("open",):
            assert outcome.lives is SessionState.ACTIVE, outcome
        else:
            assert outcome.lives is None, outcome
            assert set(outcome.codes) <= {OWN_CODE.get(prepare)}, outcome


@pytest.mark.requirement("lifecycle.early-cancel-leaves-no-process")
@every_start
async def test_a_client_may_cancel_its_request_at_any_instant_of_a_start(
    prepare: Preparation, open_world: OpenWorld
) -> None:
    found = await outcomes(cancel, prepare, open_world)
    check(found, prepare, "request_cancelled")
    assert found[0].codes == ("request_cancelled",)
    assert [each for each in found if each.lives and each.codes != ("open",)] == []


@every_start
async def test_an_agent_may_die_at_any_instant_of_a_start(
    prepare: Preparation, open_world: OpenWorld
) -> None:
    found = await outcomes(kill, prepare, open_world)
    check(found, prepare, "agent_exited")


@every_start
async def test_all_of_that_may_happen_at_once(prepare: Preparation, open_world: OpenWorld) -> None:
    found = await outcomes(all_at_once, prepare, open_world)
    assert [outcome for outcome in found if outcome.lives or len(outcome.codes) > 1] == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("disturb", "codes"),
    [
        (terminate, ["session_ended"]),
        (end, ["session_ended"]),
        (stop, ["session_ended", "unavailable"]),
        (cancel, ["request_cancelled"]),
        (kill, ["agent_exited"]),
    ],
)
@pytest.mark.parametrize("prepare", [warm, refusing, opening_and_dying])
async def test_a_store_that_takes_its_time_changes_nothing(
    disturb: Disturbance,
    codes: list[str],
    prepare: Preparation,
    open_world: OpenWorld,
    seed: int,
) -> None:
    check(await outcomes(disturb, prepare, open_world, seed), prepare, *codes)
