"""What reaches an agent of what clients say, and what never does."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.end_to_end.relays import AGENTS, until_no_session_is_left
from tests.server.clients import AcpClient
from tests.server.peers import Message
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.config import RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

TELLING = AgentSpec(name="telling", argv=(sys.executable, str(AGENTS / "telling_agent.py")))


def where(session_id: str) -> Message:
    """The params of a load or a resume."""
    return {"sessionId": session_id, "cwd": "/", "mcpServers": []}


class Teller:
    """A client of the agent that tells what it was sent."""

    def __init__(self, client: AcpClient) -> None:
        self.client = client

    async def open(self, params: Message) -> str:
        """Initializes and opens a session."""
        await self.client.initialize()
        return str((await self.client.result("session/new", params))["sessionId"])

    async def told(self, session_id: str) -> list[Message]:
        """Prompts; gives all that the agent's process was sent."""
        self.client.heard.clear()
        answer = await self.client.prompt(session_id, "What were you sent?")
        assert answer["result"] is None
        told: list[Message] = json.loads(self.client.text)
        return told


@pytest.fixture
async def telling() -> AsyncIterator[Dialler]:
    """Opens WebSockets to a relay with that agent."""
    async with serve(RelayConfig(port=0, agents=(TELLING,))) as (_, dialler):
        yield dialler


@pytest.mark.requirement("identity.forks-are-refused")
async def test_a_fork_of_a_session_that_lives_is_refused_and_its_agent_hears_nothing(
    telling: Dialler,
) -> None:
    teller = Teller(await telling())
    session_id = await teller.open({"cwd": "/", "mcpServers": []})
    error = await teller.client.error("session/fork", where(session_id))
    assert error["code"] == -32601
    sent = [message["method"] for message in await teller.told(session_id)]
    assert sent == ["initialize", "session/new", "session/prompt"]


@pytest.mark.requirement("handshake.once-per-agent", "handshake.one-answer-per-client")
async def test_every_client_is_answered_and_the_agent_is_initialized_once(
    telling: Dialler,
) -> None:
    teller = Teller(await telling())
    session_id = await teller.open({"cwd": "/", "mcpServers": []})
    for name in ("one", "two"):
        other = await telling()
        params = {"protocolVersion": 1, "clientInfo": {"name": name, "version": "1"}}
        answer = await other.ask("initialize", params)
        assert answer["result"]["protocolVersion"] == 1
        await other.result("session/load", where(session_id))
    sent = await teller.told(session_id)
    assert [message["method"] for message in sent] == [
        "initialize",
        "session/new",
        "session/prompt",
    ]
    assert sent[0]["params"]["clientInfo"]["name"] == "acprelay"


@pytest.mark.requirement("edges.loads-run-nothing-of-theirs", "peers.results-may-be-null")
@pytest.mark.parametrize("method", ["session/load", "session/resume"])
async def test_a_conversation_keeps_its_directory_servers_and_meta_whatever_a_client_says(
    method: str, tmp_path: Path
) -> None:
    own = {
        "cwd": str(tmp_path),
        "mcpServers": [{"name": "own", "command": "/bin/true", "args": [], "env": []}],
        "_meta": {"vendor": {"option": "own"}},
    }
    foreign = {
        "cwd": "/",
        "mcpServers": [{"name": "foreign", "command": "/bin/false", "args": [], "env": []}],
        "_meta": {"vendor": {"option": "foreign"}},
    }
    async with serve(RelayConfig(port=0, agents=(TELLING,))) as (relay, dial):
        teller = Teller(await dial())
        session_id = await teller.open(own)
        assert (await teller.told(session_id))[1]["params"] == own
        await teller.client.result("session/close", {"sessionId": session_id})
        await until_no_session_is_left(relay.base_url)

        late = Teller(await dial())
        await late.client.initialize()
        await late.client.result(method, {"sessionId": session_id, **foreign})
        (listed,) = (await late.client.result("session/list", {}))["sessions"]
        assert listed["cwd"] == str(tmp_path)
        restoration = (await late.told(session_id))[1]
        # Its answer to that was null, as are its answers to prompts, and all goes on.
        assert restoration["method"] == "session/load"
        params = restoration["params"]
        assert params.pop("sessionId") == "own-session-of-the-agent"
        assert params == own


@pytest.mark.requirement("peers.results-may-be-null")
async def test_null_as_a_result_reaches_whoever_asked(telling: Dialler) -> None:
    teller = Teller(await telling())
    session_id = await teller.open({"cwd": "/", "mcpServers": []})
    mode = {"sessionId": session_id, "modeId": "code"}
    assert await teller.client.ask("session/set_mode", mode) == {
        "jsonrpc": "2.0",
        "id": 3,
        "result": None,
    }
    (listed,) = (await teller.client.result("session/list", {}))["sessions"]
    assert listed["sessionId"] == session_id
