"""What the relay says of its own accord is what the protocol's schema says it may be.

`authored.py` holds it against the schema in every test of the folders that use it. Here stands what
there is to be held, and that all of it was; and that the judge finds what is wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from tests.conformance.authored import Ear
from tests.end_to_end.relays import raw_agent
from tests.server.clients import AcpClient
from tests.server.http_clients import HttpClient, until_method
from tests.server.peers import PATIENCE_S, Message
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.compose import DEMO_AGENT, RunningRelay
from acprelay.config import Limits, RelayConfig

pytestmark = pytest.mark.process

TO_CLIENTS = {
    "$/cancel_request",
    "_acprelay/attached",
    "_acprelay/notice",
    "_acprelay/permission_settled",
    "_acprelay/run_restarted",
    "_acprelay/turn_ended",
    "_acprelay/turn_started",
    "error -32002",  # resource not found
    "error -32021",  # the agent has exited
    "error -32600",  # invalid request
    "error -32601",  # method not found
    "error -32602",  # invalid params
    "result of _acprelay/open_group",
    "result of _acprelay/run",
    "result of _acprelay/turns",
    "result of initialize",
    "result of session/close",
    "result of session/delete",
    "result of session/list",
    "result of session/load",
    "result of session/prompt",
    "result of session/resume",
    "session/update available_commands_update",  # a snapshot's
    "session/update current_mode_update",
    "session/update user_message_chunk",
}
TO_AGENTS = {
    "initialize",
    "result of fs/read_text_file",
    "result of fs/write_text_file",
    "result of session/request_permission",
    "result of terminal/create",
    "result of terminal/kill",
    "result of terminal/output",
    "result of terminal/release",
    "result of terminal/wait_for_exit",
    "session/cancel",
    "session/new",
    "session/resume",
}
THE_TERMINAL: Message = {"terminalId": "$terminal"}


def where(session_id: str) -> Message:
    """The params of a load or a resume."""
    return {"sessionId": session_id, "cwd": "/", "mcpServers": []}


async def client_from(dial: Dialler, first_id: int, query: str = "") -> AcpClient:
    """A client whose ids nobody else uses: they tell what is answered."""
    client = await dial(query)
    client.skip_ids(first_id)
    return client


async def talk(dial: Dialler, relay: RunningRelay) -> None:
    """Two clients of the demo agent do what clients do, good and bad."""
    ann, bob = await client_from(dial, 1000), await client_from(dial, 2000)
    session_id = await ann.open_session()
    about = {"sessionId": session_id}
    await bob.initialize()
    await bob.result("session/list", {})
    await bob.result("session/load", where(session_id))
    await bob.result("session/resume", where(session_id))
    await ann.result("session/set_mode", {**about, "modeId": "auto"})
    await ann.result("session/set_mode", {**about, "modeId": "ask"})
    await be_asked(ann, bob, session_id)
    await cancel(ann, session_id)
    await bob.error("session/load", where("nobody:main"))
    await bob.error("session/load", {})
    await bob.error("session/fork", where(session_id))
    await bob.error("initialize", {"protocolVersion": 1})
    await read_over_http(relay, session_id)
    await ann.prompt(session_id, "/crash")
    await ann.prompt(session_id, "once more")
    run = await ann.result("_acprelay/run", about)
    os.kill(run["pid"], signal.SIGKILL)
    await ann.until("_acprelay/run_restarted")
    await ann.prompt(session_id, "again")
    await bob.result("_acprelay/turns", about)
    await bob.result("_acprelay/open_group", {"cwd": "/", "roles": [{"role": "a"}]})
    await ann.result("session/close", about)
    await ann.result("session/delete", about)


async def be_asked(ann: AcpClient, bob: AcpClient, session_id: str) -> None:
    """Both are asked for a permission; one answers."""
    prompt = await ann.begin_prompt(session_id, "/tool")
    asked = await bob.until("session/request_permission")
    outcome = {"outcome": {"outcome": "selected", "optionId": "allow"}}
    await bob.send({"id": asked["id"], "result": outcome})
    await ann.until("$/cancel_request")
    await ann.answer_to(prompt)


async def cancel(ann: AcpClient, session_id: str) -> None:
    """A turn is cancelled while it asks, with another one queued behind it."""
    prompts = [await ann.begin_prompt(session_id, "/tool") for _ in range(2)]
    await ann.until("session/request_permission")
    await ann.send({"method": "session/cancel", "params": {"sessionId": session_id}})
    for prompt in prompts:
        assert (await ann.answer_to(prompt))["result"] == {"stopReason": "cancelled"}


async def read_over_http(relay: RunningRelay, session_id: str) -> None:
    """A client loads before it opens the session's stream."""
    with HttpClient(relay.base_url) as client:
        client.skip_ids(3000)
        await client.initialize()
        stream = await client.stream()
        await client.begin_load(session_id)
        await until_method(stream, "_acprelay/attached")


