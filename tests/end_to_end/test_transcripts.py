"""Transcripts of real agents, played again through a relay, and compared as bytes.

The agent is a program that says what the recorded one said, byte for byte. Its client says what the
recorded client said. What comes is compared with what was recorded, once the splices that the relay
makes are undone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.server.http_clients import HttpClient
from tests.server.peers import PATIENCE_S, StreamPeer, WebSocketPeer
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.compose import RunningRelay
from acprelay.config import RelayConfig
from acprelay.routing.service_modes import ServiceMode, Services
from acprelay.testing.channels import command_channel
from acprelay.testing.replay import ReplayedClient
from acprelay.testing.splices import undone
from acprelay.testing.transcripts import A2C, Record, encode, read_transcript, record_of

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

FOLDER = Path(__file__).parents[1] / "transcripts"
LOADED = "claude-agent-acp.load"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl") if path.stem != LOADED)
BY_CLIENTS = Services(fs=ServiceMode.CLIENT, terminal=ServiceMode.CLIENT)
ANSWERED_BY_THE_RELAY = ("initialize", "session/list")

Say = Callable[[bytes], Awaitable[None]]
Hear = Callable[[], Awaitable[bytes]]
Way = Callable[[RunningRelay], "contextlib.AbstractAsyncContextManager[Line]"]


class Line(NamedTuple):
    """A client's connection."""

    say: Say
    hear: Hear


@contextlib.asynccontextmanager
async def relay_with(transcript: Path) -> AsyncIterator[tuple[RunningRelay, Dialler]]:
    """A relay with the agent of a transcript, whose clients serve files and terminals."""
    command = (sys.executable, "-m", "acprelay.testing.replay", str(transcript))
    agent = AgentSpec(name="replayed", argv=command)
    config = RelayConfig(port=0, agents=(agent,), services=BY_CLIENTS)
    async with serve(config) as running:
        yield running


@contextlib.asynccontextmanager
async def over_websocket(relay: RunningRelay) -> AsyncIterator[Line]:
    with Dialler(relay.url) as dial:
        peer = await dial.peer()
        yield Line(peer.send, peer.receive)


class Post:
    """A client's connection over Streamable HTTP."""

    def __init__(self, client: HttpClient, tasks: asyncio.TaskGroup) -> None:
        self._client = client
        self._tasks = tasks
        self._came: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1000)
        self._session_id: str | None = None
        self.readers: list[asyncio.Task[None]] = []

    async def say(self, frame: bytes) -> None:
        message = json.loads(frame)
        if message.get("method") == "initialize":
            greeting = await self._client.initialize(**message["params"])
            await self._read(None)
            # The client has ids of its own for this.
            await self._came.put(json.dumps({**greeting, "id": message["id"]}).encode())
            return
        answer = await self._client.post(message, session_id=self._session_id)
        assert answer.status == 202, answer

    async def hear(self) -> bytes:
        frame = await self._came.get()
        opened = (json.loads(frame).get("result") or {}).get("sessionId")
        if opened and self._session_id is None:
            self._session_id = opened
            await self._read(opened)
        return frame

    async def _read(self, session_id: str | None) -> None:
        stream = await self._client.stream(session_id)
        self.readers.append(self._tasks.create_task(self._forward(stream)))

    async def _forward(self, stream: StreamPeer) -> None:
        while True:
            await self._came.put((await stream.receive()).data.encode())


@contextlib.asynccontextmanager
async def over_http(relay: RunningRelay) -> AsyncIterator[Line]:
    with HttpClient(relay.base_url) as client:
        async with asyncio.TaskGroup() as tasks:
            post = Post(client, tasks)
            yield Line(post.say, post.hear)
            for reader in post.readers:
                reader.cancel()


@contextlib.asynccontextmanager
async def over_connect(relay: RunningRelay) -> AsyncIterator[Line]:
    program = str(Path(sys.executable).with_name("acprelay"))
    async with command_channel((program, "connect", "--url", relay.url)) as channel:

        async def hear() -> bytes:
            line = await channel.receive()
            assert line is not None
            return line

        yield Line(channel.send, hear)


