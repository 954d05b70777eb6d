"""Agents that join a relay from elsewhere, over links that are cut, with tokens that end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.end_to_end.cutting import CuttingProxy
from tests.end_to_end.joining import JoinProcess, invite
from tests.end_to_end.relays import (
    RelayProcess,
    Witness,
    raw_agent,
    tagged,
    until_gone,
    until_no_session_is_left,
)
from tests.ports import kept_port
from tests.server.clients import AcpClient
from tests.server.relays import Dialler, serve

from acprelay.compose import DEMO_AGENT
from acprelay.config import Limits, RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

COUNT = 100_000
CUT_AT = COUNT // 4
"""Far from the end: what a client has not read yet, its relay may have had for long."""
OUTAGE_S = 5.0
FIREHOSE = raw_agent("firehose").argv
DEMO = DEMO_AGENT.argv


def address(session: str, role: str = "main") -> str:
    """Where clients of an agent connect that has joined."""
    return f"?agent=joined&session={session}&role={role}"


@pytest.fixture
def session() -> str:
    return uuid.uuid4().hex


@pytest.fixture
async def dial() -> AsyncIterator[Dialler]:
    """Opens WebSockets to a relay in this process, which waits for no agent for long."""
    limits = Limits(start_s=20.0, link_grace_s=20.0)
    async with serve(RelayConfig(port=0, limits=limits)) as (_, dialler):
        yield dialler


@asynccontextmanager
async def joined(
    dial: Dialler, session: str, argv: tuple[str, ...] = DEMO, *options: str, url: str = ""
) -> AsyncIterator[JoinProcess]:
    """An agent that has joined."""
    token = await invite(dial.url, session)
    async with JoinProcess(url or dial.url, session, argv, *options, token=token) as process:
        await process.tells("joined")
        yield process


async def read_updates(client: AcpClient, first: int, last: int) -> None:
    """Reads so many numbered updates, and finds every one once and in order."""
    for number in range(first, last):
        message = json.loads(await client.peer.receive())
        assert message["params"]["update"]["content"]["text"] == f"{number:06d}"
        assert message["params"]["_meta"]["acprelay"]["seq"] == number + 3


@pytest.mark.requirement("joining.cuts-are-not-seen")
async def test_a_link_cut_for_five_seconds_in_a_stream_of_100_000_updates_is_seen_by_no_client(
    dial: Dialler, session: str
) -> None:
    async with (
        CuttingProxy(dial.url).listening() as proxy,
        joined(dial, session, FIREHOSE, url=proxy.url) as process,
    ):
        client, other = [await dial(address(session)) for _ in range(2)]
        session_id = await client.open_session()
        await other.initialize()
        await other.result("session/load", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
        prompt_id = await client.begin_prompt(session_id, f"{COUNT} 6")
        await client.until("_acprelay/turn_started")
        await read_updates(client, 0, CUT_AT)
        proxy.cut()
        await process.tells("link lost")
        asyncio.get_running_loop().call_later(OUTAGE_S, proxy.mend)
        await read_updates(client, CUT_AT, COUNT)
        assert not proxy.is_cut  # it could not have had them all before
        await process.tells("link resumed")
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
        await other.until("_acprelay/turn_started")
        assert (await other.receive())["params"]["update"]["sessionUpdate"] == "user_message_chunk"
        await read_updates(other, 0, COUNT)
        assert process.told.count("link lost") == process.told.count("link resumed") == 1


@pytest.mark.requirement("joining.links-resume-exactly")
async def test_a_link_that_is_cut_again_and_again_loses_nothing_either_way(
    dial: Dialler, session: str
) -> None:
    async with (
        CuttingProxy(dial.url).listening() as proxy,
        joined(dial, session, url=proxy.url) as process,
    ):
        client = await dial(address(session))
        session_id = await client.open_session()
        for number in range(1, 6):
            prompt_id = await client.begin_prompt(session_id, f"turn {number}\n/tool\n/stream 50 8")
            ask = await client.until("session/request_permission")
            proxy.cut()
            outcome = {"outcome": {"outcome": "selected", "optionId": "allow"}}
            await client.send({"id": ask["id"], "result": outcome})
            await process.tells("link lost", times=number)
            proxy.mend()
            assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
            await process.tells("link resumed", times=number)
        seqs = [
            message["params"]["_meta"]["acprelay"].get("seq")
            for message in client.heard
            if message.get("method", "") != "session/request_permission"
        ]
        entries = [seq for seq in seqs if seq is not None]
        own = 5  # the client's own prompts, which it is not shown
        assert len(entries) == len(set(entries)) == max(entries) - own
        assert entries == sorted(entries)


@pytest.mark.requirement("joining.lost-after-grace")
async def test_a_join_that_is_killed_is_the_loss_of_its_agent_after_the_grace_period(
    session: str, tag: str, witness: Witness
) -> None:
    agent = raw_agent("hesitant", "session/prompt", witness.step, tag=tag)
    limits = Limits(link_grace_s=1.0)
    async with serve(RelayConfig(port=0, limits=limits)) as (relay, dial):
        async with joined(dial, session, agent.argv) as process:
            client = await dial(address(session))
            prompt_id = await client.begin_prompt(await client.open_session(), "hello")
            held = await witness.hears("initialize", "session/new", "session/prompt")
            process.kill()
            error = (await client.answer_to(prompt_id))["error"]
            assert error["data"]["code"] == "agent_exited"
            assert error["data"]["status"] == "the loss of its link"
            await until_no_session_is_left(relay.base_url)
            await process.wait()
        for orphan in tagged(tag):  # nobody there could end it, and it ignores its closed input
            orphan.terminate()
        await held.sees_the_end()


async def test_an_agent_that_is_killed_is_told_of_with_its_status_and_its_last_words(
    dial: Dialler, session: str
) -> None:
    async with joined(dial, session) as process:
        client = await dial(address(session))
        session_id = await client.open_session()
        answer = await client.prompt(session_id, "/crash 3")
        assert answer["error"]["data"]["status"] == "exit status 3"
        assert "ending with status 3" in answer["error"]["data"]["stderr"]
        assert await process.wait() == 1
        assert "the agent ended with exit status 3" in process.told
        assert "demo agent: ending with status 3" in process.told


@pytest.mark.requirement("joining.conversations-go-on")
async def test_a_dormant_conversation_goes_on_with_the_next_agent_that_joins(
    dial: Dialler, session: str
) -> None:
    client = await dial(address(session))
    async with joined(dial, session) as process:
        session_id = await client.open_session()
        await client.prompt(session_id, "first")
        await client.result("session/close", {"sessionId": session_id})
        assert await process.wait() == 0
        assert "the relay has ended the agent" in process.told
    await client.result("session/load", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
    prompt_id = await client.begin_prompt(session_id, "second")
    async with joined(dial, session):  # the prompt has waited for it
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
        assert "You wrote 1 word: second" in client.text


@pytest.mark.requirement("joining.clients-wait-for-agents")
async def test_a_client_that_comes_first_waits_for_the_agent(dial: Dialler, session: str) -> None:
    client = await dial(address(session))
    initialize_id = await client.begin("initialize", {"protocolVersion": 1})
    async with joined(dial, session):
        result = (await client.answer_to(initialize_id))["result"]
        assert result["agentInfo"]["name"] == "acprelay-demo"
        await client.new_session()


@pytest.mark.requirement("joining.absence-is-told")
async def test_a_client_is_told_how_an_agent_joins_where_none_does(session: str) -> None:
    config = RelayConfig(port=0, limits=Limits(start_s=0.2))
    async with serve(config) as (_, dial):
        client = await dial(address(session, "auth"))
        error = await client.error("initialize", {"protocolVersion": 1})
        assert (error["code"], error["data"]["code"]) == (-32025, "agent_absent")
        assert f"acprelay join --session {session} --role auth" in error["data"]["hint"]
        nameless = await dial("?agent=joined")
        error = await nameless.error("initialize", {"protocolVersion": 1})
        assert error["data"]["code"] == "invalid_params"


@pytest.mark.requirement("joining.one-agent-for-each-role")
async def test_a_second_agent_for_a_role_is_refused_and_one_for_another_role_is_not(
    dial: Dialler, session: str
) -> None:
    async with joined(dial, session):
        token = await invite(dial.url, session)
        async with JoinProcess(dial.url, session, DEMO, token=token) as second:
            assert await second.wait() == 1
            assert "an agent has joined it already" in second.told
        token = await invite(dial.url, session, "db")
        async with JoinProcess(dial.url, session, DEMO, token=token, role="db") as third:
            await third.tells("joined")


@pytest.mark.requirement("joining.tokens-are-for-one-role", "access.tokens-end")
@pytest.mark.parametrize(
    ("role", "params", "says"),
    [
        ("main", {"role": "other"}, "the token is for another role"),
        ("main", {"ttl_s": 1e-6}, "the token has expired"),
        ("main", {"group": "elsewhere"}, "the token is for another role"),
    ],
)
async def test_a_token_lets_nobody_join_anything_else_or_later(
    dial: Dialler, session: str, role: str, params: dict[str, object], says: str
) -> None:
    client = await dial()
    asked = {"group": session, "role": role, **params}
    token = (await client.result("_acprelay/invite", asked))["token"]
    async with JoinProcess(dial.url, session, DEMO, token=token, role=role) as process:
        assert await process.wait() == 1
        assert says in process.told
        assert process.told.count("hint") == 1


@pytest.mark.requirement("access.tokens-end")
async def test_a_token_that_is_revoked_lets_nobody_in_and_lets_its_agent_go(
    dial: Dialler, session: str
) -> None:
    client = await dial()
    async with joined(dial, session) as process:
        token = process.token
        revoked = await client.result("_acprelay/revoke_invitations", {"group": session})
        assert revoked == {"revoked": 1}
        assert await process.wait() == 0
        assert "the relay has ended the agent" in process.told
    async with JoinProcess(dial.url, session, DEMO, token=token) as process:
        assert await process.wait() == 1
        assert "the token is unknown, has expired or was revoked" in process.told


@pytest.mark.requirement("joining.given-up-links-end-agents", "joining.tokens-outlive-the-relay")
async def test_a_relay_that_is_killed_and_comes_back_has_the_agent_ended_and_takes_the_next_one(
    log: Path, tag: str, session: str, witness: Witness
) -> None:
    agent = raw_agent("parent", witness.step, "child=own-session", tag=tag)
    with kept_port() as port, RelayProcess(log=log, port=port) as relay:
        token = await invite(relay.url, session)
        process = JoinProcess(relay.url, session, agent.argv, "--again", token=token)
        async with process:
            await process.tells("joined")
            with Dialler(relay.url) as dial:
                client = await dial(address(session))
                await client.open_session()
            held = await witness.hears()
            processes = tagged(tag)
            assert len(processes) == 2
            await relay.kill()
            await process.tells("link lost")
            with RelayProcess(log=log, port=port) as later:
                await held.sees_the_end()
                await until_gone(processes)
                await process.tells("joined", times=2)
                with Dialler(later.url) as dial:
                    client = await dial(address(session))
                    await client.initialize()
        assert await process.wait() == 0
        assert tagged(tag) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_join_that_is_told_to_end_ends_its_agent_and_the_relay_knows_at_once(
    dial: Dialler, session: str, witness: Witness, number: signal.Signals, status: int
) -> None:
    agent = raw_agent("hesitant", "session/prompt", witness.step)
    async with joined(dial, session, agent.argv) as process:
        client = await dial(address(session))
        prompt_id = await client.begin_prompt(await client.open_session(), "hello")
        held = await witness.hears("initialize", "session/new", "session/prompt")
        agents = process.agents
        process.interrupt(number)
        error = (await client.answer_to(prompt_id))["error"]
        assert error["data"]["code"] == "agent_exited"
        assert "link" not in error["data"]["status"]
        assert await process.wait() == status
        await held.sees_the_end()
        await until_gone(agents)


async def test_a_join_whose_relay_is_not_there_tries_for_a_while_and_then_says_so(
    session: str,
) -> None:
    url = "ws://127.0.0.1:1"
    async with JoinProcess(url, session, DEMO, "--wait", "0.3", token="t") as process:
        assert await process.wait() == 3
        assert "cannot reach a relay at" in process.told
    async with JoinProcess(url, session, DEMO, token="t") as process:
        await process.tells("trying again (cannot reach a relay")
        process.interrupt(signal.SIGINT)
        assert await process.wait() == 130


async def test_a_join_that_comes_before_its_relay_waits_for_it(session: str) -> None:
    async with serve(RelayConfig(port=0)) as (_, dial):
        token = await invite(dial.url, session)
        async with CuttingProxy(dial.url).listening() as proxy:
            proxy.cut()
            async with JoinProcess(proxy.url, session, DEMO, token=token) as process:
                await proxy.refuses(2)
                proxy.mend()
                await process.tells("joined")


async def test_a_command_that_cannot_be_started_says_so_here_and_there(
    dial: Dialler, session: str
) -> None:
    client = await dial(address(session))
    initialize_id = await client.begin("initialize", {"protocolVersion": 1})
    token = await invite(dial.url, session)
    async with JoinProcess(dial.url, session, ("/no/such/agent",), token=token) as process:
        assert await process.wait() == 1
        assert "there is no file '/no/such/agent'" in process.told
    error = (await client.answer_to(initialize_id))["error"]
    assert error["data"]["status"] == "exit status 127"
    assert "there is no file '/no/such/agent'" in error["data"]["stderr"]


async def test_a_command_that_speaks_no_acp_is_told_why_it_is_ended(session: str) -> None:
    answer = '{"id":1,"error":{"code":-32000,"message":"no"}}'
    argv = ("sh", "-c", f"read line; echo '{answer}'; exec cat")
    async with serve(RelayConfig(port=0)) as (_, dial):
        token = await invite(dial.url, session)
        async with JoinProcess(dial.url, session, argv, token=token) as process:
            assert await process.wait() == 0
            assert "it answered initialize with" in process.told


async def test_an_agent_that_has_joined_sees_neither_the_token_nor_what_is_not_named(
    dial: Dialler, session: str, tmp_path: Path
) -> None:
    seen = tmp_path / "environment"
    argv = (
        "sh",
        "-c",
        f"env > {seen}.new; mv {seen}.new {seen}; exec {sys.executable} -m "
        "acprelay.testing.demo_agent",
    )
    async with joined(dial, session, argv, "--pass-env", "PATH"):
        client = await dial(address(session))
        await client.initialize()
        assert "ACPRELAY_TOKEN" not in seen.read_text()
        assert "PYTEST_CURRENT_TEST" not in seen.read_text()


async def test_a_relay_that_stops_has_the_agents_ended_that_have_joined(
    session: str, tag: str, witness: Witness
) -> None:
    agent = raw_agent("parent", witness.step, "child=own-session", tag=tag)
    async with AsyncExitStack() as stack:
        processes = []
        async with serve(RelayConfig(port=0)) as (_, dial):
            for role in ("parked", "busy"):
                token = await invite(dial.url, session, role)
                process = JoinProcess(dial.url, session, agent.argv, token=token, role=role)
                processes.append(await stack.enter_async_context(process))
                await process.tells("joined")
            held = [await witness.hears() for _ in processes]
            client = await dial(address(session, "busy"))
            await client.open_session()
        for each in held:
            await each.sees_the_end()
        for process in processes:
            assert await process.wait() == 0
            assert "the relay has ended the agent" in process.told
    assert tagged(tag) == []


@pytest.mark.requirement("files.strangers-are-served-nothing")
async def test_an_agent_that_has_joined_reads_no_file_and_runs_no_command_of_the_relays_machine(
    dial: Dialler, session: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("the relay's own")
    async with joined(dial, session):
        client = await dial(address(session))
        session_id = await client.open_session(str(tmp_path))
        read = json.dumps({"path": str(tmp_path / "secret")})
        run = json.dumps({"command": "touch", "args": [str(tmp_path / "touched")]})
        text = f"/ask fs/read_text_file {read}\n/ask terminal/create {run}"
        assert "result" in await client.prompt(session_id, text)
        assert client.text.count("-32601") == 2
        assert "the relay's own" not in client.text
        assert not (tmp_path / "touched").exists()
        await client.result("session/close", {"sessionId": session_id})
