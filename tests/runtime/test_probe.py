"""Trying an agent out: what it says, and that nothing of it is left whatever it does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from acprelay.errors import AgentError, AgentExited, AgentRefused, AgentUnresponsive
from acprelay.runtime.probe import probe
from acprelay.testing.agents import FakeAgent, Message
from acprelay.testing.launcher import FakeLauncher
from acprelay.testing.session import FakeClock

PATIENCE_S = 30.0


def launcher_of(program: Callable[[FakeAgent], object]) -> FakeLauncher:
    """Starts agents that are programmed so."""

    def make(name: str) -> FakeAgent:
        agent = FakeAgent(name=name)
        program(agent)
        return agent

    return FakeLauncher("fake", make=make)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_an_agents_answer_is_given_with_the_time_it_took(clock: FakeClock) -> None:
    def answer_late(agent: FakeAgent, asked: Message) -> None:
        clock.advance(1.5)
        agent.stderr_tail = "ready\n"
        agent.answer(asked, {"protocolVersion": 1, "agentInfo": {"name": "x"}})

    launcher = launcher_of(lambda agent: agent.react("initialize", answer_late))
    probed = await probe(launcher=launcher, name="fake", deadline_s=PATIENCE_S, clock=clock)
    assert probed.start_s == 1.5
    assert json.loads(probed.initialize_result) == {
        "protocolVersion": 1,
        "agentInfo": {"name": "x"},
    }
    assert probed.stderr == "ready\n"
    assert launcher.living == []
    (agent,) = launcher.launched
    assert [message["method"] for message in agent.messages] == ["initialize"]


@pytest.mark.parametrize(
    ("program", "deadline_s", "error"),
    [
        (lambda agent: agent.die_on("initialize"), PATIENCE_S, AgentExited),
        (lambda agent: agent.ignore("initialize"), 0.0, AgentUnresponsive),
        (lambda agent: agent.refuse("initialize"), PATIENCE_S, AgentRefused),
        (
            lambda agent: agent.answer_with("initialize", {"protocolVersion": 7}),
            PATIENCE_S,
            AgentRefused,
        ),
    ],
)
async def test_an_agent_that_does_not_answer_is_ended_and_its_last_words_are_told(
    clock: FakeClock,
    program: Callable[[FakeAgent], None],
    deadline_s: float,
    error: type[AgentError],
) -> None:
    def prepare(agent: FakeAgent) -> None:
        program(agent)
        agent.stderr_tail = "no key\n"

    launcher = launcher_of(prepare)
    with pytest.raises(error) as caught:
        await probe(launcher=launcher, name="fake", deadline_s=deadline_s, clock=clock)
    assert caught.value.fields["stderr"] == "no key\n"
    assert launcher.living == []


async def test_cancelling_returns_once_the_agent_is_gone(clock: FakeClock) -> None:
    asked = asyncio.Event()
    launcher = launcher_of(lambda agent: agent.react("initialize", lambda *_: asked.set()))
    task = asyncio.get_running_loop().create_task(
        probe(launcher=launcher, name="fake", deadline_s=PATIENCE_S, clock=clock)
    )
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert launcher.living == []
