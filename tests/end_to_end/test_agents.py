"""Agents as they are, over the whole path: those of the SDK, and others that do odd things."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.end_to_end.joining import Serve
from tests.end_to_end.relays import raw_agent, sdk_agent
from tests.server.clients import AcpClient
from tests.server.peers import Message
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.config import RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

SDK_AGENTS = (
    *("streaming", "asking", "early", "late", "delegating", "zero", "patient", "failing"),
)
RAW_AGENTS = ("counting",)


@pytest.fixture
async def dial(serve_any: Serve) -> AsyncIterator[Dialler]:
    """Opens WebSockets to a relay that has all of these agents."""
    agents = (*map(sdk_agent, SDK_AGENTS), *map(raw_agent, RAW_AGENTS))
    async with serve_any(RelayConfig(port=0, agents=agents)) as (_, dialler):
        yield dialler


async def open_session(dial: Dialler, agent: str) -> tuple[AcpClient, str]:
    client = await dial(f"?agent={agent}")
    return client, await client.open_session()


def stamps(client: AcpClient) -> list[Message]:
    """What the relay has added to the updates that came."""
    return [
        message["params"]["_meta"]["acprelay"]
        for message in client.heard
        if message["method"] == "session/update"
    ]


@pytest.mark.requirement("positions.updates-carry-them")
async def test_an_agent_streams(dial: Dialler) -> None:
    client, session_id = await open_session(dial, "streaming")
    answer = await client.prompt(session_id, "go")
    assert answer["result"] == {"stopReason": "end_turn"}
    assert client.text == "".join(f"{number} " for number in range(200))
    # The first two entries are the marker of the turn's start, and the client's own prompt.
    assert [stamp["seq"] for stamp in stamps(client)] == list(range(3, 203))
    assert {message["params"]["sessionId"] for message in client.heard} == {session_id}


async def test_an_agent_asks_and_is_answered(dial: Dialler) -> None:
    client, session_id = await open_session(dial, "asking")
    prompt_id = await client.begin_prompt(session_id, "go")
    ask_ids = []
    for option in ("yes", "no"):
        ask = await client.until("session/request_permission")
        assert ask["params"]["sessionId"] == session_id
        assert [each["optionId"] for each in ask["params"]["options"]] == ["yes", "no"]
        ask_ids.append(ask["id"])
        outcome = {"outcome": {"outcome": "selected", "optionId": option}}
        await client.send({"id": ask["id"], "result": outcome})
    assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
    assert client.text == "yes no "
    assert all(isinstance(ask_id, str) for ask_id in ask_ids)
    assert len(set(ask_ids)) == 2


@pytest.mark.parametrize("serve_any", ["stdio"], indirect=True)
async def test_asks_of_several_sessions_have_ids_of_their_own(dial: Dialler) -> None:
    client = await dial("?agent=asking")
    await client.initialize()
    asked = {}
    for _ in range(2):
        session_id = await client.new_session()
        await client.begin_prompt(session_id, "go")
        ask = await client.until("session/request_permission")
        assert ask["params"]["sessionId"] == session_id
        asked[ask["id"]] = session_id
    assert len(asked) == 2


@pytest.mark.requirement(
    "order.early-updates-follow-the-answer", "order.nothing-before-the-session-id"
)
async def test_what_an_agent_says_before_its_session_is_open_follows_the_reply(
    dial: Dialler,
) -> None:
    client = await dial("?agent=early")
    await client.initialize()
    new_id = await client.begin("session/new", {"cwd": "/", "mcpServers": []})
    reply = await client.receive()
    assert reply["id"] == new_id
    session_id = reply["result"]["sessionId"]
    await client.prompt(session_id, "go")
    assert client.text == "early 0 early 1 early 2 in time"
    assert {message["params"]["sessionId"] for message in client.heard} == {session_id}
    seqs = [(stamp["seq"], stamp.get("outOfTurn", False)) for stamp in stamps(client)]
    assert seqs == [(1, True), (2, True), (3, True), (6, False)]


@pytest.mark.requirement("order.late-updates-are-marked")
async def test_what_an_agent_says_after_its_turn_is_delivered_after_the_reply(
    dial: Dialler,
) -> None:
    client, session_id = await open_session(dial, "late")
    answer = await client.prompt(session_id, "go")
    assert answer["result"] == {"stopReason": "end_turn"}
    assert client.text == "in time "
    client.heard += [await client.until("session/update") for _ in range(3)]
    assert client.text == "in time late 0 late 1 late 2 "
    seqs = [(stamp["seq"], stamp.get("outOfTurn", False)) for stamp in stamps(client)]
    assert seqs == [(3, False), (5, True), (6, True), (7, True)]


@pytest.mark.requirement(
    "identity.sub-agents-have-the-public-id", "identity.sub-agents-keep-their-id"
)
async def test_sub_agents_speak_under_the_sessions_id(dial: Dialler) -> None:
    client, session_id = await open_session(dial, "delegating")
    await client.prompt(session_id, "go")
    assert client.text == "main first second main again"
    assert {message["params"]["sessionId"] for message in client.heard} == {session_id}
    names = [stamp.get("agentSessionId") for stamp in stamps(client)]
    assert names == [None, "sub-agent-1", "sub-agent-2", None]


@pytest.mark.requirement("peers.agents-may-number-sessions")
async def test_a_session_id_may_be_zero(dial: Dialler) -> None:
    client, session_id = await open_session(dial, "zero")
    assert session_id.endswith(":main")
    await client.prompt(session_id, "go")
    assert client.text == "0"


@pytest.mark.requirement("turns.cancel-reaches-the-agent-at-once")
async def test_a_cancellation_reaches_the_agent(dial: Dialler) -> None:
    client, session_id = await open_session(dial, "patient")
    prompt_id = await client.begin_prompt(session_id, "go")
    await client.until("session/update")
    await client.send({"method": "session/cancel", "params": {"sessionId": session_id}})
    assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "cancelled"}


async def test_an_agents_error_keeps_its_code_message_and_data(dial: Dialler) -> None:
    client, session_id = await open_session(dial, "failing")
    answer = await client.prompt(session_id, "go")
    assert answer["error"] == {
        "code": -32099,
        "message": "no more tokens",
        "data": {"reset": [1, "2", None]},
    }


@pytest.mark.requirement(
    "peers.agents-may-count-from-zero",
    "peers.ids-may-be-uuids",
    "peers.ids-may-come-last",
    "passing.unknown-asks-go-to-the-owner",
)
async def test_an_agent_may_count_its_requests_from_zero_and_put_ids_last(dial: Dialler) -> None:
    client, session_id = await open_session(dial, "counting")
    for first in (0, 2):
        prompt_id = await client.begin_prompt(session_id, "go")
        for number in (first, first + 1):
            question = await client.until("_test/question")
            assert question["params"].pop("_meta").keys() == {"acprelay"}
            assert question["params"] == {"sessionId": session_id, "number": number}
            await client.send({"id": question["id"], "result": {"text": f"answer {number}"}})
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
    assert client.text == "answer 0 answer 1 answer 2 answer 3 "


@pytest.mark.requirement("identity.ids-come-back-as-sent", "identity.zero-is-an-id")
@pytest.mark.parametrize("prompt_id", ["1", "1.0", "0", '"1"', '"\\u0031"', "-7", '"' + "x" * 500])
async def test_a_clients_ids_come_back_as_the_bytes_they_were(
    dial: Dialler, prompt_id: str
) -> None:
    client, session_id = await open_session(dial, "counting")
    raw = prompt_id + '"' if prompt_id.startswith('"x') else prompt_id
    await client.peer.send(
        f'{{"params":{{"sessionId":"{session_id}","prompt":[{{"type":"text","text":""}}]}},'
        f'"method":"session/prompt","jsonrpc":"2.0","id":{raw}}}'.encode()
    )
    for _ in range(2):
        question = await client.until("_test/question")
        await client.send({"id": question["id"], "result": {"text": ""}})
        await client.until("session/update")
    await client.until("_acprelay/turn_ended")
    answer = await client.peer.receive()
    assert answer == b'{"result": {"stopReason": "end_turn"}, "jsonrpc": "2.0", "id": %s}' % (
        raw.encode()
    )


def sdk_example(name: str) -> AgentSpec:
    """An example of the SDK's source distribution, which `make install` unpacks."""
    unpacked = Path(sysconfig.get_path("data")) / "share" / "sdk-examples"
    folder = Path(os.environ.get("ACP_SDK_EXAMPLES", unpacked))
    if not folder.is_dir():
        pytest.skip(f"the SDK's examples are not in {folder}: set ACP_SDK_EXAMPLES")
    return AgentSpec(name="example", argv=(sys.executable, str(folder / name)))


