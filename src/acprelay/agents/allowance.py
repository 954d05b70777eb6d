"""How much may wait for an agent that does not read.

There is a bound for what it is sent, and one for what it is owed on top of that. What an agent is
owed, it has asked for itself: one that asks on and on and reads no answer must not make the relay
remember all of them. A single answer may be larger than that, as a file is that it reads: so it is
what waits already that is bounded. Pure: this module knows no pipe and no link.
"""

from __future__ import annotations

from acprelay.errors import AgentBackedUp


class Allowance:
    """What one agent is allowed.

    Args:
        agent: The agent's name in the catalog.
        limit: How many bytes may wait; and how many that are owed have to wait before no more of
            these are added.
    """

    def __init__(self, *, agent: str, limit: int) -> None:
        self._agent = agent
        self._limit = limit
        self._owed = 0  # no less than what is owed and waits

    def check(self, size: int, *, waiting: int, is_owed: bool) -> None:
        """Lets something be sent, or refuses it; while nothing waits, anything may be.

        Args:
            size: How many bytes it has.
            waiting: How many wait already.
            is_owed: Whether the agent has asked for it, or is told to stop by it.

        Raises:
            AgentBackedUp: Too much waits; what is owed is refused only where its agent does not
                read what it is owed.
        """
        self._owed = min(self._owed, waiting)
        is_full = waiting and waiting + size > self._limit
        if is_full and (not is_owed or self._owed >= self._limit):
            raise AgentBackedUp(agent=self._agent, waiting=waiting, limit=self._limit)
        if is_owed:
            self._owed += size
