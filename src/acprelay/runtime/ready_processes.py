"""Initialised agent processes that wait for a session which nobody has asked for yet.

It knows neither how they are started nor how many there are to be.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from acprelay.runtime.handshake import Handshake


class ReadyProcesses:
    """Keeps processes for whoever takes them, for each agent those first that wait longest.

    Attributes:
        on_taken: Called with an agent's name when somebody has taken a process of it for use.
    """

    def __init__(self) -> None:
        self.on_taken: Callable[[str], None] = lambda _name: None
        self._waiting: defaultdict[str, list[Handshake]] = defaultdict(list)
        self._fewer: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def count(self, name: str) -> int:
        """How many processes of an agent wait."""
        return len(self._waiting[name])

    def put(self, name: str, handshake: Handshake) -> None:
        """Takes in a process that lives; whoever has it then learns of its end by `on_exit`."""
        self._waiting[name].append(handshake)

    def take(self, name: str) -> Handshake | None:
        """Gives a process of an agent to its caller, who ends it; None where none waits."""
        taken = self._remove_living(name)
        if taken is not None:
            self.on_taken(name)
        return taken

    def take_any(self) -> Handshake | None:
        """Gives one that is to give way, of the agent that has most, to its caller, who ends it."""
        by_count = sorted(self._waiting, key=self.count, reverse=True)
        return next(filter(None, map(self._remove_living, by_count)), None)

    def take_all(self) -> list[Handshake]:
        """Gives all that there are."""
        everything = [(name, each) for name, kept in self._waiting.items() for each in kept]
        for name, handshake in everything:
            self.remove(name, handshake)
        return [handshake for _, handshake in everything]

    def remove(self, name: str, handshake: Handshake) -> None:
        """Lets go of a process that waits."""
        self._waiting[name].remove(handshake)
        handshake.on_exit = None
        self._fewer[name].set()

    def _remove_living(self, name: str) -> Handshake | None:
        living = (each for each in self._waiting[name] if each.agent.exit is None)
        first = next(living, None)
        if first is not None:
            self.remove(name, first)
        return first

    async def until_fewer(self, name: str, most: int) -> None:
        """Returns once fewer processes of an agent wait; one caller for each agent at a time.

        Cancelling is safe.
        """
        while self.count(name) >= most:
            self._fewer[name].clear()
            await self._fewer[name].wait()
