"""`_acprelay/run`: what the relay tells of a run, in every state of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pytest

from acprelay.routing.building import Rules
from acprelay.testing.agents import FakeAgent

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]


def resuming(agent: FakeAgent) -> None:
    agent.promise("session/resume")


async def opened(world: World) -> tuple[Client, str]:
    world.program = resuming
    client = await world.greeted()
    session = await client.open_session()
    client.outlet.payloads.clear()
    return client, session


async def run(client: Client, session: str) -> dict[str, object]:
    result: dict[str, object] = (await client.call("_acprelay/run", {"sessionId": session}))[
        "result"
    ]
    return result


@pytest.mark.requirement("supervision.runs-are-described")
async def test_a_run_is_described_to_whoever_asks_attached_or_not(world: World) -> None:
    client, session = await opened(world)
    asking = await world.greeted()
    told = await run(asking, session)
    started_at, idle_s = told.pop("startedAt"), told.pop("idleS")
    assert isinstance(started_at, str)
    assert started_at.endswith("Z")
    assert isinstance(idle_s, float)
    assert told == {
        "sessionId": session,
        "agent": "fake",
        "state": "active",
        "run": 1,
        "pid": 4711,
        "usage": {"cpuS": 0.5, "memoryBytes": 1 << 20, "processes": 1},
        "turn": None,
        "queued": 0,
        "asks": 0,
        "clients": 1,
        "health": [],
    }
    world.agent.ignore("session/prompt")
    client.prompt(session)
    client.prompt(session)
    await world.steps(AFTERWARDS)
    told = await run(asking, session)
    assert isinstance(told["turn"], str)
    assert told["queued"] == 1
    assert "idleS" not in told


@pytest.mark.requirement("supervision.runs-are-described")
async def test_a_dormant_conversation_is_described_and_nothing_started(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=Rules(restarts={"fake": 3})) as world:
        client, session = await opened(world)
        world.agent.die()
        await world.steps(AFTERWARDS)
        told = await run(client, session)
        assert (told["state"], told["run"], told["clients"]) == ("dormant", 1, 1)
        assert "restartInS" in told
        assert {"pid", "usage", "startedAt", "idleS"}.isdisjoint(told)
        assert len(world.launcher.launched) == 1


async def test_an_agent_that_has_no_process_here_is_described_without(world: World) -> None:
    client, session = await opened(world)
    assert isinstance(world.agent, FakeAgent)
    world.agent.pid = world.agent.usage = None
    told = await run(client, session)
    assert told["state"] == "active"
    assert {"pid", "usage"}.isdisjoint(told)


async def test_runs_that_come_and_go_are_described_with_what_there_is_of_them(
    world: World,
) -> None:
    client, session = await opened(world)
    world.agent.hold_end()
    closing = client.request("session/close", {"sessionId": session})
    await world.steps(AFTERWARDS)
    told = await run(client, session)
    assert (told["state"], told["pid"]) == ("terminating", 4711)
    world.agent.release_end()
    await client.answer(closing)
    await client.call("session/load", {"sessionId": session})
    world.launcher.hold()
    prompt = client.prompt(session)
    await world.steps(AFTERWARDS)
    told = await run(client, session)
    assert (told["state"], told["run"], told["queued"]) == ("spawning", 2, 1)
    assert {"pid", "usage"}.isdisjoint(told)
    world.launcher.release()
    assert "result" in await client.answer(prompt)


async def test_a_session_that_is_not_there_is_refused_in_clear_words(world: World) -> None:
    client = await world.greeted()
    for params, code in (({"sessionId": "no:main"}, "session_not_found"), ({}, "invalid_params")):
        answer = await client.call("_acprelay/run", params)
        assert answer["error"]["data"]["code"] == code
