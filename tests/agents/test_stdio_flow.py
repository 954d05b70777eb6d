"""Who receives what an agent says, and when it must wait."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acprelay.agents import AgentExit

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink, Starter, Witness

pytestmark = pytest.mark.process

of_a_child = pytest.mark.parametrize("start", ["stdio"], indirect=True)
"""Marks what holds for the pipes of a child alone."""


async def _loop_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_an_agent_says_before_anybody_listens_is_kept_for_the_first_who_does(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start("say=early", "exit=0")
    await agent.wait_exited()
    agent.attach(sink)
    assert sink.lines == [b"early"]
    assert sink.exits == [AgentExit(returncode=0)]


async def test_a_sink_takes_over_where_the_one_before_left(
    start: Starter, sink: FakeSink, heir: FakeSink
) -> None:
    agent = await start("say=1", "echo")
    agent.attach(sink)
    await sink.line_count(1)
    agent.attach(None)
    agent.send(b"2\n")
    agent.attach(heir)
    await heir.line_count(1)
    assert (sink.lines, heir.lines) == ([b"1"], [b"2"])


@of_a_child
async def test_pausing_makes_the_agent_wait_and_resuming_gives_everything(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await start(
        witness.step, "say=first", "await-signal", "fill=full", "say=last", "tell=through", "linger"
    )
    agent.attach(sink)
    await sink.line_count(1)
    agent.pause_reading()
    os.kill(agent.pid, signal.SIGUSR1)
    await witness.hears("full")
    await _loop_turns(20)
    left = start.left_in_pipe(agent)
    assert left > 60_000
    assert sink.lines == [b"first"]
    agent.resume_reading()
    await witness.hears("through")
    await sink.until(lambda: sink.lines[-1] == b"last")
    filling = sink.lines[1:-1]
    assert filling == [b'{"line":%d}' % number for number in range(len(filling))]
    assert sum(len(line) + 1 for line in filling) >= left - len(b"last\n")


@of_a_child
async def test_a_pause_within_a_batch_stops_the_next_one(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await start(witness.step, "say=first", "await-signal", "fill=full", "linger")
    sink.on_lines = agent.pause_reading
    agent.attach(sink)
    await sink.line_count(1)
    os.kill(agent.pid, signal.SIGUSR1)
    await witness.hears("full")
    await _loop_turns(20)
    assert sink.lines == [b"first"]
    assert start.left_in_pipe(agent) > 60_000


@of_a_child
async def test_lines_stay_in_the_pipe_while_nobody_is_attached(
    start: Starter, witness: Witness
) -> None:
    agent = await start(witness.step, "fill=full", "linger")
    await witness.hears("full")
    await _loop_turns(20)
    assert start.left_in_pipe(agent) > 60_000


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    actions=st.lists(
        st.sampled_from(["send", "pause", "resume", "first", "second", "nobody", "turn"])
    )
)
async def test_whoever_listens_and_pauses_every_line_arrives_once_in_order_and_never_meanwhile(
    start: Starter, sink: FakeSink, heir: FakeSink, actions: list[str]
) -> None:
    agent = start.agents[0] if start.agents else await start("echo")
    sinks = {"first": sink, "second": heir, "nobody": None}
    arrived: list[bytes] = []
    agent.attach(None)  # the example before has left a sink
    listening: FakeSink | None = None
    paused = False
    sent = 0

    def arrive(at: FakeSink) -> None:
        assert at is listening
        assert not paused
        arrived.extend(at.batches[-1])

    sink.on_lines, heir.on_lines = partial(arrive, sink), partial(arrive, heir)
    for action in [*actions, "first", "resume"]:
        if action == "send":
            agent.send(b"%d\n" % sent)
            sent += 1
        elif action == "turn":
            await _loop_turns(3)
        elif action in sinks:
            listening = sinks[action]
            agent.attach(listening)
        else:
            paused = action == "pause"
            (agent.pause_reading if paused else agent.resume_reading)()
    await sink.until(lambda: len(arrived) == sent)
    assert arrived == [b"%d\n" % number for number in range(sent)]
