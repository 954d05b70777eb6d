"""What is measured while a relay works, and what there is to see of it at one moment.

Counts are plain numbers that whoever does the work adds to, once a batch; reading them is for
whoever is asked for them. This module knows no metric's name and no format.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from acprelay.agents.ports import AgentConnection, AgentLauncher
from acprelay.errors import SpawnFailed
from acprelay.session.models import SessionState


@dataclass(slots=True)
class Flow:
    """What has passed in one direction.

    Attributes:
        messages: How many messages.
        size: How many bytes.
    """

    messages: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has passed since the relay began, in each direction."""

    from_agents: Flow = field(default_factory=Flow)
    to_agents: Flow = field(default_factory=Flow)
    from_clients: Flow = field(default_factory=Flow)
    to_clients: Flow = field(default_factory=Flow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What connections add to.

    Attributes:
        traffic: What has passed.
        delivered: Is told how long what an agent said took to a client's socket, in seconds; for
            a sample only, never for each message.
    """

    traffic: Traffic
    delivered: Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What there is at one moment.

    Attributes:
        runs: How many runs are in each state.
        conversations: How many conversations there are, dormant ones included.
        turns: How many turns run.
        queued_prompts: How many prompts wait behind them.
        open_asks: How many requests of agents wait for clients.
        connections: How many clients are connected.
        attachments: In how many sessions they are, together.
        lane_bytes: How much waits for single clients.
        log_bytes: How much of the logs is not written yet.
        stdin_bytes: How much waits for agents to read it.
    """

    runs: Mapping[SessionState, int]
    conversations: int
    turns: int
    queued_prompts: int
    open_asks: int
    connections: int
    attachments: int
    lane_bytes: int
    log_bytes: int
    stdin_bytes: int


class Census(Protocol):
    """Tells what there is."""

    async def __call__(self) -> Levels:
        """Looks.

        Raises:
            StoreError: The sessions are out of reach.
        """
        ...


class WatchedLauncher:
    """An `AgentLauncher` that tells of what another one starts, and cannot start.

    Args:
        launcher: Starts agents.
        on_start: Is told an agent's name once its process is there.
        on_failure: Is told the name of one whose program cannot be started.
    """

    def __init__(
        self,
        *,
        launcher: AgentLauncher,
        on_start: Callable[[str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._launcher = launcher
        self._on_start = on_start
        self._on_failure = on_failure

    @property
    def names(self) -> Sequence[str]:
        """The agents that can be started, the default one first."""
        return self._launcher.names

    async def launch(self, name: str) -> AgentConnection:
        """Starts an agent; see `AgentLauncher.launch`.

        Raises:
            AgentError: No agent has that name.
            SpawnFailed: Its program cannot be started.
        """
        try:
            agent = await self._launcher.launch(name)
        except SpawnFailed:
            self._on_failure(name)
            raise
        self._on_start(name)
        return agent


async def watch_loop(observe: Callable[[float], None], *, every_s: float) -> None:
    """Tells how late the event loop comes back to a task that slept, until it is cancelled.

    Args:
        observe: Is told that, in seconds.
        every_s: How long it sleeps.
    """
    loop = asyncio.get_running_loop()
    while True:
        due_at = loop.time() + every_s
        await asyncio.sleep(every_s)
        observe(max(loop.time() - due_at, 0.0))
