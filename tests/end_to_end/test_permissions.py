"""Permissions over the whole path: their ids, what they hold up, and what a policy says of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.end_to_end.joining import Serve
from tests.server.clients import AcpClient
from tests.server.peers import Message
from tests.server.relays import Dialler, serve

from acprelay.config import RelayConfig
from acprelay.routing.policy import Action, Policy, Rule

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

ALLOW = {"outcome": {"outcome": "selected", "optionId": "allow"}}


def where(session_id: str) -> Message:
    """The params of a load or a resume."""
    return {"sessionId": session_id, "cwd": "/", "mcpServers": []}


async def allow(client: AcpClient) -> str:
    """Answers the next permission request; gives its id."""
    ask = await client.until("session/request_permission")
    await client.send({"id": ask["id"], "result": ALLOW})
    ask_id = ask["id"]
    assert isinstance(ask_id, str)
    return ask_id


def methods(client: AcpClient) -> list[str]:
    """What the client heard, but for answers."""
    return [message["method"] for message in client.heard if "method" in message]


@pytest.fixture
async def dial() -> AsyncIterator[Dialler]:
    """Opens WebSockets to a relay with the demo agent."""
    async with serve(RelayConfig(port=0)) as (_, dialler):
        yield dialler


@pytest.mark.requirement("identity.ask-ids-never-repeat")
async def test_no_two_asks_have_the_same_id_in_any_conversation_before_or_after_a_restart(
    tmp_path: Path,
) -> None:
    config = RelayConfig(port=0, state_dir=tmp_path / "state")
    sessions: list[str] = []
    ids: list[str] = []
    for _ in range(2):
        async with serve(config) as (_, dial):
            client = await dial()
            await client.initialize()
            for session_id in sessions:
                await client.result("session/load", where(session_id))
            sessions.append(await client.new_session())
            for session_id in sessions:
                prompt_id = await client.begin_prompt(session_id, "/tool\n/tool")
                ids += [await allow(client), await allow(client)]
                await client.answer_to(prompt_id)
    assert len(ids) == 6
    assert len(set(ids)) == 6


@pytest.mark.requirement("permissions.asks-delay-their-own-turn-only")
async def test_while_a_permission_waits_all_else_goes_on(dial: Dialler) -> None:
    client = await dial()
    waiting = await client.open_session()
    prompt_id = await client.begin_prompt(waiting, "/tool")
    ask = await client.until("session/request_permission")

    other = await client.new_session()
    assert (await client.prompt(other, "hello"))["result"] == {"stopReason": "end_turn"}
    mode = {"sessionId": waiting, "modeId": "auto"}
    assert await client.result("session/set_mode", mode) == {}
    turns = await client.result("_acprelay/turns", {"sessionId": waiting})
    assert turns["running"] is not None

    await client.send({"id": ask["id"], "result": ALLOW})
    assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}


@pytest.mark.requirement("policy.answers-before-clients", "policy.decisions-are-audited")
async def test_what_the_policy_decides_is_asked_of_nobody_and_is_in_the_audit_log(
    tmp_path: Path, serve_any: Serve
) -> None:
    policy = Policy((Rule(action=Action.REJECT, name="run nothing", command=("true",)),))
    config = RelayConfig(port=0, state_dir=tmp_path / "state", policy=policy)
    async with serve_any(config) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        answer = await client.prompt(session_id, "/tool")
        assert answer["result"] == {"stopReason": "end_turn"}
        assert "The permission was not given" in client.text
        assert "session/request_permission" not in methods(client)
        (settled,) = (
            each["params"]
            for each in client.heard
            if each["method"] == "_acprelay/permission_settled"
        )
        assert (settled["by"], settled["optionId"]) == ("policy", "reject")
    (entry,) = map(json.loads, (tmp_path / "state" / "audit.jsonl").read_text().splitlines())
    assert (entry["by"], entry["optionId"]) == ("policy", "reject")
    assert (entry["policy"]["action"], entry["policy"]["rule"]) == ("reject", "run nothing")
    assert entry["toolCall"]["commands"] == ["true"]
