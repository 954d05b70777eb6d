"""What holds for agents that have dialled in beyond what holds for all: the link and its loss.

What holds for all stands in the suites beside this one, which run over both kinds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest
from tests.agents.cable import CabledAgent, dial_in, turns_until

from acprelay.agents import AgentExit, AgentLimits
from acprelay.agents.dialled import LOST, DialledAgent
from acprelay.agents.joiner import Joiner
from acprelay.errors import (
    AgentBackedUp,
    AgentError,
    AgentExited,
    LinkGone,
    RelayUnreachable,
    RemoteProtocolError,
    SpawnFailed,
)
from acprelay.wire.bare_link import BareEnd
from acprelay.wire.link import WINDOW, LinkEnd, ParcelKind
from acprelay.wire.link_greeting import Exit, write

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink, Starter, Witness

pytestmark = [
    pytest.mark.process,
    pytest.mark.parametrize("start", ["dialled"], indirect=True),
]

PATIENCE_S = 30.0

MOST_READ = 256 * 1024 + 1
"""How much comes at once out of the pipe of an agent that fills it."""


async def cabled(start: Starter, *steps: str, limits: AgentLimits | None = None) -> CabledAgent:
    agent = await start(*steps, limits=limits)
    assert isinstance(agent, CabledAgent)
    return agent


async def until_lost(agent: CabledAgent) -> None:
    """Returns once the joiner tries in vain to connect."""
    attempts = len(agent.cable.claims)
    await turns_until(lambda: len(agent.cable.claims) > attempts)


async def test_it_has_no_process_of_this_machine(start: Starter) -> None:
    agent = DialledAgent(name="far", end=LinkEnd(), limits=AgentLimits(), grace_s=1.0)
    assert agent.pid is None
    agent.give_up()
    del start


@pytest.mark.requirement("joining.links-resume-exactly")
@pytest.mark.parametrize("cuts", [1, 7])
async def test_a_link_that_is_cut_in_the_middle_of_a_stream_loses_and_repeats_nothing(
    start: Starter, sink: FakeSink, cuts: int
) -> None:
    agent = await cabled(start, "lines=100000", "exit=3")
    agent.attach(sink)
    for number in range(1, cuts + 1):
        await sink.line_count(number * 10_000)
        agent.cable.cut()
        await until_lost(agent)
        agent.cable.mend()
    assert await sink.exit() == AgentExit(returncode=3)
    assert sink.lines == [b'{"line":%d}' % number for number in range(100_000)]
    assert (await agent.cable.unplug()).exit == AgentExit(returncode=3)
    assert agent.cable.observer.told == ["joined"] + ["lost", "resumed"] * cuts


async def test_what_is_sent_while_the_link_is_cut_arrives_once_it_is_mended(
    start: Starter, sink: FakeSink
) -> None:
    agent = await cabled(start, "echo")
    agent.attach(sink)
    agent.send(b"1\n")
    await sink.line_count(1)
    agent.cable.cut()
    for line in (b"2\n", b"3\n"):
        agent.send(line)
    await until_lost(agent)
    agent.cable.mend()
    await sink.line_count(3)
    assert sink.lines == [b"1", b"2", b"3"]


@pytest.mark.requirement("joining.what-waits-is-bounded")
async def test_what_waits_for_a_link_that_is_cut_is_bounded(start: Starter) -> None:
    agent = await cabled(start, "echo", limits=AgentLimits(max_stdin_bytes=1000))
    agent.cable.cut()
    agent.send(b"x" * 998 + b"\n")
    with pytest.raises(AgentBackedUp):
        agent.send(b"x" * 10 + b"\n")
    agent.send(b"owed\n", is_owed=True)


@pytest.mark.requirement("joining.what-waits-is-bounded")
async def test_an_agent_waits_while_nobody_takes_what_it_says(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await cabled(start, witness.step, "say=first", "lines=200000", "tell=through", "linger")
    agent.attach(sink)
    sink.on_lines = agent.pause_reading
    await sink.line_count(1)
    joiners_end = agent.cable.joiner._link
    await turns_until(lambda: joiners_end.is_full and start.left_in_pipe(agent) > 60_000)
    assert joiners_end.unacknowledged < WINDOW + 2 * MOST_READ
    assert agent._link.untaken < WINDOW + 2 * MOST_READ
    sink.on_lines = lambda: None
    agent.resume_reading()
    await witness.hears("through")
    await sink.line_count(200_001)
    assert sink.lines[1:] == [b'{"line":%d}' % number for number in range(200_000)]


async def test_an_agent_waits_while_its_link_is_cut(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await cabled(
        start, witness.step, "say=0", "await-signal", "lines=200000", "tell=through", "linger"
    )
    agent.attach(sink)
    await sink.line_count(1)
    agent.cable.cut()
    await until_lost(agent)
    os.kill(agent.pid, signal.SIGUSR1)
    await turns_until(lambda: start.left_in_pipe(agent) > 60_000)
    agent.cable.mend()
    await witness.hears("through")
    await sink.line_count(200_001)
    assert sink.lines[1:] == [b'{"line":%d}' % number for number in range(200_000)]


@pytest.mark.requirement("joining.lost-after-grace")
async def test_a_link_that_stays_cut_is_the_loss_of_the_agent_after_the_grace_period(
    start: Starter, sink: FakeSink
) -> None:
    agent = await dial_in(start.misbehaving("complain=last words", "say=1", "linger"), grace_s=0.1)
    agent.attach(sink)
    await sink.line_count(1)
    await turns_until(lambda: agent.stderr_tail != "")
    agent.cable.cut()
    assert await sink.exit() == LOST
    assert LOST.describe() == "the loss of its link"
    with pytest.raises(AgentExited, match="it ended with the loss of its link") as caught:
        agent.send(b"{}\n")
    assert caught.value.data["stderr"] == "last words"
    agent.cable.mend()
    outcome = await agent.cable.unplug()
    assert isinstance(outcome.loss, LinkGone)
    assert outcome.exit == AgentExit(signal=signal.SIGTERM)
    assert start.marked_processes(agent.run) == []


@pytest.mark.requirement("joining.given-up-links-end-agents")
async def test_ending_an_agent_whose_link_is_cut_gives_it_up_and_it_is_ended_when_it_comes_back(
    start: Starter, sink: FakeSink
) -> None:
    agent = await cabled(start, "child=own-session", "say=1", "linger")
    agent.attach(sink)
    await sink.line_count(1)
    agent.cable.cut()
    await until_lost(agent)
    assert await agent.end() == LOST
    assert start.marked_processes(agent.run) != []
    agent.cable.mend()
    assert isinstance((await agent.cable.unplug()).loss, LinkGone)
    assert start.marked_processes(agent.run) == []


@pytest.mark.requirement("joining.given-up-links-end-agents")
async def test_a_joiner_that_cannot_come_back_in_time_ends_its_agent(
    start: Starter, sink: FakeSink
) -> None:
    agent = await cabled(start, "say=1", "linger")
    agent.attach(sink)
    await sink.line_count(1)
    agent.cable.joiner._grace_s = 0.3
    agent.cable.cut()
    outcome = await agent.cable.unplug()
    assert isinstance(outcome.loss, RelayUnreachable)
    assert outcome.exit == AgentExit(signal=signal.SIGTERM)
    assert start.marked_processes(agent.run) == []
    agent.give_up()


async def test_a_link_that_is_cut_while_the_agent_is_being_ended_is_given_up(
    start: Starter, witness: Witness
) -> None:
    agent = await cabled(
        start,
        witness.step,
        "ignore-term",
        "tell=ready",
        "until-eof",
        "linger",
        limits=AgentLimits(grace_s=1.0),
    )
    await witness.hears("ready")
    ending = asyncio.get_running_loop().create_task(agent.end())
    await asyncio.sleep(0)
    agent.cable.cut()
    assert await ending == LOST
    agent.cable.mend()
    await agent.cable.unplug()
    assert witness.has_seen_the_end


async def test_nothing_is_sent_to_an_agent_that_is_being_ended(start: Starter) -> None:
    agent = await cabled(start, "linger")
    ending = asyncio.get_running_loop().create_task(agent.end())
    await asyncio.sleep(0)
    with pytest.raises(AgentError, match="it is being ended"):
        agent.send(b"{}\n")
    await ending


async def test_a_joiner_that_is_stopped_ends_the_agent_and_the_relay_learns_how(
    start: Starter, sink: FakeSink
) -> None:
    agent = await cabled(start, "say=1", "linger")
    agent.attach(sink)
    await sink.line_count(1)
    agent.cable.joiner.stop()
    assert await sink.exit() == AgentExit(signal=signal.SIGTERM)
    outcome = await agent.cable.unplug()
    assert (outcome.was_dismissed, outcome.loss) == (False, None)


async def test_a_joiner_that_is_stopped_while_the_link_is_cut_does_not_wait_for_the_relay_for_long(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acprelay.agents.joiner.LAST_WORD_S", 0.2)
    agent = await cabled(start, "linger")
    agent.cable.cut()
    await until_lost(agent)
    agent.cable.joiner.stop()
    outcome = await agent.cable.unplug()
    assert isinstance(outcome.loss, RelayUnreachable)
    assert outcome.exit == AgentExit(signal=signal.SIGTERM)
    agent.give_up()


async def test_an_agent_that_ended_while_the_link_was_cut_is_told_of_afterwards(
    start: Starter, sink: FakeSink
) -> None:
    agent = await cabled(start, "say=ready", "await-signal", "say=bye", "exit=4")
    agent.attach(sink)
    await sink.line_count(1)
    agent.cable.cut()
    os.kill(agent.pid, signal.SIGUSR1)
    await until_lost(agent)
    await turns_until(lambda: not start.marked_processes(agent.run))
    agent.cable.mend()
    assert await sink.exit() == AgentExit(returncode=4)
    assert sink.lines == [b"ready", b"bye"]


async def test_a_farewell_is_told(start: Starter) -> None:
    agent = await cabled(start, "linger")
    agent.farewell = "you speak no ACP"
    await agent.end()
    outcome = await agent.cable.unplug()
    assert (outcome.was_dismissed, outcome.farewell) == (True, "you speak no ACP")


async def test_a_program_that_cannot_be_started_is_told_to_the_relay(start: Starter) -> None:
    agent = DialledAgent(name="test", end=LinkEnd(), limits=AgentLimits(), grace_s=PATIENCE_S)
    started = await cabled(start, "linger")
    cable = started.cable
    await started.end()
    await cable.unplug()
    cable.agent = agent
    launcher = start.launcher("/no/such/program")
    joiner = Joiner(
        dial=cable.dial,
        start=lambda: launcher.start("test"),
        observer=cable.observer,
        wait_s=PATIENCE_S,
    )
    with pytest.raises(SpawnFailed, match="no file"):
        await joiner.run()
    assert agent.exit == AgentExit(returncode=127)
    assert "there is no file '/no/such/program'" in agent.stderr_tail
    assert agent.is_gone


async def test_a_complaint_reaches_people_here_and_the_relay(
    start: Starter, sink: FakeSink
) -> None:
    agent = await cabled(start, "complain=one", "complain=two", "exit=0")
    agent.attach(sink)
    await sink.exit()
    assert agent.stderr_tail == "one\ntwo"
    assert agent.cable.observer.complaints == b"one\ntwo\n"


class Far:
    """An agent whose link's other end is a test."""

    def __init__(self, *, limits: AgentLimits | None = None) -> None:
        self.agent = DialledAgent(
            name="far", end=LinkEnd(), limits=limits or AgentLimits(), grace_s=PATIENCE_S
        )
        self.connection = self.agent.connect(0)
        self._end = LinkEnd()

    def sends(self, kind: ParcelKind, body: bytes = b"") -> None:
        self._end.send(kind, body)
        for message in self._end.take_messages(0.0):
            self.connection.receive(message)


