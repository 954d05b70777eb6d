"""What is left of an agent's processes after its end: nothing."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.agents.conftest import PATIENCE_S

from acprelay.agents import AgentExit, AgentLimits
from acprelay.errors import AgentError

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink, Starter, Witness

pytestmark = pytest.mark.process

IMPATIENT = AgentLimits(grace_s=0.1)
PATIENT = AgentLimits(grace_s=PATIENCE_S)
"""For agents that do something before they end, however slow the machine is."""

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

KILLED = AgentExit(signal=9)
TERMINATED = AgentExit(signal=15)

_SLOW_FAREWELL = """
import os, signal
def leave(*_):
    with open(1, "wb") as out:  # whole, also if it is stopped and continued meanwhile
        out.write(b"x" * 1_000_000 + b"\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


@pytest.mark.requirement("processes.ending-closes-stdin-and-terminates")
async def test_an_agent_that_only_heeds_sigterm_is_ended(start: Starter) -> None:
    agent = await start("linger")
    assert await agent.end() == TERMINATED
    assert agent.exit == TERMINATED


@pytest.mark.requirement("processes.ending-closes-stdin-and-terminates")
async def test_an_agent_that_only_heeds_the_end_of_its_stdin_is_ended(
    start: Starter, witness: Witness
) -> None:
    agent = await start(witness.step, "ignore-term", "tell=ready", "until-eof", "exit=6")
    await witness.hears("ready")
    assert await agent.end() == AgentExit(returncode=6)


@pytest.mark.requirement("processes.ending-kills-what-stays")
async def test_an_agent_that_heeds_neither_is_killed(start: Starter, witness: Witness) -> None:
    agent = await start(
        witness.step, "ignore-term", "tell=ready", "until-eof", "linger", limits=IMPATIENT
    )
    await witness.hears("ready")
    assert await agent.end() == KILLED
    assert witness.has_seen_the_end


async def test_a_stopped_agent_is_killed(start: Starter, sink: FakeSink) -> None:
    agent = await start("say=ready", "die=SIGSTOP", "linger", limits=IMPATIENT)
    agent.attach(sink)
    await sink.line_count(1)
    await asyncio.to_thread(os.waitid, os.P_PID, agent.pid, os.WSTOPPED | os.WNOWAIT)
    assert await agent.end() == KILLED


async def test_what_an_agent_says_on_its_way_out_still_arrives(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start.program(sys.executable, "-c", _SLOW_FAREWELL)
    agent.attach(sink)
    await sink.line_count(1)
    assert await agent.end() == AgentExit(returncode=0)
    assert sink.lines == [b"ready", b"x" * 1_000_000]
    assert sink.exits == [AgentExit(returncode=0)]


@pytest.mark.requirement("processes.ending-kills-what-stays")
async def test_an_agent_that_nobody_listens_to_is_ended_though_its_pipe_is_full(
    start: Starter, witness: Witness
) -> None:
    agent = await start(
        witness.step, "ignore-term", "fill=full", "flood", limits=AgentLimits(grace_s=0.1)
    )
    await witness.hears("full")
    assert await agent.end() == KILLED
    assert witness.has_seen_the_end


@pytest.mark.requirement("processes.ending-kills-what-stays")
@pytest.mark.parametrize("kind", ["group", "own-group", "own-session"])
@pytest.mark.parametrize("child", ["child", "bare-child"])
@pytest.mark.parametrize("manners", ["heeds", "ignore-term"])
async def test_grandchildren_are_gone_when_the_ending_returns(
    start: Starter, witness: Witness, kind: str, child: str, manners: str
) -> None:
    steps = ["ignore-term"] if manners == "ignore-term" else []
    agent = await start(
        witness.step, *steps, f"{child}={kind}", "tell=ready", "linger", limits=IMPATIENT
    )
    await witness.hears("ready")
    await agent.end()
    assert witness.has_seen_the_end


async def test_an_agent_that_cleared_its_environment_is_ended_with_its_children(
    start: Starter, witness: Witness
) -> None:
    program = (sys.executable, "-m", "acprelay.testing.misbehaving_agent")
    steps = (witness.step, "child=own-session", "tell=ready", "linger")
    agent = await start.program("env", "-i", *program, *steps)
    await witness.hears("ready")
    await agent.end()
    assert witness.has_seen_the_end


@pytest.mark.parametrize("manners", ["heeds", "ignore-term"])
async def test_a_grandchild_in_its_own_session_without_parent_is_gone_too(
    start: Starter, witness: Witness, manners: str
) -> None:
    steps = ["ignore-term"] if manners == "ignore-term" else []
    agent = await start(
        witness.step, *steps, "child=orphan", "tell=ready", "linger", limits=IMPATIENT
    )
    await witness.hears("ready")
    await agent.end()
    assert witness.has_seen_the_end


async def test_the_child_of_an_agent_that_ignores_sigterm_is_gone(
    start: Starter, witness: Witness
) -> None:
    agent = await start(
        witness.step, "child=group", "ignore-term", "tell=ready", "linger", limits=IMPATIENT
    )
    await witness.hears("ready")
    assert await agent.end() == KILLED
    assert witness.has_seen_the_end


@pytest.mark.parametrize("kind", ["group", "own-session", "orphan"])
async def test_a_process_born_during_the_ending_is_gone(
    start: Starter, witness: Witness, kind: str
) -> None:
    agent = await start(witness.step, f"respawn={kind}", "tell=ready", "linger", limits=PATIENT)
    await witness.hears("ready")
    assert await agent.end() == AgentExit(returncode=0)
    assert witness.has_seen_the_end


@pytest.mark.parametrize("kind", ["group", "own-group", "own-session", "orphan"])
async def test_what_an_agent_that_died_by_itself_leaves_behind_is_ended_without_being_asked(
    start: Starter, witness: Witness, kind: str
) -> None:
    await start(witness.step, f"child={kind}", "die=SIGKILL")
    await witness.sees_the_end()


async def test_ending_an_agent_that_has_exited_tells_how(start: Starter, sink: FakeSink) -> None:
    agent = await start("exit=3")
    agent.attach(sink)
    await sink.exit()
    assert [await agent.end(), await agent.end()] == [AgentExit(returncode=3)] * 2


@pytest.mark.requirement("lifecycle.terminate-is-idempotent")
async def test_any_number_of_callers_end_an_agent_once(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await start(
        witness.step, "child=own-session", "farewell=bye", "tell=ready", "linger", limits=PATIENT
    )
    agent.attach(sink)
    await witness.hears("ready")
    exits = await asyncio.gather(*(agent.end() for _ in range(50)))
    assert exits == [AgentExit(returncode=0)] * 50
    assert sink.lines == [b"bye"]
    assert sink.exits == [AgentExit(returncode=0)]
    assert witness.has_seen_the_end


@pytest.mark.parametrize("turns", range(0, 60, 4))
async def test_a_cancelled_caller_does_not_stop_the_ending(
    start: Starter, witness: Witness, turns: int
) -> None:
    agent = await start(
        witness.step, "child=own-session", "ignore-term", "tell=ready", "linger", limits=IMPATIENT
    )
    await witness.hears("ready")
    caller = asyncio.get_running_loop().create_task(agent.end())
    for _ in range(turns + 1):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await witness.sees_the_end()


async def test_an_ending_that_failed_is_tried_again_by_the_next_call(
    start: Starter, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await start(witness.step, "child=own-session", "tell=ready", "linger", limits=IMPATIENT)
    await witness.hears("ready")

    def fail() -> list[int]:
        raise OSError("no process table")

    with monkeypatch.context() as patched:
        patched.setattr(psutil, "pids", fail)
        with pytest.raises((OSError, AgentError), match="no process table"):
            await agent.end()
    assert await agent.end() == KILLED
    assert witness.has_seen_the_end


@pytest.mark.requirement("processes.ending-kills-what-stays")
async def test_the_agents_process_is_reaped(start: Starter) -> None:
    agent = await start("linger")
    await agent.end()
    assert not psutil.pid_exists(agent.pid)


@pytest.fixture
def relay_inherits_orphans() -> Iterator[None]:
    """Makes this process what process 1 is: the parent of orphans."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


@pytest.mark.usefixtures("relay_inherits_orphans")
async def test_a_relay_that_inherits_orphans_leaves_no_zombies(
    start: Starter, witness: Witness
) -> None:
    agent = await start(witness.step, "child=orphan", "child=group", "tell=ready", "linger")
    await witness.hears("ready")
    await agent.end()
    assert psutil.Process().children() == []


async def test_many_agents_ended_at_once_leave_nothing(start: Starter) -> None:
    agents = [await start("child=own-session", "linger", limits=IMPATIENT) for _ in range(8)]
    await asyncio.gather(*(agent.end() for agent in agents))
    assert [start.marked_processes(agent.run) for agent in agents] == [[]] * 8
