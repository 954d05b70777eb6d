"""Agents behind shells, agents that crash or do not read, and processes that are kept ready."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest
from tests.end_to_end.relays import (
    TAG,
    RelayProcess,
    Witness,
    raw_agent,
    tagged,
    until_no_session_is_left,
)
from tests.server.peers import PATIENCE_S, Message
from tests.server.relays import count_sessions, serve

from acprelay.agents.models import AgentLimits, AgentSpec
from acprelay.compose import DEMO_AGENT
from acprelay.config import Limits, RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

STUBBORN_CHILDREN = ("ignore-term", "child=own-group", "child=own-session", "child=orphan")

# Ignores SIGTERM and the end of its input, until a witness lets it go.
HELD_BACK = """\
import signal, socket
from acprelay.testing.demo_agent import program
signal.signal(signal.SIGTERM, signal.SIG_IGN)
program.main()
witness = socket.socket(socket.AF_UNIX)
witness.connect({path!r})
witness.sendall(b"asked to end\\n")
witness.recv(1)
"""


def health(told: Message) -> tuple[object, object]:
    """The condition that a notice tells of, and whether it began or ended."""
    params = told["params"]
    assert params["code"] == "agent_health", params
    return params["condition"], params["state"]


# --- the end of agents behind other programs


def behind(wrapper: str, folder: Path, agent: AgentSpec) -> AgentSpec:
    """The same agent, started by a program that stays its parent."""
    command = shlex.join(agent.argv)
    if wrapper == "sh":
        return AgentSpec(name="wrapped", argv=("sh", "-c", f"{command}; exit 0"))
    if shutil.which("npx") is None:
        pytest.skip("there is no npx")
    scripts = folder / "node_modules" / ".bin"
    scripts.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "wrapping", "version": "1.0.0"}))
    (scripts / "the-agent").write_text(f"#!/bin/sh\n{command}\nexit 0\n")
    (scripts / "the-agent").chmod(0o700)
    environment = {"npm_config_update_notifier": "false", "npm_config_cache": str(folder / "npm")}
    argv = ("npx", "--no", "--prefix", str(folder), "the-agent")
    return AgentSpec(name="wrapped", argv=argv, env=environment)


@pytest.mark.requirement("supervision.wrapped-agents-leave-nothing")
@pytest.mark.parametrize("wrapper", ["sh", "npx"])
async def test_of_an_agent_behind_a_wrapper_nothing_is_left_when_its_end_is_answered(
    wrapper: str, tmp_path: Path, tag: str, witness: Witness
) -> None:
    steps = (witness.step, *STUBBORN_CHILDREN)
    agent = raw_agent("hesitant", "session/prompt", *steps, tag=tag)
    config = RelayConfig(port=0, agents=(behind(wrapper, tmp_path / "wrapper", agent),))
    async with serve(config) as (relay, dial):
        client = await dial()
        session_id = await client.open_session()
        prompt_id = await client.begin_prompt(session_id, "hello")
        held = await witness.hears("initialize", "session/new", "session/prompt")
        run = await client.result("_acprelay/run", {"sessionId": session_id})
        leader = psutil.Process(run["pid"])
        assert run["usage"]["processes"] >= len(STUBBORN_CHILDREN) + 1  # and the wrapper's own
        assert leader.pid not in {process.pid for process in tagged(tag)}
        # An error, in place of this result, would say that something survives the relay's deadline.
        assert await client.result("session/close", {"sessionId": session_id}) == {}
        assert not leader.is_running()
        assert tagged(tag) == []
        await held.sees_the_end()
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "cancelled"}
        assert await count_sessions(relay.base_url) == 0


@pytest.mark.requirement("supervision.next-session-starts-meanwhile")
async def test_while_a_stubborn_agent_is_being_ended_the_next_session_starts_and_works(
    tmp_path: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = partial(AgentLimits, grace_s=PATIENCE_S)
    monkeypatch.setattr("acprelay.compose.parts.AgentLimits", limits)
    source = HELD_BACK.format(path=str(tmp_path / "witness"))
    stubborn = AgentSpec(name="stubborn", argv=(sys.executable, "-c", source))
    config = RelayConfig(port=0, agents=(stubborn, DEMO_AGENT))
    async with serve(config) as (_, dial):
        client, other = await dial(), await dial("?agent=demo")
        session_id = await client.open_session()
        run = await client.result("_acprelay/run", {"sessionId": session_id})
        closing = await client.begin("session/close", {"sessionId": session_id})
        held = await witness.hears("asked to end")  # and it lives until it is let go
        next_id = await other.open_session()
        assert (await other.prompt(next_id, "hello"))["result"] == {"stopReason": "end_turn"}
        ending = await other.result("_acprelay/run", {"sessionId": session_id})
        assert (ending["state"], ending["pid"]) == ("terminating", run["pid"])
        assert psutil.pid_exists(run["pid"])
        await held.say("go")
        assert (await client.answer_to(closing))["result"] == {}
        assert not psutil.pid_exists(run["pid"])


# --- agents that crash, do not read or do not speak


@pytest.mark.requirement("supervision.idle-crashes-are-restarted")
async def test_an_idle_agent_that_is_killed_is_back_before_anybody_asks() -> None:
    async with serve(RelayConfig(port=0)) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        await client.prompt(session_id, "hello")
        run = await client.result("_acprelay/run", {"sessionId": session_id})
        psutil.Process(run["pid"]).kill()
        marker = (await client.until("_acprelay/run_restarted"))["params"]
        assert (marker["run"], marker["restarts"]) == (2, 1)
        again = await client.result("_acprelay/run", {"sessionId": session_id})
        assert (again["state"], again["run"]) == ("active", 2)
        assert again["pid"] != run["pid"]
        assert (await client.prompt(session_id, "hello"))["result"] == {"stopReason": "end_turn"}


@pytest.mark.requirement(
    "supervision.silence-is-told",
    "supervision.stalled-input-is-told",
    "supervision.warnings-end-nothing",
)
async def test_an_agent_that_neither_reads_nor_speaks_is_told_of_and_lives(
    tag: str, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    agent = raw_agent("hesitant", "session/prompt", witness.step, tag=tag)
    limits = Limits(silence_s=0.05, stall_s=0.05, heartbeat_s=0.01)
    async with serve(RelayConfig(port=0, agents=(agent,), limits=limits)) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        await client.begin_prompt(session_id, "hello")
        told = await client.until("_acprelay/notice")
        assert health(told) == ("silent-in-turn", "began")
        note = {"sessionId": session_id, "filler": "x" * (1 << 18)}  # more than a pipe holds
        await client.send({"method": "_test/note", "params": note})
        told = await client.until("_acprelay/notice")
        assert health(told) == ("stdin-stalled", "began")
        run = await client.result("_acprelay/run", {"sessionId": session_id})
        assert run["health"] == ["silent-in-turn", "stdin-stalled"]
        assert psutil.pid_exists(run["pid"])
        await client.result("session/close", {"sessionId": session_id})
    assert "has said nothing for" in caplog.text
    assert "has read nothing of what waits for it" in caplog.text


# --- processes that are kept ready


@pytest.mark.requirement(
    "supervision.ready-processes-hide-the-start",
    "supervision.ready-processes-are-replaced",
    "supervision.ready-processes-are-nobodys",
)
async def test_what_is_kept_ready_serves_is_replaced_and_ends_with_the_relay(
    tag: str, witness: Witness
) -> None:
    steps = (witness.step, "child=own-session")
    agent = raw_agent("hesitant", "nothing", *steps, tag=tag)
    agent = AgentSpec(name=agent.name, argv=agent.argv, prewarm=2)
    async with serve(RelayConfig(port=0, agents=(agent,))) as (relay, dial):
        ready = [await witness.hears("initialize") for _ in range(2)]  # before anybody asks
        assert await count_sessions(relay.base_url) == 0
        client = await dial()
        await client.open_session()
        await ready[0].hears("session/new")
        replacement = await witness.hears("initialize")
        assert await count_sessions(relay.base_url) == 1
    for held in (*ready, replacement):
        await held.sees_the_end()
    assert tagged(tag) == []


@pytest.mark.requirement("supervision.orphans-are-ended")
async def test_what_a_killed_relay_kept_ready_is_ended_by_the_next_one(
    tmp_path: Path, tag: str, witness: Witness
) -> None:
    steps = (witness.step, "ignore-term", "child=own-session")
    agent = raw_agent("hesitant", "nothing", *steps, name="demo", tag=tag)
    program = tmp_path / "relay.py"
    program.write_text(WARM_RELAY.format(argv=agent.argv, state_dir=str(tmp_path / "relay.state")))
    relay = await asyncio.create_subprocess_exec(sys.executable, str(program))
    held = await witness.hears("initialize")
    relay.kill()
    await relay.wait()
    assert tagged(tag)
    with RelayProcess(log=tmp_path / "relay.log"):
        await held.sees_the_end()
        assert tagged(tag) == []


WARM_RELAY = """\
import asyncio
from pathlib import Path
from acprelay.agents.models import AgentSpec
from acprelay.compose import open_relay
from acprelay.config import RelayConfig

