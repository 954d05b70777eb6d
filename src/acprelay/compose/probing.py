"""Trying out one agent, without a relay."""

from __future__ import annotations

from acprelay.agents.models import AgentSpec
from acprelay.compose.parts import agent_launcher
from acprelay.config import RelayConfig
from acprelay.runtime.probe import ProbedAgent, probe
from acprelay.runtime.system import MonotonicClock, RandomIds


async def probe_agent(spec: AgentSpec, *, deadline_s: float) -> ProbedAgent:
    """Starts an agent as a relay does, initialises it and ends it; see `acprelay.runtime.probe`.

    Raises:
        AgentError: It cannot be started or initialised.
    """
    launcher = agent_launcher(RelayConfig(agents=(spec,)), RandomIds().mint())
    return await probe(
        launcher=launcher, name=spec.name, deadline_s=deadline_s, clock=MonotonicClock()
    )
