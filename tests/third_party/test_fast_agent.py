"""fast-agent behind a relay: an agent that starts its tools as processes of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess, tagged, until_gone
from tests.server.clients import AcpClient
from tests.server.peers import Message
from tests.server.relays import Dialler
from tests.third_party.programs import FAST_AGENT, fast_agent, needs, tool_server

pytestmark = [pytest.mark.process, needs("fast-agent", FAST_AGENT)]

CALL = '***CALL_TOOL notes__note {"text": "milk"}'


@pytest.fixture
def relay(home: Path, log: Path, tag: str) -> Iterator[RelayProcess]:
    with RelayProcess(fast_agent(home=home, tag=tag), log=log) as relay:
        yield relay


@pytest.fixture
async def dial(relay: RelayProcess) -> AsyncIterator[Dialler]:
    with Dialler(relay.url) as dialler:
        yield dialler


async def open_with_tools(client: AcpClient, cwd: Path, tag: str) -> str:
    """Opens a session whose agent is to have the tool server."""
    await client.initialize()
    params: Message = {"cwd": str(cwd), "mcpServers": [tool_server(tag=tag)]}
    return str((await client.result("session/new", params))["sessionId"])


async def call_the_tool(client: AcpClient, session_id: str, *, option: str) -> Message:
    """Has the agent call its tool, answers its question, and gives what becomes of the prompt."""
    prompt_id = await client.begin_prompt(session_id, CALL)
    ask = await client.until("session/request_permission")
    assert ask["params"]["sessionId"] == session_id
    assert ask["params"]["toolCall"]["rawInput"] == {"text": "milk"}
    outcome: Message = {"outcome": "selected", "optionId": option}
    await client.send({"id": ask["id"], "result": {"outcome": outcome}})
    return await client.answer_to(prompt_id)


async def close(client: AcpClient, session_id: str, tag: str) -> list[str]:
    """Closes a session, and gives the commands of the processes that have ended with it."""
    processes = tagged(tag)
    commands = [" ".join(process.cmdline()) for process in processes]
    await client.result("session/close", {"sessionId": session_id})
    await until_gone(processes)
    assert tagged(tag) == []
    return commands


async def test_what_it_is_told_comes_back(dial: Dialler, workplace: Path, tag: str) -> None:
    client = await dial()
    assert (await client.initialize())["agentInfo"]["name"] == "fast-agent"
    session_id = await client.new_session(str(workplace))
    answer = await client.prompt(session_id, "hello there")
    assert answer["result"] == {"stopReason": "end_turn"}
    assert client.text == "hello there"
    assert len(await close(client, session_id, tag)) == 1


async def test_a_tool_that_is_allowed_is_called_and_its_process_ends_with_the_session(
    dial: Dialler, workplace: Path, tag: str
) -> None:
    client = await dial()
    session_id = await open_with_tools(client, workplace, tag)
    answer = await call_the_tool(client, session_id, option="allow_once")
    assert answer["result"] == {"stopReason": "end_turn"}
    assert client.text == "noted: milk"
    ended = await close(client, session_id, tag)
    assert sum(command.endswith("tool_server.py") for command in ended) == 1


async def test_a_tool_that_is_rejected_is_not_called(
    dial: Dialler, workplace: Path, tag: str
) -> None:
    client = await dial()
    session_id = await open_with_tools(client, workplace, tag)
    answer = await call_the_tool(client, session_id, option="reject_once")
    assert "result" in answer
    assert "noted" not in client.text
    await close(client, session_id, tag)


async def test_it_reads_and_writes_files_through_the_relay(
    dial: Dialler, workplace: Path, tag: str
) -> None:
    """Its own tools for files ask the client for them, which is the relay."""
    client = await dial()
    session_id = await client.open_session(str(workplace))
    for tool, params, said in (
        ("write_text_file", {"path": str(workplace / "new"), "content": "milk\n"}, "Success"),
        ("read_text_file", {"path": str(workplace / "new")}, "milk"),
    ):
        call = f"***CALL_TOOL {tool} {json.dumps(params)}"
        prompt_id = await client.begin_prompt(session_id, call)
        ask = await client.until("session/request_permission")
        outcome: Message = {"outcome": "selected", "optionId": "allow_once"}
        await client.send({"id": ask["id"], "result": {"outcome": outcome}})
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
        assert said in client.text
    assert (workplace / "new").read_text() == "milk\n"
    await close(client, session_id, tag)


@pytest.mark.requirement("replay.dormant-loads-start-nothing")
async def test_a_dormant_conversation_is_read_without_an_agent_and_taken_up_where_it_was(
    dial: Dialler, home: Path, workplace: Path, tag: str
) -> None:
    client = await dial()
    session_id = await client.open_session(str(workplace))
    await client.prompt(session_id, "remember the milk")
    await close(client, session_id, tag)

    reader = await dial()
    await reader.initialize()
    params: Message = {"sessionId": session_id, "cwd": str(workplace), "mcpServers": []}
    await reader.result("session/load", params)
    assert reader.text == "remember the milk"
    assert tagged(tag) == []

    answer = await reader.prompt(session_id, "and the bread")
    assert answer["result"] == {"stopReason": "end_turn"}
    assert reader.text == "remember the milkand the bread"
    remembered = [folder.name for folder in (home / "sessions").glob("[!.]*")]
    assert len(remembered) == 1  # it has gone on with its own session, and begun no other
    await close(reader, session_id, tag)