async def test_the_sdks_echo_agent_echoes(serve_any: Serve) -> None:
    config = RelayConfig(port=0, agents=(sdk_example("echo_agent.py"),))
    async with serve_any(config) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        answer = await client.prompt(session_id, "Ahoy")
        assert answer["result"] == {"stopReason": "end_turn"}
        (update,) = client.updates
        assert update["content"] == {"type": "text", "text": "Ahoy", "_meta": {"echo": True}}
        (echo,) = (each for each in client.heard if each["method"] == "session/update")
        assert echo["params"]["_meta"]["source"] == "echo_agent"
        assert echo["params"]["_meta"]["acprelay"]["seq"] == 3


async def test_the_sdks_example_agent_serves_sessions_that_it_numbers() -> None:
    config = RelayConfig(port=0, agents=(sdk_example("agent.py"),))
    async with serve(config) as (_, dial):
        client = await dial()
        info = (await client.initialize())["agentInfo"]
        assert info["name"] == "example-agent"
        first, second = await client.new_session(), await client.new_session()
        for session_id in (first, second):
            client.heard.clear()
            answer = await client.prompt(session_id, "Ahoy")
            assert answer["result"] == {"stopReason": "end_turn"}
            assert client.text == "Client sent:Ahoy"
            assert {message["params"]["sessionId"] for message in client.heard} == {session_id}
        assert await client.result("session/set_mode", {"sessionId": first, "modeId": "x"}) == {}
        answer = await client.result("_vendor/method", {"sessionId": second, "some": "params"})
        assert answer == {"example": "response"}
