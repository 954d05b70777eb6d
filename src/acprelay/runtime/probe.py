"""Tries an agent out: starts it, initialises it, and ends it again.

It opens no session, so that nothing is asked of a model. It knows no command line, and not how an
agent is started.
"""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.agents.ports import AgentLauncher
from acprelay.errors import AgentError
from acprelay.runtime.handshake import Handshake
from acprelay.session.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedAgent:
    """What came of it.

    Attributes:
        start_s: How long it took from before its process was started to its answer.
        initialize_result: Its answer to `initialize`: the raw JSON result, which has been checked.
        stderr: The last lines that it wrote to its standard error.
    """

    start_s: float
    initialize_result: bytes
    stderr: str


async def probe(
    *, launcher: AgentLauncher, name: str, deadline_s: float, clock: Clock
) -> ProbedAgent:
    """Tries an agent out.

    Cancelling is safe: whatever happens, nothing of the agent is left once it returns. The field
    `stderr` of an error holds the last words of an agent that was started.

    Args:
        launcher: Starts it.
        name: Which one.
        deadline_s: How long its answer may take, once it is started.
        clock: Never goes back.

    Raises:
        SpawnFailed: Its program cannot be started.
        AgentExited: It ended instead of answering.
        AgentUnresponsive: It did not answer in time.
        AgentRefused: It answered with an error, or speaks another version.
    """
    started_at = clock.now()
    agent = await launcher.launch(name)
    handshake = Handshake(agent=agent, deadline_s=deadline_s)
    try:
        answered_at = await _greet(handshake, clock)
    except AgentError as error:
        error.fields["stderr"] = agent.stderr_tail  # whole, now that it has ended
        raise
    return ProbedAgent(
        start_s=answered_at - started_at,
        initialize_result=handshake.initialize_result,
        stderr=agent.stderr_tail,
    )


async def _greet(handshake: Handshake, clock: Clock) -> float:
    """Initialises an agent, and ends it; gives when it answered."""
    try:
        handshake.agent.attach(handshake)
        await handshake.initialize()
        return clock.now()
    finally:
        await handshake.abandon()