@pytest.mark.requirement("joining.rubbish-is-refused")
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ParcelKind.END, b""),
        (ParcelKind.GONE, b""),
        (ParcelKind.EXIT, b"{}"),
        (ParcelKind.EXIT, b"\xff"),
    ],
)
async def test_what_a_joiner_has_no_business_to_send_costs_it_the_link(
    start: Starter, sink: FakeSink, kind: ParcelKind, body: bytes
) -> None:
    del start
    far = Far()
    far.agent.attach(sink)
    with pytest.raises(RemoteProtocolError):
        far.sends(kind, body)
    assert await sink.exit() == LOST
    assert await far.connection.outgoing() == []
    far.connection.receive(b"rubbish that comes too late")
    far.connection.lost()


@pytest.mark.requirement("joining.rubbish-is-refused")
async def test_a_joiner_that_heeds_no_window_costs_it_the_link(start: Starter) -> None:
    del start
    far = Far()
    with pytest.raises(RemoteProtocolError, match="window"):
        far.sends(ParcelKind.STREAM, b"\n".join([b"x" * 999] * 6000))
    assert far.agent.exit == LOST


async def test_a_failure_that_nobody_has_asked_about_changes_nothing(start: Starter) -> None:
    del start
    far = Far()
    far.sends(ParcelKind.FAILURE, b"cannot")
    assert far.agent.exit is None
    far.agent.give_up()


