"""What agents a relay offers, and how each is provided for. Nothing is started unless it is tried.

It knows no session and no client.
"""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.agents.ports import AgentLauncher
from acprelay.errors import NotFound
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.probe import ProbedAgent, probe
from acprelay.session.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent that is offered.

    Attributes:
        name: Its name in the catalog.
        is_default: Whether it is taken where none is named.
        ready: How many of its processes wait for a session.
        described: Its answer to `initialize`, raw, where one was started before; None otherwise.
    """

    name: str
    is_default: bool
    ready: int
    described: bytes | None


class AgentSurvey:
    """Looks at the agents of a relay.

    Args:
        pool: Has them.
        launcher: Starts one that is tried.
        deadline_s: How long its answer may take.
        clock: Never goes back.
    """

    def __init__(
        self, *, pool: AgentPool, launcher: AgentLauncher, deadline_s: float, clock: Clock
    ) -> None:
        self._pool = pool
        self._launcher = launcher
        self._deadline_s = deadline_s
        self._clock = clock

    def agents(self) -> list[AgentView]:
        """Gives those that can be started, the default one first."""
        return [
            AgentView(
                name=name,
                is_default=not index,
                ready=self._pool.ready.count(name),
                described=self._pool.known(name),
            )
            for index, name in enumerate(self._pool.names)
        ]

    def agent(self, name: str) -> AgentView:
        """Gives one.

        Raises:
            NotFound: There is none of that name.
        """
        for view in self.agents():
            if view.name == name:
                return view
        raise NotFound(what="agent", name=name, hint="see the list of agents")

    async def probe(self, name: str) -> ProbedAgent:
        """Starts an agent, initialises it and ends it. Cancelling leaves nothing behind.

        Raises:
            NotFound: There is none of that name.
            AgentError: It cannot be started or initialised.
            LimitReached: As many processes live as may.
        """
        self.agent(name)
        return await probe(
            launcher=self._launcher, name=name, deadline_s=self._deadline_s, clock=self._clock
        )
