"""Every client over every transport with every agent: one session and one turn of each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import acp
import pytest
from acp.http.client import create_http_stream
from acp.transports import spawn_stdio_transport
from acp.ws import create_websocket_stream
from tests.end_to_end.editors import Editor
from tests.end_to_end.relays import SDK_EXAMPLES, RelayProcess
from tests.server.peers import PATIENCE_S
from tests.third_party.programs import (
    ACPRELAY,
    FAST_AGENT,
    NODE,
    TYPESCRIPT_SDK,
    fast_agent,
    needs,
    typescript_client,
)

from acprelay.agents.models import AgentSpec
from acprelay.compose import DEMO_AGENT

pytestmark = pytest.mark.process

ECHO = SDK_EXAMPLES / "echo_agent.py"

WORDS = "hello there"
ANSWERS = {
    "demo": "You wrote 2 words: hello there\nSend /help for what else I can do.\n",
    "example": WORDS,
    "fast-agent": WORDS,
}


class Heard(NamedTuple):
    """What a client heard of its one turn."""

    text: str
    stop_reason: str


class Way(NamedTuple):
    """How a client reaches an agent."""

    transport: str
    relay: RelayProcess
    agent: str
    cwd: Path

    @property
    def address(self) -> str:
        """Where a client connects."""
        base = self.relay.url if self.transport == "ws" else f"{self.relay.base_url}/acp"
        return f"{base}?agent={self.agent}"

    @property
    def command(self) -> tuple[str, ...]:
        """What a client starts instead."""
        return (str(ACPRELAY), "connect", "--url", self.relay.url, "--agent", self.agent)

    @property
    def headers(self) -> dict[str, str]:
        """What shows who the client is."""
        return {"Authorization": f"Bearer {self.relay.token}"}

    @property
    def environment(self) -> dict[str, str]:
        """What shows the same, to a program."""
        return {**os.environ, "ACPRELAY_TOKEN": self.relay.token}


async def ask_with_python(way: Way) -> Heard:
    """Has a turn with the Python SDK."""
    if way.transport == "connect":
        program, *options = way.command
        async with spawn_stdio_transport(program, *options, env=way.environment) as streams:
            reader, writer, _ = streams
            return await _have_a_turn(way.cwd, writer, reader)
    if way.transport == "http":
        return await _have_a_turn(way.cwd, create_http_stream(way.address, headers=way.headers))
    socket = await create_websocket_stream(way.address, headers=way.headers)
    return await _have_a_turn(way.cwd, socket)


async def _have_a_turn(cwd: Path, *streams: Any) -> Heard:
    editor = Editor()
    agent = acp.connect_to_agent(cast("acp.Client", editor), *streams)
    try:
        await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        session = await agent.new_session(cwd=str(cwd), mcp_servers=[])
        answer = await agent.prompt(session_id=session.session_id, prompt=[acp.text_block(WORDS)])
        await agent.close_session(session_id=session.session_id)
        return Heard("".join(editor.texts[session.session_id]), answer.stop_reason)
    finally:
        await agent.close()


async def ask_with_typescript(way: Way) -> Heard:
    """Has a turn with the TypeScript SDK."""
    is_started = way.transport == "connect"
    done = await typescript_client(
        *(way.transport, " ".join(way.command) if is_started else way.address),
        cwd=way.cwd,
        tag="matrix",
        says=f"{WORDS}\n",
        token=way.relay.token,
    )
    assert (done.status, done.errors) == (0, "")
    told = [json.loads(line) for line in done.output.splitlines()]
    said = [each["text"] for each in told if each.get("update") == "agent_message_chunk"]
    return Heard("".join(said), told[-1]["stopReason"])


CLIENTS: dict[str, Callable[[Way], Awaitable[Heard]]] = {
    "python": ask_with_python,
    "typescript": ask_with_typescript,
}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One relay with all the agents; its clients have to show who they are."""
    folder = tmp_path_factory.mktemp("matrix")
    home = folder / "home"
    home.mkdir()
    agents = (
        DEMO_AGENT,
        AgentSpec(name="example", argv=(sys.executable, str(ECHO))),
        fast_agent(home=home, tag="matrix"),
    )
    with RelayProcess(*agents, log=folder / "log", options=("--auth",)) as relay:
        yield relay


@pytest.mark.parametrize(
    "agent",
    [
        "demo",
        pytest.param("example", marks=needs("the SDK's echo agent", ECHO)),
        pytest.param("fast-agent", marks=needs("fast-agent", FAST_AGENT)),
    ],
)
@pytest.mark.parametrize("transport", ["ws", "http", "connect"])
@pytest.mark.parametrize(
    "client",
    [
        "python",
        pytest.param(
            "typescript", marks=needs("the TypeScript SDK", NODE, TYPESCRIPT_SDK / "node_modules")
        ),
    ],
)
async def test_a_turn_arrives_whole(
    relay: RelayProcess, workplace: Path, client: str, transport: str, agent: str
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        heard = await CLIENTS[client](Way(transport, relay, agent, workplace))
    assert heard == Heard(ANSWERS[agent], "end_turn")