async def test_a_joiner_that_never_confirms_the_end_is_given_up(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    del start
    monkeypatch.setattr("acprelay.agents.dialled._WORD_S", 0.05)
    far = Far(limits=AgentLimits(grace_s=0.01, kill_s=0.01))
    assert await far.agent.end() == LOST
    assert await far.agent.end() == LOST


async def test_the_end_of_an_agent_that_has_exited_waits_until_nothing_of_it_is_left(
    start: Starter,
) -> None:
    del start
    far = Far()
    far.sends(ParcelKind.EXIT, write(Exit(returncode=3)))
    ending = asyncio.get_running_loop().create_task(far.agent.end())
    await asyncio.wait({ending}, timeout=0.01)
    assert not ending.done()
    far.sends(ParcelKind.GONE)
    assert await ending == AgentExit(returncode=3)


async def test_an_end_that_failed_after_the_exit_is_asked_for_again(start: Starter) -> None:
    del start
    far = Far()
    far.sends(ParcelKind.EXIT, write(Exit(returncode=3)))
    far.sends(ParcelKind.FAILURE, b"cannot")
    ending = asyncio.get_running_loop().create_task(far.agent.end())
    asked = [message[0] for message in await far.connection.outgoing()]
    while ParcelKind.END not in asked:  # what was received is acknowledged before
        asked += [message[0] for message in await far.connection.outgoing()]
    far.sends(ParcelKind.GONE)
    assert await ending == AgentExit(returncode=3)


async def test_a_connection_that_takes_the_link_over_ends_the_one_before(start: Starter) -> None:
    del start
    far = Far()
    waiting = asyncio.get_running_loop().create_task(far.connection.outgoing())
    await asyncio.sleep(0)
    second = far.agent.connect(0)
    assert await waiting == []
    far.connection.lost()  # of no importance any more
    far.agent.send(b"{}\n")
    assert await second.outgoing() == [b"\x01{}\n"]
    far.agent.give_up()


# -- agents that know nothing of links


def bare(*, limits: AgentLimits | None = None) -> DialledAgent:
    return DialledAgent(
        name="bare", end=BareEnd(), limits=limits or AgentLimits(), grace_s=PATIENCE_S
    )


@pytest.mark.requirement("joining.bare-agents-may-dial-in")
async def test_a_bare_agent_gets_and_gives_a_message_at_a_time(
    start: Starter, sink: FakeSink
) -> None:
    del start
    agent = bare()
    connection = agent.connect(0)
    agent.attach(sink)
    agent.send(b'{"id":1}\n{"id":2}\n')
    assert await connection.outgoing() == [b'{"id":1}', b'{"id":2}']
    connection.receive(b'{"id":\n1}')
    connection.receive(b'{"id":2}\n')
    assert [line.strip() for line in sink.lines] == [b'{"id": 1}', b'{"id":2}']
    agent.give_up()


@pytest.mark.requirement("joining.bare-agents-may-dial-in")
async def test_a_bare_agent_whose_connection_is_lost_is_lost(
    start: Starter, sink: FakeSink
) -> None:
    del start
    agent = bare()
    connection = agent.connect(0)
    agent.attach(sink)
    connection.lost()
    assert await sink.exit() == LOST


async def test_the_end_of_a_bare_agent_is_the_end_of_its_connection(start: Starter) -> None:
    del start
    agent = bare()
    connection = agent.connect(0)
    assert await agent.end() == LOST
    assert await connection.outgoing() == []


async def test_a_bare_agent_is_not_read_while_nobody_takes_what_it_says(
    start: Starter, sink: FakeSink
) -> None:
    del start
    agent = bare()
    connection = agent.connect(0)
    await connection.room()
    connection.receive(b"x" * WINDOW)
    waiting = asyncio.get_running_loop().create_task(connection.room())
    await asyncio.wait({waiting}, timeout=0.01)
    assert not waiting.done()
    agent.attach(sink)
    await waiting
    agent.give_up()


async def test_a_burst_of_small_messages_to_a_bare_agent_goes_in_portions(start: Starter) -> None:
    del start
    agent = bare()
    connection = agent.connect(0)
    line = b"x" * 999 + b"\n"
    agent.send(line * 200)
    first = await connection.outgoing()
    assert len(first) == 66
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while len(first) < 200:
                first += await connection.outgoing()
    assert first == [line[:-1]] * 200
    agent.give_up()
