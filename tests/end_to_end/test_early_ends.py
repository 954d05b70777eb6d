"""A start that is broken off at one instant after another leaves no process and no session."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess, raw_agent, tagged
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S, frame
from tests.server.relays import Dialler, count_by_state, count_sessions, serve

from acprelay.compose import RunningRelay
from acprelay.config import RelayConfig

pytestmark = pytest.mark.process

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'
NEW = b'{"jsonrpc":"2.0","id":2,"method":"session/new","params":{"cwd":"/","mcpServers":[]}}'
CANCEL = b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":2}}'

TURNS = [*range(12), *range(12, 100, 4), *range(100, 1000, 50)]
"""After how many turns of the event loop a start is broken off; it takes some hundreds."""


@asynccontextmanager
async def relay_with_parents(tag: str) -> AsyncIterator[tuple[RunningRelay, Dialler]]:
    """A relay whose agents start children in sessions of their own at once."""
    agent = raw_agent("parent", "child=own-session", tag=tag)
    async with serve(RelayConfig(port=0, agents=(agent,))) as both:
        yield both


async def pass_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until_nothing_is_left(relay: RunningRelay, tag: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await count_sessions(relay.base_url) or tagged(tag):
            pass


async def until_no_start_is_under_way(relay: RunningRelay) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(
            count
            for state, count in (await count_by_state(relay.base_url)).items()
            if state != "ACTIVE"
        ):
            pass


async def close_all(client: AcpClient) -> None:
    await client.initialize()
    for session in (await client.result("session/list", {}))["sessions"]:
        await client.result("session/close", {"sessionId": session["sessionId"]})
    client.peer.abort()


async def test_a_client_that_vanishes_at_any_instant_of_a_start_leaves_nothing(tag: str) -> None:
    async with relay_with_parents(tag) as (relay, dial):
        for turns in TURNS:
            peer = await dial.peer()
            await peer.write(frame(INITIALIZE))
            await pass_turns(turns)
            peer.abort()
        for turns in TURNS:
            client = await dial()
            await client.initialize()
            await client.peer.write(frame(NEW))
            await pass_turns(turns)
            client.peer.abort()
        await until_no_start_is_under_way(relay)
        await close_all(await dial())  # those that opened first outlive their clients
        await until_nothing_is_left(relay, tag)


@pytest.mark.requirement("lifecycle.early-cancel-leaves-no-process")
async def test_a_start_that_is_cancelled_at_any_instant_leaves_nothing(tag: str) -> None:
    async with relay_with_parents(tag) as (relay, dial):
        client = await dial()
        await client.initialize()
        outcomes = set()
        for turns in TURNS:
            if turns == 0:  # in one segment: the relay reads both before anything starts
                await client.peer.write(frame(NEW) + frame(CANCEL))
            else:
                await client.peer.write(frame(NEW))
                await pass_turns(turns)
                await client.peer.write(frame(CANCEL))
            answer = await client.answer_to(2)
            if "error" in answer:
                outcomes.add(answer["error"]["data"]["code"])
            else:
                outcomes.add("opened")
                await client.result("session/close", {"sessionId": answer["result"]["sessionId"]})
        assert outcomes in ({"request_cancelled"}, {"request_cancelled", "opened"})  # some are late
        client.peer.abort()
        await until_nothing_is_left(relay, tag)


async def test_a_relay_that_is_left_at_any_instant_of_a_start_leaves_nothing(tag: str) -> None:
    for turns in TURNS[::2]:
        async with relay_with_parents(tag) as (_, dial):
            client = await dial()
            await client.initialize()
            await client.peer.write(frame(NEW))
            await pass_turns(turns)
        assert tagged(tag) == []


@pytest.mark.parametrize("answers", [0, 3])
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_relay_that_is_told_to_end_while_many_sessions_start_leaves_no_process(
    log: Path, tag: str, answers: int
) -> None:
    agent = raw_agent("parent", "ignore-term", "child=own-session", tag=tag)
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        await client.initialize()
        for number in range(8):
            await client.peer.write(frame(NEW.replace(b'"id":2', b'"id":%d' % number)))
        for _ in range(answers):
            assert "result" in await client.receive()
        assert await relay.stop(signal.SIGTERM) == 0
        assert tagged(tag) == []