async def main():
    agent = AgentSpec(name="demo", argv={argv!r}, prewarm=1)
    config = RelayConfig(port=0, agents=(agent,), state_dir=Path({state_dir!r}))
    async with open_relay(config):
        await asyncio.Event().wait()

asyncio.run(main())
"""


# --- how many may live, and what they use


@pytest.mark.requirement("supervision.sessions-are-limited", "supervision.processes-are-limited")
@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (Limits(sessions=1), "sessions that run"),
        (Limits(processes=1), "agents' processes"),
    ],
)
async def test_one_session_too_many_is_refused_and_starts_nothing(
    limits: Limits, named: str
) -> None:
    async with serve(RelayConfig(port=0, limits=limits)) as (relay, dial):
        client, other = await dial(), await dial()
        session_id = await client.open_session()
        await other.initialize()
        before = len(psutil.Process().children(recursive=True))
        error = await other.error("session/new", {"cwd": "/", "mcpServers": []})
        assert (error["code"], error["data"]["limit"], error["data"]["most"]) == (-32044, named, 1)
        assert len(psutil.Process().children(recursive=True)) == before
        await client.result("session/close", {"sessionId": session_id})
        await until_no_session_is_left(relay.base_url)
        assert await other.new_session()


@pytest.mark.requirement("supervision.usage-is-the-trees", "supervision.runs-are-described")
async def test_what_an_agent_uses_is_told_over_its_whole_tree(tag: str, witness: Witness) -> None:
    children = ("child=group", "child=own-group", "child=own-session", "child=orphan")
    agent = raw_agent("parent", witness.step, *children, tag=tag)
    async with serve(RelayConfig(port=0, agents=(agent,))) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        run = await client.result("_acprelay/run", {"sessionId": session_id})
        assert run["usage"]["processes"] == 1 + len(children)
        leader = psutil.Process(run["pid"])
        assert leader.environ()[TAG] == tag
        assert run["usage"]["memoryBytes"] > leader.memory_info().rss
        assert run["usage"]["cpuS"] > 0
        assert (run["state"], run["health"], run["clients"]) == ("active", [], 1)
        await client.result("session/close", {"sessionId": session_id})
        run = await client.error("_acprelay/run", {"sessionId": "no:main"})
        assert run["data"]["code"] == "session_not_found"
