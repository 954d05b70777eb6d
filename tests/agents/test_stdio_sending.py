"""What an agent is sent, and what becomes of that when it does not read."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from acprelay.agents import AgentLimits
from acprelay.errors import AgentBackedUp, AgentError, AgentExited, LocalProtocolError

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink, Starter, Witness

pytestmark = pytest.mark.process

of_a_child = pytest.mark.parametrize("start", ["stdio"], indirect=True)
"""Marks what holds for the pipes of a child alone."""

MIB = 1024 * 1024


async def test_sending_to_an_agent_that_has_exited_says_how_it_ended(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start("complain=bye", "exit=3")
    agent.attach(sink)
    await sink.exit()
    with pytest.raises(AgentExited) as caught:
        agent.send(b"{}\n")
    assert caught.value.data["status"] == "exit status 3"
    assert caught.value.data["stderr"] == "bye"


@pytest.mark.usefixtures("patient_endings")
async def test_an_agent_that_closed_its_input_and_lives_on_is_ended(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    limits = AgentLimits(grace_s=0.1)
    agent = await start(witness.step, "close-stdin", "tell=deaf", "linger", limits=limits)
    agent.attach(sink)
    await witness.hears("deaf")
    for _ in range(2):
        agent.send(b"{}\n")
    how = (await sink.exit()).describe()
    assert how == "signal SIGTERM, after it had closed its standard input"


async def test_an_agent_that_exits_when_it_is_sent_something_says_why(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await start(witness.step, "close-stdin", "tell=deaf", "complain=bye", "exit=7")
    agent.attach(sink)
    await witness.hears("deaf")
    with contextlib.suppress(AgentExited):
        agent.send(b"{}\n")
    assert (await sink.exit()).returncode == 7
    assert agent.stderr_tail == "bye"


@of_a_child
async def test_sending_to_an_agent_that_is_being_ended_is_refused(start: Starter) -> None:
    agent = await start("linger")
    agent.close_stdin()
    with pytest.raises(AgentError, match="it is being ended"):
        agent.send(b"{}\n")


@pytest.mark.usefixtures("patient_endings")
async def test_what_waits_is_lost_when_the_agent_closes_its_input_and_it_is_ended(
    start: Starter, sink: FakeSink
) -> None:
    limits = AgentLimits(grace_s=0.1)
    agent = await start("say=ready", "await-signal", "close-stdin", "linger", limits=limits)
    agent.attach(sink)
    await sink.line_count(1)
    agent.send(b"x" * MIB + b"\n")
    os.kill(agent.pid, signal.SIGUSR1)
    assert (await sink.exit()).signal == signal.SIGTERM


async def test_half_a_line_is_refused(start: Starter) -> None:
    agent = await start("linger")
    with pytest.raises(LocalProtocolError):
        agent.send(b"{}\n{")


@pytest.mark.requirement("processes.stdin-is-bounded")
async def test_an_overflow_of_stdin_fails_that_call_alone_and_the_agent_gets_whole_lines(
    start: Starter, sink: FakeSink
) -> None:
    limits = AgentLimits(max_stdin_bytes=MIB)
    agent = await start("say=ready", "await-signal", "echo", limits=limits)
    agent.attach(sink)
    await sink.line_count(1)
    taken = [b"%03d" % number + b"x" * 100_000 for number in range(10)]
    for line in taken:
        agent.send(line + b"\n")
    with pytest.raises(AgentError, match="bytes wait") as caught:
        agent.send(b"x" * 200_000 + b"\n")
    assert caught.value.data["limit"] == MIB
    agent.send(b"small\n")
    os.kill(agent.pid, signal.SIGUSR1)
    await sink.line_count(len(taken) + 2)
    agent.send(b"later\n")
    await sink.line_count(len(taken) + 3)
    assert sink.lines == [b"ready", *taken, b"small", b"later"]


async def test_what_an_agent_is_owed_is_taken_however_much_waits(
    start: Starter, sink: FakeSink
) -> None:
    limits = AgentLimits(max_stdin_bytes=MIB)
    agent = await start("say=ready", "await-signal", "echo", limits=limits)
    agent.attach(sink)
    await sink.line_count(1)
    full = b"x" * (2 * MIB)
    agent.send(full + b"\n")
    with pytest.raises(AgentError, match="bytes wait"):
        agent.send(b"asked\n")
    agent.send(b"owed\n", is_owed=True)
    os.kill(agent.pid, signal.SIGUSR1)
    await sink.line_count(3)
    assert sink.lines == [b"ready", full, b"owed"]


async def test_a_single_message_over_the_limit_is_taken_while_nothing_waits(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start("echo", limits=AgentLimits(max_stdin_bytes=MIB))
    agent.attach(sink)
    line = b"x" * (5 * MIB)
    agent.send(line + b"\n")
    await sink.line_count(1)
    assert sink.lines == [line]


async def test_an_agent_that_never_reads_does_not_block_the_sender(
    start: Starter, witness: Witness
) -> None:
    agent = await start(witness.step, "tell=ready", "linger")
    await witness.hears("ready")
    agent.send(b"x" * (4 * MIB) + b"\n")
    assert (await agent.end()).describe() == "signal SIGTERM"
    await witness.sees_the_end()


@pytest.mark.requirement("processes.asking-without-reading-ends")
async def test_what_an_agent_is_owed_that_never_reads_is_bounded_too(start: Starter) -> None:
    agent = await start("linger", limits=AgentLimits(max_stdin_bytes=MIB))
    agent.send(b"x" * (2 * MIB) + b"\n")
    half = b"x" * (MIB // 2) + b"\n"
    agent.send(half, is_owed=True)
    agent.send(half, is_owed=True)
    with pytest.raises(AgentBackedUp):
        agent.send(b"owed\n", is_owed=True)
    assert agent.waiting_bytes < 4 * MIB


@pytest.mark.requirement("processes.asking-without-reading-ends")
async def test_a_large_answer_is_given_to_an_agent_that_has_something_to_read_still(
    start: Starter,
) -> None:
    agent = await start("linger", limits=AgentLimits(max_stdin_bytes=MIB))
    agent.send(b"x" * (MIB // 2) + b"\n")
    agent.send(b"x" * (2 * MIB) + b"\n", is_owed=True)
    assert agent.waiting_bytes > 2 * MIB
