"""Runs that nobody uses, relays that end, and what they tell of their agents."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess, Witness, raw_agent, until_no_session_is_left
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.config import Limits, RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

QUICK = Limits(idle_s=0.05, heartbeat_s=0.01)


# Ends neither with its input nor at SIGTERM. Asked to, it says so over a socket.
STUBBORN = """\
import signal, socket, time
from acprelay.testing.demo_agent import program
signal.signal(signal.SIGTERM, signal.SIG_IGN)
program.main()
witness = socket.socket(socket.AF_UNIX)
witness.connect({path!r})
witness.sendall(b"asked to end\\n")
time.sleep(3600)
"""


async def leave(dial: Dialler, text: str | None) -> str:
    """Opens a session and vanishes, perhaps in the middle of a turn that a prompt begins."""
    client = await dial()
    session_id = await client.open_session()
    if text is not None:
        await client.begin_prompt(session_id, text)
        await client.until("session/update")
    client.peer.abort()
    return session_id


@pytest.mark.requirement("lifecycle.idle-runs-are-reaped")
async def test_a_run_that_nobody_uses_is_ended_and_its_conversation_stays() -> None:
    async with serve(RelayConfig(port=0, limits=QUICK)) as (relay, dial):
        session_id = await leave(dial, None)
        await until_no_session_is_left(relay.base_url)
        client = await dial()
        await client.initialize()
        (listed,) = (await client.result("session/list", {}))["sessions"]
        assert listed["sessionId"] == session_id
        await client.result("session/load", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
        assert (await client.prompt(session_id, "hello"))["result"] == {"stopReason": "end_turn"}


@pytest.mark.requirement("lifecycle.busy-runs-are-not-reaped")
@pytest.mark.parametrize("work", ["/think\n/slow 3600", "/tool"])
async def test_a_run_that_is_busy_or_in_use_outlives_those_that_are_idle(work: str) -> None:
    async with serve(RelayConfig(port=0, limits=QUICK)) as (relay, dial):
        user = await dial()
        in_use = await user.open_session()
        busy = await leave(dial, work)
        for _ in range(3):  # each becomes idle after the others, and is ended before them
            await leave(dial, None)
            await until_no_session_is_left(relay.base_url, but=2)
        live = {
            each["sessionId"]
            for each in (await user.result("session/list", {}))["sessions"]
            if each["_meta"]["acprelay"]["live"]
        }
        assert live == {in_use, busy}
        assert (await user.prompt(in_use, "hello"))["result"] == {"stopReason": "end_turn"}


@pytest.mark.requirement(
    "lifecycle.shutdown-takes-no-sessions", "lifecycle.shutdown-ends-every-agent"
)
async def test_a_relay_that_is_ending_its_agents_opens_no_further_session(
    tmp_path: Path, log: Path, witness: Witness
) -> None:
    source = STUBBORN.format(path=str(tmp_path / "witness"))
    agent = AgentSpec(name="stubborn", argv=(sys.executable, "-c", source))
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        await client.open_session()
        stopping = asyncio.get_running_loop().create_task(relay.stop())
        held = await witness.hears("asked to end")
        error = await client.error("session/new", {"cwd": "/", "mcpServers": []})
        assert error["data"]["code"] == "unavailable"
        assert "the relay is stopping" in error["message"]
        assert await stopping == 0
        await held.sees_the_end()


@pytest.mark.requirement("processes.noise-is-told")
async def test_noise_of_an_agent_is_counted_and_shown_in_the_relays_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(RelayConfig(port=0, agents=(raw_agent("parrot"),))) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        noise = b"Loading the model ...\nStill loading ...\n"
        await client.prompt(session_id, noise.hex())
        await client.result("session/close", {"sessionId": session_id})
    (said,) = (each.getMessage() for each in caplog.records if session_id in each.getMessage())
    assert "lines that are no messages: 2" in said
    assert "Still loading ..." in said
