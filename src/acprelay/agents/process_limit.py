"""How many agents' processes may live at once.

It counts what lives, and nothing is given back by hand: so no start that fails, and no end that
nobody awaits, can cost a place for ever. What an agent starts itself is not counted. This module
knows no session.
"""

from __future__ import annotations

from collections.abc import Sequence

from acprelay.agents.ports import AgentConnection, AgentLauncher
from acprelay.errors import LimitReached

_FEW = 16


class LimitedLauncher:
    """An `AgentLauncher` that has another one start at most so many.

    Args:
        launcher: Starts them.
        most: How many may live at once, those that are being started included.
    """

    def __init__(self, *, launcher: AgentLauncher, most: int) -> None:
        self._launcher = launcher
        self._most = most
        self._starting = 0
        self._living: list[AgentConnection] = []  # and a few that have ended
        self._look_at = _FEW

    @property
    def names(self) -> Sequence[str]:
        """The agents that can be started, the default one first."""
        return self._launcher.names

    @property
    def has_room_to_spare(self) -> bool:
        """Whether one more would leave a tenth of the places free, and one at least."""
        return self._has_room(max(1, self._most // 10))

    async def launch(self, name: str) -> AgentConnection:
        """Starts an agent; see `AgentLauncher.launch`.

        Raises:
            LimitReached: As many as may live do; nothing was started.
            AgentError: No agent has that name.
            SpawnFailed: Its program cannot be started.
        """
        if not self._has_room(0):
            raise LimitReached(limit="agents' processes", most=self._most, setting="processes")
        self._starting += 1
        try:
            agent = await self._launcher.launch(name)
            self._living.append(agent)
        finally:
            self._starting -= 1
        return agent

    def _has_room(self, spare: int) -> bool:
        """Whether there are more free places than that; looks at all agents only now and then."""
        if len(self._living) >= self._look_at or self._room <= spare:
            self._living = [agent for agent in self._living if agent.exit is None]
            self._look_at = max(_FEW, 2 * len(self._living))
        return self._room > spare

    @property
    def _room(self) -> int:
        return self._most - self._starting - len(self._living)
