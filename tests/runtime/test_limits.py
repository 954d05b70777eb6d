"""How many runs and processes may live at once, whatever becomes of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pytest

from acprelay.agents.process_limit import LimitedLauncher
from acprelay.config import Limits
from acprelay.errors import SpawnFailed
from acprelay.routing.building import Rules
from acprelay.session.store_memory import MemoryStore
from acprelay.testing.agents import FakeAgent
from acprelay.testing.session import YieldingStore

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


@pytest.mark.requirement("supervision.sessions-are-limited")
async def test_a_session_beyond_the_limit_is_refused_and_starts_nothing(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(sessions=2)) as world:
        world.program = resuming
        clients = [await world.greeted(session_id=None) for _ in range(3)]
        sessions = [await client.open_session() for client in clients[:2]]
        launched = len(world.launcher.launched)
        error = (await clients[2].answer(clients[2].begin_session()))["error"]
        assert (error["data"]["code"], error["data"]["limit"]) == (
            "limit_reached",
            "sessions that run",
        )
        assert error["data"]["most"] == 2
        assert len(world.launcher.launched) == launched
        await clients[0].call("session/close", {"sessionId": sessions[0]})
        assert await clients[2].open_session()
        await clients[0].call("session/load", {"sessionId": sessions[0]})
        error = (await clients[0].answer(clients[0].prompt(sessions[0])))["error"]
        assert error["data"]["limit"] == "sessions that run"
        await clients[1].call("session/close", {"sessionId": sessions[1]})
        assert "result" in await clients[0].answer(clients[0].prompt(sessions[0]))


@pytest.mark.requirement("supervision.limits-survive-failed-starts")
async def test_runs_that_fail_or_are_given_up_at_any_instant_cost_no_place(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(sessions=3)) as world:
        for instant in range(0, 60, 3):
            visitors = [await world.greeted(session_id=None) for _ in range(3)]
            world.launcher.fail_with(SpawnFailed("cannot start agent 'fake'"))
            for visitor in visitors:
                visitor.begin_session()
            await world.steps(instant)
            for visitor in visitors:
                await visitor.leave()
            for key in world.registry:
                await world.host.runs.end(key, reason="the test goes on")
            await world.steps(AFTERWARDS)
            world.launcher._failures.clear()
            again = [await world.greeted(session_id=None) for _ in range(3)]
            for client in again:
                await client.open_session()
            client = await world.greeted(session_id=None)
            error = (await client.answer(client.begin_session()))["error"]
            assert error["data"]["code"] == "limit_reached"
            await client.leave()
            for client in again:
                await client.leave()
            for key in world.registry:
                await world.host.runs.end(key, reason="the test goes on")


async def test_a_run_that_is_being_ended_keeps_its_place(open_world: OpenWorld) -> None:
    async with open_world(limits=Limits(sessions=1)) as world:
        client, session = await opened(world)
        other = await world.greeted(session_id=None)
        world.agent.hold_end()
        closing = client.request("session/close", {"sessionId": session})
        await world.steps(AFTERWARDS)
        error = (await other.answer(other.begin_session()))["error"]
        assert error["data"]["code"] == "limit_reached"
        world.agent.release_end()
        await client.answer(closing)
        assert await other.open_session()


@pytest.mark.requirement(
    "supervision.sessions-are-limited", "supervision.limits-survive-failed-starts"
)
@pytest.mark.parametrize("seed", range(20))
async def test_of_many_that_come_at_once_exactly_as_many_as_may_get_in(
    open_world: OpenWorld, seed: int
) -> None:
    chance = random.Random(seed)
    store = YieldingStore(MemoryStore(), random=chance)
    async with open_world(limits=Limits(sessions=3), store=store) as world:
        clients = [await world.greeted(session_id=None) for _ in range(10)]
        requests = []
        for client in clients:
            requests.append(client.begin_session())
            await world.steps(chance.randrange(4))
        answers = [
            await client.answer(request) for client, request in zip(clients, requests, strict=True)
        ]
        refused = [answer["error"]["data"]["code"] for answer in answers if "error" in answer]
        assert refused == ["limit_reached"] * 7
        assert await world.manager.count() == 3


@pytest.mark.requirement("supervision.processes-are-limited")
async def test_a_start_without_room_for_a_process_fails_its_session_with_the_limits_name(
    open_world: OpenWorld,
) -> None:
    async with open_world() as world:
        world.program = resuming
        world.pool._launcher = LimitedLauncher(launcher=world.launcher, most=1)
        client = await world.greeted()
        session = await client.open_session()
        other = await world.greeted(session_id=None)
        error = (await other.answer(other.begin_session()))["error"]
        assert (error["data"]["code"], error["data"]["limit"]) == (
            "limit_reached",
            "agents' processes",
        )
        await client.call("session/close", {"sessionId": session})
        second = await other.open_session()
        await client.call("session/load", {"sessionId": session})
        error = (await client.answer(client.prompt(session)))["error"]
        assert error["data"]["limit"] == "agents' processes"
        await other.call("session/close", {"sessionId": second})
        assert "result" in await client.answer(client.prompt(session))


@pytest.mark.requirement("limits.sessions-per-connection")
async def test_a_connection_is_in_so_many_sessions_and_one_more_starts_nothing(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(connection_sessions=1)) as world:
        client, session = await opened(world)
        other = await world.greeted(session_id=None)
        elsewhere = await other.open_session()
        launched = len(world.launcher.launched)
        for refused in (
            client.begin_session(),
            *(
                client.request(method, {"sessionId": elsewhere, "cwd": "/", "mcpServers": []})
                for method in ("session/load", "session/resume", "_acprelay/attach")
            ),
        ):
            error = (await client.answer(refused))["error"]["data"]
            assert (error["code"], error["setting"]) == ("limit_reached", "connection-sessions")
        assert len(world.launcher.launched) == launched
        loaded = await client.call("session/load", {"sessionId": session})
        assert "result" in loaded  # it is in that one already
        await client.call("session/close", {"sessionId": session})
        assert "result" in await client.call("session/load", {"sessionId": elsewhere})


async def test_sessions_that_are_on_their_way_count_too(open_world: OpenWorld) -> None:
    async with open_world(limits=Limits(connection_sessions=2)) as world:
        client = await world.greeted(session_id=None)
        answers = [await client.answer(each) for each in [client.begin_session() for _ in range(3)]]
        assert ["error" in answer for answer in answers].count(True) == 1


@pytest.mark.requirement("limits.unanswered-requests")
async def test_a_client_has_so_many_unanswered_requests_in_a_session(open_world: OpenWorld) -> None:
    async with open_world(rules=Rules(most_requests_of_one=2, most_requests=3)) as world:
        client, session = await opened(world)
        world.agent.ignore("_x/ask")
        other = await world.greeted()
        await other.call("session/load", {"sessionId": session})
        params = {"sessionId": session}
        asked = [client.request("_x/ask", params) for _ in range(3)]
        error = (await client.answer(asked[2]))["error"]["data"]
        assert (error["setting"], error["most"]) == ("requests", 2)
        asked_by_other = [other.request("_x/ask", params) for _ in range(2)]
        error = (await other.answer(asked_by_other[1]))["error"]["data"]
        assert (error["setting"], error["most"]) == ("session-requests", 3)


@pytest.mark.requirement("limits.unanswered-requests")
async def test_a_client_has_so_many_requests_that_the_relay_serves_beside_the_others(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(requests=2)) as world:
        client = await world.connect()
        begun = [client.request("_acprelay/invite", {}) for _ in range(3)]
        last = client.request("initialize", {"protocolVersion": 1})
        for refused in (begun[2], last):
            error = (await client.answer(refused))["error"]["data"]
            assert (error["code"], error["setting"]) == ("limit_reached", "requests")
        for each in begun[:2]:
            await client.answer(each)
        await world.steps(AFTERWARDS)
        assert "result" in await client.initialize()  # which may be tried again
