"""What an agent says arrives, whatever it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from acprelay.agents import AgentConnection, AgentLimits

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink, Starter, Witness

pytestmark = pytest.mark.process

of_a_child = pytest.mark.parametrize("start", ["stdio"], indirect=True)
"""Marks what holds for the pipes of a child alone."""

MIB = 1024 * 1024


@pytest.mark.requirement("processes.agents-lead-a-group")
async def test_an_agent_is_a_connection_that_leads_its_own_group_and_session(
    start: Starter,
) -> None:
    agent: AgentConnection = await start("linger")
    assert agent.name == "test"
    assert agent.exit is None
    assert agent.pid is not None
    assert agent.waiting_since is None
    assert os.getpgid(agent.pid) == os.getsid(agent.pid) == agent.pid


async def test_lines_arrive_in_order_and_whole(start: Starter, sink: FakeSink) -> None:
    agent = await start("lines=20000")
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [b'{"line":%d}' % number for number in range(20_000)]


@of_a_child
async def test_all_that_one_read_brings_is_one_batch(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await start(witness.step, "fill=full", "linger")
    await witness.hears("full")
    left = start.left_in_pipe(agent)
    agent.attach(sink)
    await sink.line_count(1)
    assert sum(map(len, sink.batches[0])) == left


async def test_what_is_sent_arrives_in_order_and_comes_back(start: Starter, sink: FakeSink) -> None:
    agent = await start("echo")
    agent.attach(sink)
    agent.send(b'{"id":1}\n')
    agent.send(b'{"id":2}\n{"id":3}\n')
    await sink.line_count(3)
    assert sink.lines == [b'{"id":1}', b'{"id":2}', b'{"id":3}']


async def test_prose_is_lines_like_any_other(start: Starter, sink: FakeSink) -> None:
    agent = await start("prose", 'say={"id":1}')
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [
        b"Starting up...",
        b"WARNING: this is \x1b[33mnot\x1b[0m JSON",
        b'> {"id":1}',
    ]


async def test_garbage_does_not_break_the_stream(start: Starter, sink: FakeSink) -> None:
    agent = await start("bytes=00ff80c30a0a0d0afe", 'say={"id":1}', 'say={"id":2}')
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [b"\x00\xff\x80\xc3", b'\xfe{"id":1}', b'{"id":2}']


@pytest.mark.requirement("processes.long-lines-pass")
async def test_a_line_of_10_mib_passes(start: Starter, sink: FakeSink) -> None:
    agent = await start(f"huge-line={10 * MIB}")
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [b'"' + b"x" * (10 * MIB - 2) + b'"']


@pytest.mark.requirement("processes.oversized-frames-end-alone")
async def test_a_line_over_the_limit_is_reported_and_the_stream_goes_on(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start("say=1", f"huge-line={MIB}", "say=2", limits=AgentLimits(max_frame=1000))
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [b"1", b"2"]
    assert [frame.size for frame in sink.oversized] == [MIB]


async def test_a_last_line_without_a_newline_is_not_lost(start: Starter, sink: FakeSink) -> None:
    agent = await start("say=1", "bytes=7b7d")
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [b"1", b"{}"]


async def test_a_last_line_without_a_newline_over_the_limit_is_reported(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start(f"bytes={'aa' * 3000}", limits=AgentLimits(max_frame=1000))
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == []
    assert [frame.size for frame in sink.oversized] == [3000]


async def test_standard_streams_can_be_opened_by_name_as_shell_scripts_do(
    start: Starter, sink: FakeSink
) -> None:
    script = "echo oops > /dev/stderr; echo hello > /dev/stdout; cat /dev/stdin"
    agent = await start.program("sh", "-c", script)
    agent.attach(sink)
    agent.send(b"in\n")
    await sink.line_count(2)
    assert sink.lines == [b"hello", b"in"]
    await agent.end()
    assert agent.stderr_tail == "oops"
