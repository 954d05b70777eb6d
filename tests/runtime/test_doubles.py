"""The doubles keep the contracts of what they stand for."""

from __future__ import annotations

import asyncio

import pytest

from acprelay.agents.models import AgentExit
from acprelay.agents.ports import AgentConnection, AgentLauncher
from acprelay.errors import AgentError, AgentExited, LocalProtocolError
from acprelay.runtime.ports import Outlet
from acprelay.testing.agents import FakeAgent
from acprelay.testing.launcher import FakeLauncher
from acprelay.testing.outlet import MemoryOutlet
from acprelay.wire import OversizedFrame, text_frame

NOTE = b'{"jsonrpc":"2.0","method":"_x/note","params":{}}'


class RecordingSink:
    def __init__(self) -> None:
        self.told: list[object] = []

    def lines_received(self, lines: list[bytes], oversized: list[OversizedFrame]) -> None:
        assert oversized == []
        self.told.append(lines)

    def agent_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the protocol's word
        self.told.append(exit)


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


def test_they_have_the_shape_of_what_they_stand_for() -> None:
    agent: AgentConnection = FakeAgent(name="coder", pid=7)
    launcher: AgentLauncher = FakeLauncher("coder")
    outlet: Outlet = MemoryOutlet()
    assert (agent.name, agent.pid, launcher.names) == ("coder", 7, ("coder",))
    assert not outlet.writing_paused


async def test_what_an_agent_says_while_nobody_is_attached_goes_to_the_next_sink(
    sink: RecordingSink,
) -> None:
    agent, other = FakeAgent(), RecordingSink()
    agent.say(b"1", b"2")
    agent.attach(sink)
    agent.attach(None)
    agent.say(b"3")
    agent.attach(other)
    assert (sink.told, other.told) == ([[b"1\n", b"2\n"]], [[b"3\n"]])


async def test_every_sink_is_told_of_the_exit_once_behind_the_last_line(
    sink: RecordingSink,
) -> None:
    agent, other = FakeAgent(), RecordingSink()
    agent.say(b"last")
    agent.die(3)
    agent.attach(sink)
    agent.attach(sink)
    agent.attach(other)
    assert sink.told == [[b"last\n"], AgentExit(returncode=3)]
    assert other.told == [AgentExit(returncode=3)]


async def test_a_paused_agent_tells_nothing_but_its_exit_is_seen(sink: RecordingSink) -> None:
    agent = FakeAgent()
    agent.attach(sink)
    agent.pause_reading()
    agent.say(b"1")
    agent.die()
    assert sink.told == []
    assert agent.exit == AgentExit(returncode=3)
    agent.resume_reading()
    assert sink.told == [[b"1\n"], AgentExit(returncode=3)]


async def test_an_agent_that_has_exited_takes_nothing() -> None:
    agent = FakeAgent()
    agent.die(5)
    with pytest.raises(AgentExited, match="exit status 5"):
        agent.send(NOTE + b"\n")
    agent.die(6)
    assert agent.exit == AgentExit(returncode=5)
    assert await agent.end() == AgentExit(returncode=5)


async def test_an_agent_that_dies_reacts_to_nothing_any_more(sink: RecordingSink) -> None:
    agent = FakeAgent()
    agent.attach(sink)
    agent.send(b'{"jsonrpc":"2.0","id":1,"method":"initialize"}\n')
    agent.die()
    await asyncio.sleep(0)
    assert sink.told == [agent.exit]


async def test_an_agent_refuses_what_it_was_not_told_to_answer(sink: RecordingSink) -> None:
    agent = FakeAgent()
    agent.attach(sink)
    agent.send(b'{"jsonrpc":"2.0","id":1,"method":"no/such"}\n' + NOTE + b"\n")
    await asyncio.sleep(0)
    error = b'{"code":-32601,"message":"Method not found"}'
    assert sink.told == [[b'{"jsonrpc":"2.0","id":1,"error":%b}\n' % error]]


async def test_what_waits_for_an_agent_is_bounded_but_for_the_first() -> None:
    agent = FakeAgent(max_stdin_bytes=100)
    agent.stop_reading()
    agent.send(NOTE * 10 + b"\n")
    with pytest.raises(AgentError):
        agent.send(NOTE + b"\n")
    agent.go_on_reading()
    agent.send(NOTE + b"\n")
    assert agent.sent == [NOTE * 10, NOTE]


async def test_an_end_is_one_however_many_ask_for_it(sink: RecordingSink) -> None:
    agent = FakeAgent()
    agent.attach(sink)
    ends = await asyncio.gather(*(agent.end() for _ in range(3)))
    assert ends == [AgentExit(signal=15)] * 3
    assert sink.told == [AgentExit(signal=15)]
    assert agent.end_calls == 3


async def test_an_end_goes_on_when_whoever_asked_for_it_is_cancelled() -> None:
    agent = FakeAgent()
    agent.hold_end()
    asking = asyncio.get_running_loop().create_task(agent.end())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    agent.release_end()
    assert agent.exit == AgentExit(signal=15)


async def test_an_end_that_failed_is_tried_again() -> None:
    agent = FakeAgent()
    agent.fail_to_end(AgentError("cannot end it"))
    with pytest.raises(AgentError):
        await agent.end()
    assert agent.exit is None
    assert await agent.end() == AgentExit(signal=15)


async def test_releasing_an_end_that_nobody_asked_for_does_nothing() -> None:
    agent = FakeAgent()
    agent.release_end()
    assert agent.exit is None


async def test_a_launcher_does_not_know_every_name() -> None:
    with pytest.raises(AgentError):
        await FakeLauncher("coder").launch("other")


async def test_an_outlet_that_is_lost_takes_nothing_and_says_so() -> None:
    outlet = MemoryOutlet()
    outlet.pause()
    outlet.lose()
    outlet.write(text_frame(b"{}"))
    assert outlet.payloads == []
    with pytest.raises(ConnectionError):
        await outlet.drain()


async def test_an_outlet_takes_whole_frames_only() -> None:
    with pytest.raises(LocalProtocolError):
        MemoryOutlet().write(text_frame(b"{}")[:-1])


async def test_an_outlet_pauses_above_its_high_water_mark_until_it_is_read() -> None:
    outlet = MemoryOutlet(high_water=5)
    outlet.write(text_frame(b"{}"))
    paused = [outlet.writing_paused]
    outlet.write(text_frame(b"{}"))
    paused.append(outlet.writing_paused)
    outlet.read()
    await outlet.drain()
    assert paused == [False, True]
    assert outlet.messages == [{}, {}]
