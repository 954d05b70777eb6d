"""WebSockets as clients use and misuse them (RFC 6455)."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest
from tests.server.peers import Opcode, WebSocketPeer, frame
from tests.server.relays import Dialler, count_sessions, serve

from acprelay.compose import RunningRelay
from acprelay.config import Limits, RelayConfig

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'
MAX_FRAME = 65_536


def small() -> RelayConfig:
    return RelayConfig(port=0, limits=Limits(max_frame=MAX_FRAME))


def a_request(size: int) -> bytes:
    """A request that is refused, of so many bytes."""
    empty = b'{"jsonrpc":"2.0","id":7,"method":""}'
    return empty[:-2] + b"x" * (size - len(empty)) + empty[-2:]


@pytest.mark.requirement("peers.binary-frames-are-taken")
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
async def test_text_and_binary_messages_are_taken_and_answered_in_text(
    dial: Dialler, opcode: Opcode, ending: bytes
) -> None:
    peer = await dial.peer()
    await peer.send(INITIALIZE + ending, opcode)
    answer = json.loads(await peer.receive())
    assert answer["result"]["protocolVersion"] == 1


async def test_a_message_in_fragments_is_one_message_and_pings_between_are_answered(
    dial: Dialler,
) -> None:
    peer = await dial.peer()
    await peer.write(frame(INITIALIZE[:10], Opcode.TEXT, fin=False))
    await peer.write(frame(b"are you there?", Opcode.PING))
    await peer.write(frame(b"", Opcode.CONTINUATION, fin=False))
    await peer.write(frame(INITIALIZE[10:20], Opcode.CONTINUATION, fin=False))
    assert await peer.read_frame() == (True, Opcode.PONG, b"are you there?")
    await peer.write(frame(INITIALIZE[20:], Opcode.CONTINUATION))
    assert json.loads(await peer.receive())["id"] == 1


async def test_many_messages_in_one_write_are_answered_in_order(dial: Dialler) -> None:
    peer = await dial.peer()
    requests = [b'{"id":%d,"method":"session/list"}' % number for number in range(500)]
    await peer.write(b"".join(map(frame, requests)))
    answers = [json.loads(await peer.receive())["id"] for _ in requests]
    assert answers == list(range(500))


async def test_a_frame_that_comes_byte_by_byte_is_one_message(dial: Dialler) -> None:
    peer = await dial.peer()
    for byte in frame(INITIALIZE):
        await peer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert json.loads(await peer.receive())["id"] == 1


async def test_pings_are_answered_in_the_middle_of_a_stream(dial: Dialler) -> None:
    client = await dial()
    session_id = await client.open_session()
    prompt_id = await client.begin_prompt(session_id, "/stream 3000 200")
    await client.until("session/update")
    for number in range(3):
        await client.peer.send(b"ping %d" % number, Opcode.PING)
    pongs: list[bytes] = []
    texts: list[str] = []
    while True:
        _, opcode, payload = await client.peer.read_frame()
        if opcode is Opcode.PONG:
            pongs.append(payload)
            continue
        message = json.loads(payload)
        if message.get("id") == prompt_id:
            break
        update = message["params"].get("update")
        if update is not None and update["sessionUpdate"] == "agent_message_chunk":
            texts.append(update["content"]["text"])
    assert pongs == [b"ping 0", b"ping 1", b"ping 2"]
    assert [int(text) for text in texts] == list(range(3000 - len(texts), 3000))
    assert len(texts) >= 2999


async def test_a_close_frame_is_answered_and_the_session_goes_on(
    relay: RunningRelay, dial: Dialler
) -> None:
    client = await dial()
    session_id = await client.open_session()
    assert (await client.peer.close(1000)).code == 1000
    assert await count_sessions(relay.base_url) == 1
    back = await dial()
    await back.initialize()
    await back.result("session/load", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
    assert "result" in await back.prompt(session_id, "hello")


async def test_a_client_that_says_no_more_but_still_listens_has_left_and_its_turn_goes_on(
    relay: RunningRelay, dial: Dialler
) -> None:
    client = await dial()
    session_id = await client.open_session()
    await client.begin_prompt(session_id, "/stream 20000 1000")
    await client.until("session/update")
    client.peer.half_close()
    await client.peer.expect_end()
    assert await count_sessions(relay.base_url) == 1
    back = await dial()
    await back.initialize()
    await back.result("session/resume", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
    assert (await back.prompt(session_id, "hello"))["result"]["stopReason"] == "end_turn"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"\xc1\x80\0\0\0\0", 1002, id="a reserved bit"),
        pytest.param(b"\x83\x80\0\0\0\0", 1002, id="an unknown opcode"),
        pytest.param(frame(b"", Opcode.CONTINUATION), 1002, id="a continuation of nothing"),
        pytest.param(frame(b"", Opcode.PING, fin=False), 1002, id="a fragmented ping"),
        pytest.param(frame(b"x" * 126, Opcode.PING), 1002, id="a long ping"),
        pytest.param(frame(b"\x03", Opcode.CLOSE), 1002, id="half a close code"),
        pytest.param(b"\x81\xff" + b"\xff" * 8, 1009, id="a length beyond all bounds"),
    ],
)
async def test_what_breaks_the_framing_ends_that_connection_alone(
    dial: Dialler, data: bytes, code: int
) -> None:
    other = await dial()
    peer = await dial.peer()
    await peer.write(data)
    assert (await peer.expect_end()).code == code
    assert await other.initialize()


async def test_a_message_of_the_largest_size_is_taken() -> None:
    async with serve(small()) as (_, dial):
        peer = await dial.peer()
        await peer.send(a_request(MAX_FRAME))
        assert json.loads(await peer.receive())["id"] == 7


@pytest.mark.requirement("limits.clients-frame-size")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(a_request(MAX_FRAME + 1))[:14], id="as soon as its length is known"),
        pytest.param(
            frame(a_request(MAX_FRAME), fin=False) + frame(b" ", Opcode.CONTINUATION),
            id="in fragments",
        ),
    ],
)
async def test_a_message_over_the_limit_ends_its_connection_with_1009(data: bytes) -> None:
    async with serve(small()) as (relay, dial):
        other, client = await dial(), await dial()
        await client.open_session()
        await client.peer.write(data)
        assert (await client.peer.expect_end()).code == 1009
        assert await other.open_session()
        assert await count_sessions(relay.base_url) == 2


async def test_a_message_far_over_the_limit_ends_its_connection_alone() -> None:
    async with serve(small()) as (relay, dial):
        other, client = await dial(), await dial()
        await client.open_session()
        with suppress(ConnectionError):  # it may still be sending when it is cut off
            await client.peer.send(a_request(16 * 1024 * 1024))
        assert (await client.peer.expect_end()).code in (1009, None)
        assert await other.open_session()
        assert await count_sessions(relay.base_url) == 2


async def test_a_client_that_asks_and_never_reads_is_not_read_either() -> None:
    # Large ones, as what sockets hold of them is to be answered in the end.
    params = b'{"_meta":{"filler":"%s"}}' % (b"x" * 400)
    question = frame(b'{"id":1,"method":"session/list","params":%s}' % params) * 100
    flooded = 0

    async def flood(peer: WebSocketPeer) -> None:
        nonlocal flooded
        while True:
            await peer.write(question)
            flooded += 1

    patient = Limits(lane_bytes=65_536, client_message_rate=1e9, client_message_burst=10**9)
    async with (
        serve(RelayConfig(port=0, limits=patient)) as (_, dial),
        asyncio.TaskGroup() as tasks,
    ):
        other, deaf = await dial(), await dial.peer(receive_buffer=4096)
        await other.initialize()
        flooding = tasks.create_task(flood(deaf))
        before = rounds_without_progress = 0
        while rounds_without_progress < 100:
            before = flooded
            await other.result("session/list", {})
            rounds_without_progress = rounds_without_progress + 1 if flooded == before else 0
            assert flooded * len(question) < 32 * 1024 * 1024
        while flooded == before:
            assert json.loads(await deaf.receive())["id"] == 1
        flooding.cancel()
