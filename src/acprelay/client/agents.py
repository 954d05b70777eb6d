"""Agents: which are offered, and whether they can be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from acprelay.client.calls import Calls, Value, pages, path


class Agent(Value, frozen=True, kw_only=True):
    """An agent that is offered.

    Attributes:
        name: Its name.
        default: Whether it is taken where none is named.
        ready: How many of its processes wait for a session.
        initialize: Its latest answer to ACP's `initialize`, where one was started before.
    """

    name: str
    default: bool
    ready: int
    initialize: Any = None


class Probed(Value, frozen=True, kw_only=True):
    """What came of trying an agent out.

    Attributes:
        name: Its name.
        start_s: How long it took to its answer, in seconds.
        initialize: Its answer to ACP's `initialize`.
    """

    name: str
    start_s: float
    initialize: Any


class _Agents(Value, frozen=True, kw_only=True):
    agents: tuple[Agent, ...]
    next_cursor: str | None = None


class AgentCalls(Calls):
    """What can be asked about agents. All raise as `RelayClient` says."""

    def list_agents(self) -> AsyncIterator[Agent]:
        """Yields the agents that are offered, in the order of their names."""
        return pages(self._api, "/agents", _Agents, lambda page: page.agents, {})

    async def get_agent(self, name: str) -> Agent:
        """Gives an agent.

        Raises:
            NotFound: None is offered by that name.
        """
        return await self._api.get(path("agents", name), Agent)

    async def probe_agent(self, name: str) -> Probed:
        """Tries an agent out: starts it, initializes it, and ends it again.

        Raises:
            NotFound: None is offered by that name.
            AgentError: It cannot be started, or does not answer.
        """
        return await self._api.post(path("agents", name, "probe"), {}, Probed)
