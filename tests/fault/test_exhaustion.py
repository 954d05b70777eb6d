"""A machine that gives a running relay no more files, or no more processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from tests.end_to_end.relays import RelayProcess, until_gone
from tests.fault.clients import ENDED, WHERE, greeted, load, notice
from tests.fault.limits import descriptors, processes, relay_that_can_be_limited
from tests.server.peers import PATIENCE_S, request_http
from tests.server.relays import Dialler

pytestmark = pytest.mark.process


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(condition):
            pass


@pytest.fixture
async def relay(log: Path) -> AsyncIterator[RelayProcess]:
    with RelayProcess(log=log) as it:
        yield it


async def test_a_start_without_enough_descriptors_is_refused_and_leaves_nothing(
    relay: RelayProcess,
) -> None:
    with Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        before = relay.tree()
        files = relay.process.num_fds()
        for room in range(100):
            with descriptors(relay.process, room=room):
                answer = await client.ask("session/new", WHERE)
            if "result" in answer:
                break
            assert answer["error"]["data"]["code"] == "spawn_failed"
            assert answer["error"]["data"]["retryable"]
            assert answer["error"]["message"].endswith("Too many open files")
            assert "ulimit" in answer["error"]["data"]["hint"]
            assert relay.tree() == before
            await until(lambda: relay.process.num_fds() == files)
        assert room > 1
        await load(client, session_id)
        assert (await client.prompt(session_id, "hello"))["result"] == ENDED


async def test_without_descriptors_clients_are_turned_away_and_the_relay_rests(
    relay: RelayProcess,
) -> None:
    async with AsyncExitStack() as stack:
        dial = stack.enter_context(Dialler(relay.url))
        client = await dial()
        session_id = await client.open_session()
        with descriptors(relay.process, room=3):
            while await is_let_in(relay, stack):
                pass
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await request_http(relay.base_url, "/healthz")
            # A loop that is woken for a connection it cannot take is never asleep.
            for _ in range(20):
                await until(lambda: relay.process.status() == psutil.STATUS_SLEEPING)
            assert (await client.prompt(session_id, "/stream 100 100"))["result"] == ENDED
        assert (await request_http(relay.base_url, "/healthz")).status == 200
        assert await (await dial()).open_session()


async def is_let_in(relay: RelayProcess, stack: AsyncExitStack) -> bool:
    """Opens a connection that stays, unless the relay hangs up at once."""
    port = int(relay.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")  # and keep the connection
    try:
        async with asyncio.timeout(PATIENCE_S):
            return bool(await reader.read(1))
    except ConnectionError:
        return False


async def test_what_could_not_be_stored_for_want_of_descriptors_is_told_and_stored_in_the_end(
    log: Path,
) -> None:
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        with descriptors(relay.process):
            assert (await client.prompt(session_id, "hello"))["result"] == ENDED
            told = await notice(client)
            assert told["code"] == "unavailable"
            assert told["message"].endswith("Too many open files")
            assert "open files" in told["hint"]
        entries = await load(await greeted(await dial()), session_id)
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        assert (await load(await greeted(await dial()), session_id))[: len(entries)] == entries


async def test_a_session_is_ended_without_descriptors_and_what_cannot_be_seen_is_told(
    relay: RelayProcess,
) -> None:
    with Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        agents = relay.tree()
        with descriptors(relay.process):
            error = await client.error("session/close", {"sessionId": session_id})
            assert error["data"]["code"] == "agent_error"
            assert error["message"] == "cannot see which processes there are: Too many open files"
            await until_gone(agents)
        assert await client.result("session/close", {"sessionId": session_id}) == {}
        await load(client, session_id)
        assert (await client.prompt(session_id, "hello"))["result"] == ENDED


async def test_a_start_that_the_limit_of_processes_forbids_is_refused_and_what_runs_goes_on() -> (
    None
):
    with relay_that_can_be_limited() as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        before = relay.tree()
        with processes(relay.process):
            error = await client.error("session/new", WHERE)
            assert error["data"]["code"] == "spawn_failed"
            assert error["data"]["retryable"]
            assert "ulimit" in error["data"]["hint"]
            assert relay.tree() == before
            assert (await client.prompt(session_id, "hello"))["result"] == ENDED
            assert await client.result("session/close", {"sessionId": session_id}) == {}
            await until_gone(before)
        await load(client, session_id)
        assert (await client.prompt(session_id, "hello"))["result"] == ENDED
