"""An agent that dies: whoever waits is told how and why, and the conversation stays."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from tests.end_to_end.joining import AnyRelay
from tests.end_to_end.relays import (
    RelayProcess,
    Witness,
    pass_time,
    raw_agent,
    tagged,
    until_gone,
    until_no_session_is_left,
)
from tests.server.clients import AcpClient
from tests.server.peers import Message
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.config import Limits, RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

NEW = {"cwd": "/", "mcpServers": []}


@pytest.fixture
async def client(any_relay: AnyRelay) -> AsyncIterator[AcpClient]:
    """A client of the demo agent, the only one there is; no run is left in the end."""
    await until_no_session_is_left(any_relay.base_url)
    with Dialler(any_relay.url) as dial:
        yield await dial()
    await until_no_session_is_left(any_relay.base_url)


def the_agent(relay: AnyRelay) -> psutil.Process:
    (agent,) = relay.tree()
    return agent


def expect_exit(error: Message, *, status: str, stderr: str = "") -> None:
    assert error["code"] == -32021
    agent = error["data"]["agent"]
    assert agent in {"demo", "joined"}
    assert error["message"] == f"cannot reach agent {agent!r}: it ended with {status}"
    assert error["data"]["code"] == "agent_exited"
    assert error["data"]["status"] == status
    assert error["data"]["retryable"] is True
    assert stderr in error["data"]["stderr"]
    assert error["data"]["hint"]


async def test_an_agent_that_is_killed_while_idle_is_a_notice_and_the_end_of_its_run_alone(
    any_relay: AnyRelay, client: AcpClient
) -> None:
    session_id = await client.open_session()
    the_agent(any_relay).kill()
    notice = (await client.until("_acprelay/notice"))["params"]
    assert (notice["sessionId"], notice["code"]) == (session_id, "agent_exited")
    assert notice["status"] == "signal SIGKILL"
    answer = await client.prompt(session_id, "hello")  # begins the next run, due or not
    assert answer["result"] == {"stopReason": "end_turn"}
    await client.result("session/close", {"sessionId": session_id})


@pytest.mark.requirement("turns.death-fails-what-waits", "turns.death-closes-dialogs")
async def test_an_agent_that_is_killed_in_a_turn_fails_all_that_waits_for_it(
    any_relay: AnyRelay, client: AcpClient
) -> None:
    session_id = await client.open_session()
    prompt_id = await client.begin_prompt(session_id, "/tool")
    ask = await client.until("session/request_permission")
    the_agent(any_relay).kill()
    withdrawn = await client.until("$/cancel_request")
    assert withdrawn["params"]["requestId"] == ask["id"]
    answer = await client.answer_to(prompt_id)
    expect_exit(answer["error"], status="signal SIGKILL")
    (ended,) = (each for each in client.heard if each["method"] == "_acprelay/turn_ended")
    assert ended["params"]["outcome"] == "failed"
    assert ended["params"]["error"]["code"] == "agent_exited"


@pytest.mark.requirement("turns.death-fails-what-waits")
async def test_an_agent_that_crashes_leaves_its_last_words(client: AcpClient) -> None:
    session_id = await client.open_session()
    answer = await client.prompt(session_id, "one\n/crash 3")
    last_words = "demo agent: ending with status 3, as was asked"
    expect_exit(answer["error"], status="exit status 3", stderr=last_words)
    assert client.text.startswith("You wrote 1 word: one")


async def test_an_answer_to_an_agent_that_has_died_is_dropped(
    any_relay: AnyRelay, client: AcpClient
) -> None:
    session_id = await client.open_session()
    await client.begin_prompt(session_id, "/tool")
    ask = await client.until("session/request_permission")
    the_agent(any_relay).kill()
    await client.until("$/cancel_request")
    outcome = {"outcome": {"outcome": "selected", "optionId": "allow"}}
    await client.send({"id": ask["id"], "result": outcome})
    await until_no_session_is_left(any_relay.base_url)
    await client.result("session/list", {})
    assert [message["id"] for message in client.heard if "error" in message] == [3]


@pytest.mark.parametrize("moment", ["initialize", "session/new"])
async def test_an_agent_that_is_killed_while_it_starts_fails_the_request(
    log: Path, tag: str, witness: Witness, moment: str
) -> None:
    steps = (witness.step, "child=own-session")
    agent = raw_agent("hesitant", moment, *steps, name="demo", tag=tag)
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        if moment == "initialize":
            request_id = await client.begin("initialize", {"protocolVersion": 1})
            held = await witness.hears("initialize")
        else:
            await client.initialize()
            request_id = await client.begin("session/new", NEW)
            held = await witness.hears("initialize", "session/new")
        relay.process.children()[0].send_signal(signal.SIGKILL)
        answer = await client.answer_to(request_id)
        expect_exit(answer["error"], status="signal SIGKILL")
        await held.sees_the_end()
        await until_no_session_is_left(relay.base_url)
        assert tagged(tag) == []


async def test_the_children_of_an_agent_that_was_killed_end_with_it(
    log: Path, tag: str, witness: Witness
) -> None:
    steps = (witness.step, "ignore-term", "child=group", "child=own-session", "child=orphan")
    agent = raw_agent("hesitant", "session/prompt", *steps, name="demo", tag=tag)
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        prompt_id = await client.begin_prompt(await client.open_session(), "hello")
        held = await witness.hears("initialize", "session/new", "session/prompt")
        processes = tagged(tag)
        assert len(processes) == 4
        relay.process.children()[0].kill()
        expect_exit((await client.answer_to(prompt_id))["error"], status="signal SIGKILL")
        await held.sees_the_end()
        await until_gone(processes)
        await until_no_session_is_left(relay.base_url)


@pytest.mark.parametrize(
    ("argv", "status", "stderr"),
    [
        (("sh", "-c", "echo out of credit >&2; exit 7"), "exit status 7", "out of credit"),
        (("sh", "-c", "echo not ACP; exit 0"), "exit status 0", ""),
    ],
)
async def test_a_program_that_ends_at_once_fails_initialize_with_its_last_words(
    argv: tuple[str, ...], status: str, stderr: str
) -> None:
    config = RelayConfig(port=0, agents=(AgentSpec(name="demo", argv=argv),))
    async with serve(config) as (_, dial):
        client = await dial()
        for _ in range(2):  # nothing of it is remembered
            error = await client.error("initialize", {"protocolVersion": 1})
            expect_exit(error, status=status, stderr=stderr)


async def test_a_program_that_cannot_be_started_fails_initialize_with_a_hint() -> None:
    agent = AgentSpec(name="demo", argv=("acprelay-no-such-program",))
    async with serve(RelayConfig(port=0, agents=(agent,))) as (_, dial):
        error = await (await dial()).error("initialize", {"protocolVersion": 1})
        assert (error["code"], error["data"]["code"]) == (-32020, "spawn_failed")
        assert "acprelay-no-such-program" in error["message"]
        assert error["data"]["hint"]


@pytest.mark.requirement("supervision.start-has-a-deadline")
@pytest.mark.parametrize("moment", ["initialize", "session/new"])
async def test_an_agent_that_does_not_answer_in_time_is_given_up_and_ended(
    tag: str, witness: Witness, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    steps = (witness.step, "complain=I am thinking", "child=own-session")
    agent = raw_agent("hesitant", moment, *steps, tag=tag)
    config = RelayConfig(port=0, agents=(agent,), limits=Limits(start_s=600.0))
    async with serve(config) as (relay, dial):
        client = await dial()
        if moment == "initialize":
            request_id = await client.begin("initialize", {"protocolVersion": 1})
            held = await witness.hears("initialize")
        else:
            await client.initialize()
            request_id = await client.begin("session/new", NEW)
            held = await witness.hears("initialize", "session/new")
        pass_time(monkeypatch, 600.0)
        error = (await client.answer_to(request_id))["error"]
        assert (error["code"], error["data"]["code"]) == (-32022, "agent_unresponsive")
        assert (error["data"]["method"], error["data"]["after_s"]) == (moment, 600.0)
        assert error["data"]["stderr"] == "I am thinking"
        await held.sees_the_end()
        await until_no_session_is_left(relay.base_url)
