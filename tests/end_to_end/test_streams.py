"""Long streams arrive whole and in order, at whatever speed they are read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess, raw_agent
from tests.server.clients import AcpClient
from tests.server.relays import Dialler, serve

from acprelay.config import RelayConfig

pytestmark = pytest.mark.process

COUNT = 50_000
MIB = 1024 * 1024


async def read_stream(client: AcpClient, prompt_id: int, count: int, width: int) -> None:
    """Reads a whole turn: every update, in order, none twice, and then the prompt's reply."""
    generations = set()
    await client.until("_acprelay/turn_started")
    for number in range(count):
        message = json.loads(await client.peer.receive())
        params = message["params"]
        assert params["update"]["content"]["text"] == f"{number:0{width}d}"
        stamp = params["_meta"]["acprelay"]
        assert stamp["seq"] == number + 3  # the turn's start and the client's own prompt are before
        generations.add(stamp["generation"])
    assert len(generations) == 1
    ended = await client.receive()
    assert ended["method"] == "_acprelay/turn_ended"
    assert ended["params"]["_meta"]["acprelay"]["seq"] == count + 3
    reply = await client.receive()
    assert (reply["id"], reply["result"]) == (prompt_id, {"stopReason": "end_turn"})


@pytest.mark.requirement(
    "order.answers-follow-their-updates",
    "order.one-contiguous-slice",
    "positions.updates-carry-them",
)
async def test_a_long_stream_is_contiguous_and_its_reply_comes_last() -> None:
    async with serve(RelayConfig(port=0, agents=(raw_agent("firehose"),))) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        prompt_id = await client.begin_prompt(session_id, f"{COUNT} 6")
        await read_stream(client, prompt_id, COUNT, 6)


async def test_streams_of_several_sessions_on_one_connection_do_not_mix() -> None:
    count = 3000
    async with serve(RelayConfig(port=0, agents=(raw_agent("firehose"),))) as (_, dial):
        client = await dial()
        await client.initialize()
        sessions = [await client.new_session() for _ in range(3)]
        prompts = {await client.begin_prompt(each, f"{count} 6"): each for each in sessions}
        texts: dict[str, list[str]] = {each: [] for each in sessions}
        while prompts:
            message = await client.receive()
            if "id" in message:
                session_id = prompts.pop(message["id"])
                assert texts[session_id] == [f"{number:06d}" for number in range(count)]
            elif message["method"] == "session/update":
                params = message["params"]
                texts[params["sessionId"]].append(params["update"]["content"]["text"])


@pytest.fixture
def firehose(log: Path) -> Iterator[RelayProcess]:
    """A relay as a program, so that its memory is its own."""
    with RelayProcess(raw_agent("firehose"), log=log) as relay:
        yield relay


@pytest.fixture
async def dial(firehose: RelayProcess) -> AsyncIterator[Dialler]:
    with Dialler(firehose.url) as dialler:
        yield dialler


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.requirement("order.one-contiguous-slice")
async def test_a_client_that_does_not_read_keeps_nobody_waiting_and_loses_nothing(
    firehose: RelayProcess, dial: Dialler
) -> None:
    count, width = 40_000, 4000
    slow, other = await dial(receive_buffer=262_144), await dial()
    session_id = await slow.open_session()
    await other.initialize()
    await other.result("session/load", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
    rss = firehose.process.memory_info().rss
    prompt_id = await slow.begin_prompt(session_id, f"{count} {width}")

    await other.until("_acprelay/turn_started")
    assert (await other.receive())["params"]["update"]["sessionUpdate"] == "user_message_chunk"
    for number in range(count):
        update = json.loads(await other.peer.receive())["params"]["update"]
        assert update["content"]["text"] == f"{number:0{width}d}"
    assert (await other.receive())["method"] == "_acprelay/turn_ended"
    assert firehose.process.memory_info().rss - rss < 64 * MIB

    await read_stream(slow, prompt_id, count, width)
    assert firehose.process.memory_info().rss - rss < 64 * MIB