async def play(
    client: ReplayedClient, line: Line, heard: list[bytes], *, until: Callable[[], bool]
) -> None:
    """Plays a client until something holds; adds all that came to `heard`."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for frame in client.due():
                await line.say(frame)
            if until():
                return
            heard.append(await line.hear())
            client.take(heard[-1])


def method_of(frame: bytes) -> str:
    return str(json.loads(frame).get("method", ""))


def due(records: list[Record]) -> list[bytes]:
    """What a client is to get of what the agent said, in order."""
    asked = {}
    own: list[bytes] = []
    early: list[bytes] = []
    opened = False
    for record in records:
        message = record.message if record.direction in ("c2a", "a2c") else {}
        if record.direction == "c2a" and "method" in message:
            asked[json.dumps(message.get("id"))] = message["method"]
        if record.direction != A2C:
            continue
        method = "" if "method" in message else asked[json.dumps(message["id"])]
        if method in ANSWERED_BY_THE_RELAY:
            continue
        if method == "session/new":
            own += [record.line, *early]
            opened = True
        elif opened:
            own.append(record.line)
        else:
            early.append(record.line)  # it is kept until the client knows of the session
    return own


def relayed(heard: list[bytes], records: list[Record]) -> list[bytes]:
    """What came of what the agent said."""
    authored = {
        json.dumps(record.message["id"])
        for record in records
        if record.direction == "c2a" and record.message.get("method") in ANSWERED_BY_THE_RELAY
    }
    return [
        frame
        for frame in heard
        if not method_of(frame).startswith("_acprelay/")
        and (method_of(frame) or json.dumps(json.loads(frame)["id"]) not in authored)
    ]


def recorded_session(records: list[Record]) -> str:
    results = (each.message.get("result") for each in records if each.direction == A2C)
    return next(str(result["sessionId"]) for result in results if result and "sessionId" in result)


def assert_same_bytes(heard: list[bytes], records: list[Record], session_id: str) -> None:
    own = due(records)
    came = relayed(heard, records)
    assert [method_of(frame) for frame in came] == [method_of(line) for line in own]
    ids = {json.dumps(session_id).encode(): json.dumps(recorded_session(records)).encode()}
    for frame, line in zip(came, own, strict=True):
        message = json.loads(line)
        asked = {}
        if "method" in message and "id" in message:
            public = json.dumps(json.loads(frame)["id"]).encode()
            asked = {public: json.dumps(message["id"]).encode()}
        assert line in undone(frame, ids | asked)


def updates(heard: list[bytes]) -> list[bytes]:
    """What the agent told everybody."""
    mark = b'"sessionUpdate":"user_message_chunk"'
    return [frame for frame in heard if method_of(frame) == "session/update" and mark not in frame]


async def attach(dial: Dialler, session_id: str) -> WebSocketPeer:
    """Another client loads the session."""
    other = await dial()
    await other.initialize()
    await other.begin("session/load", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
    return other.peer


async def read_updates(peer: WebSocketPeer, count: int) -> list[bytes]:
    """Reads until so many have come."""
    heard: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(updates(heard)) < count:
            heard.append(await peer.receive())
    return updates(heard)


@pytest.mark.requirement("passing.real-agents")
@pytest.mark.parametrize("name", NAMES)
async def test_what_an_agent_said_arrives_byte_for_byte_and_is_the_same_for_all(
    name: str, tmp_path: Path
) -> None:
    records = read_transcript(FOLDER / f"{name}.jsonl")
    client = ReplayedClient(records, cwd=str(tmp_path))
    heard: list[bytes] = []
    async with relay_with(FOLDER / f"{name}.jsonl") as (relay, dial), over_websocket(relay) as line:
        await play(client, line, heard, until=lambda: client.session_id is not None)
        assert client.session_id is not None
        watcher = await attach(dial, client.session_id)
        await play(client, line, heard, until=lambda: client.is_done)
        assert_same_bytes(heard, records, client.session_id)
        told = updates(heard)
        assert await read_updates(watcher, len(told)) == told
        late = await attach(dial, client.session_id)
        assert await read_updates(late, len(told)) == told


@pytest.mark.requirement("passing.real-agents")
@pytest.mark.parametrize("way", [over_http, over_connect])
@pytest.mark.parametrize("name", NAMES)
async def test_what_an_agent_said_arrives_byte_for_byte_on_other_ways(
    name: str, way: Way, tmp_path: Path
) -> None:
    records = read_transcript(FOLDER / f"{name}.jsonl")
    client = ReplayedClient(records, cwd=str(tmp_path))
    heard: list[bytes] = []
    async with relay_with(FOLDER / f"{name}.jsonl") as (relay, _), way(relay) as line:
        await play(client, line, heard, until=lambda: client.is_done)
    assert client.session_id is not None
    assert_same_bytes(heard, records, client.session_id)


async def test_what_is_no_json_between_the_messages_changes_nothing(tmp_path: Path) -> None:
    records = read_transcript(FOLDER / "fast-agent.jsonl")
    noisy = tmp_path / "noisy.jsonl"
    noise = [b"Starting up...", b"\xff\x00\xfe", b'{"level": "info"', b""]
    with noisy.open("wb") as file:
        for number, record in enumerate(records):
            file.write(encode(record_of(0, A2C, noise[number % len(noise)])))
            file.write(encode(record))
    client = ReplayedClient(records, cwd=str(tmp_path))
    heard: list[bytes] = []
    async with relay_with(noisy) as (relay, _), over_websocket(relay) as line:
        await play(client, line, heard, until=lambda: client.is_done)
    assert client.session_id is not None
    assert_same_bytes(heard, records, client.session_id)
