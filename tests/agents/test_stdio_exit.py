"""How the exit of an agent is noticed and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from acprelay.agents import AgentExit, AgentLimits

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink, Starter, Witness

pytestmark = pytest.mark.process


async def test_every_sink_is_told_of_the_exit_once(
    start: Starter, sink: FakeSink, heir: FakeSink
) -> None:
    agent = await start("exit=3")
    agent.attach(sink)
    await sink.exit()
    agent.attach(sink)
    agent.attach(heir)
    agent.pause_reading()
    agent.resume_reading()
    await agent.end()
    assert sink.exits == heir.exits == [AgentExit(returncode=3)]


async def test_a_sink_that_fails_still_learns_of_the_exit(start: Starter, sink: FakeSink) -> None:
    sink.failure = RuntimeError("a defect of the sink")
    agent = await start("say=1", "bytes=7b7d")
    agent.pause_reading()
    agent.attach(sink)
    await agent.wait_exited()
    with pytest.raises(RuntimeError, match="a defect"):
        agent.resume_reading()
    assert sink.lines == [b"1", b"{}"]
    assert sink.exits == [AgentExit(returncode=0)]


async def test_an_exit_while_paused_is_known_at_once_and_told_after_the_last_line(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start("lines=100", "exit=7")
    agent.pause_reading()
    agent.attach(sink)
    await agent.wait_exited()
    assert agent.exit == AgentExit(returncode=7)
    assert await agent.end() == AgentExit(returncode=7)
    assert (sink.lines, sink.exits) == ([], [])
    agent.resume_reading()
    assert len(sink.lines) == 100
    assert sink.exits == [AgentExit(returncode=7)]


async def test_an_agent_that_exits_at_once_tells_status_and_stderr(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start("complain=no key", "bytes=7b7d0a", "exit=3")
    agent.attach(sink)
    assert (await sink.exit()).describe() == "exit status 3"
    assert agent.stderr_tail == "no key"
    assert sink.lines == [b"{}"]


async def test_an_agent_killed_by_a_signal_tells_which(start: Starter, sink: FakeSink) -> None:
    agent = await start("die=SIGSEGV", "linger")
    agent.attach(sink)
    assert (await sink.exit()).describe() == "signal SIGSEGV"


@pytest.mark.requirement("processes.stderr-is-a-tail")
async def test_stderr_is_kept_as_a_bounded_tail(start: Starter, sink: FakeSink) -> None:
    complaints = [f"complain={number:04d}{'x' * 96}" for number in range(2000)]
    agent = await start(*complaints, limits=AgentLimits(max_stderr_bytes=1010))
    agent.attach(sink)
    await sink.exit()
    assert agent.stderr_tail.splitlines() == [
        f"{number:04d}{'x' * 96}" for number in range(1990, 2000)
    ]


@pytest.mark.requirement("processes.grandchildren-delay-nothing")
@pytest.mark.parametrize("kind", ["group", "own-group", "own-session", "orphan"])
async def test_an_exit_is_noticed_although_a_grandchild_holds_the_pipes(
    start: Starter, sink: FakeSink, witness: Witness, kind: str
) -> None:
    steps = (witness.step, "ignore-term", f"child={kind}", "say=last", "exit=4")
    agent = await start(*steps, limits=AgentLimits(grace_s=0.1))
    holders: list[int] = []
    sink.on_exit = lambda: holders.extend(start.marked_processes(agent.run))
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [b"last"]
    assert sink.exits == [AgentExit(returncode=4)]
    assert len(holders) == 1
    await witness.sees_the_end()


@pytest.mark.requirement("processes.grandchildren-delay-nothing")
async def test_a_grandchild_that_floods_cannot_delay_the_notice(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start.program(
        "sh", "-c", 'trap "" TERM; yes & exit 5', limits=AgentLimits(grace_s=0.1)
    )
    agent.attach(sink)
    assert await sink.exit() == AgentExit(returncode=5)
    assert set(sink.lines) <= {b"y"}


@pytest.mark.usefixtures("patient_endings")
async def test_an_agent_that_closes_its_stdout_and_lives_on_is_ended(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start("bytes=7b7d", "close-stdout", "linger", limits=AgentLimits(grace_s=0.05))
    agent.attach(sink)
    how = (await sink.exit()).describe()
    assert how == "signal SIGTERM, after it had closed its standard output"
    assert sink.lines == [b"{}"]