async def be_served(dial: Dialler, folder: Path) -> None:
    """An agent asks for all that the relay serves."""
    client = await client_from(dial, 4000, "?agent=needing")
    session_id = await client.open_session(str(folder))
    needs: list[tuple[str, Message]] = [
        ("fs/write_text_file", {"path": str(folder / "a"), "content": "a"}),
        ("fs/read_text_file", {"path": str(folder / "a")}),
        ("fs/read_text_file", {"path": str(folder / "b")}),
        ("terminal/create", {"command": "true"}),
        *((f"terminal/{name}", THE_TERMINAL) for name in ("wait_for_exit", "output", "kill")),
        ("terminal/release", THE_TERMINAL),
        ("terminal/unheard_of", {}),
    ]
    await client.prompt(session_id, json.dumps(needs))


async def be_left_behind(dial: Dialler) -> None:
    """A client comes back for what a log has forgotten."""
    client = await client_from(dial, 5000)
    session_id = await client.open_session()
    await client.prompt(session_id, "/stream 20 100000")
    await client.result("session/load", where(session_id))


async def test_all_that_it_says_to_clients_and_agents_fits_the_schema(
    ear: Ear, tmp_path: Path
) -> None:
    demo = AgentSpec(name="demo", argv=DEMO_AGENT.argv)
    config = RelayConfig(
        port=0, agents=(demo, raw_agent("needing")), limits=Limits(history_bytes=1 << 20)
    )
    async with serve(config) as (relay, dial), asyncio.timeout(PATIENCE_S):
        await talk(dial, relay)
        await be_served(dial, tmp_path)
        await be_left_behind(dial)
    assert (TO_CLIENTS | TO_AGENTS) - ear.kinds == set()
    # What it says and this table does not name: add it, and have it said.
    assert ear.kinds - TO_CLIENTS - TO_AGENTS == set()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param({"method": "session/update", "params": {"sessionId": "s"}}, id="no update"),
        pytest.param(
            {
                "method": "session/update",
                "params": {
                    "sessionId": "s",
                    "update": {"sessionUpdate": "current_mode_update", "modeId": "ask"},
                },
            },
            id="a member of another name",
        ),
        pytest.param(
            {"method": "session/cancel", "params": {"sessionId": "s", "reason": "mine"}},
            id="a member too many",
        ),
        pytest.param({"method": "session/stop", "params": {}}, id="an unknown method"),
        pytest.param({"id": 1, "method": "session/cancel", "params": {"sessionId": "s"}}, id="id"),
        pytest.param({"id": 1, "error": {"code": "bad", "message": "no"}}, id="no code"),
        pytest.param({"id": 7, "result": {"stopReason": "tired"}}, id="no stop reason"),
    ],
)
def test_the_judge_finds_what_does_not_fit(frame: Message) -> None:
    judge = Ear()
    judge.note_request(7, "session/prompt")
    judge.hear(json.dumps({"jsonrpc": "2.0", **frame}).encode())
    assert judge.faults
