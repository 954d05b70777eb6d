"""Keeps processes of agents ready before anybody asks: one task for each agent fills what is taken.

It knows no session and no client, and not how a process is started.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from acprelay.errors import RelayError
from acprelay.routing.restarting import Row, backoff_s
from acprelay.runtime.background import Background
from acprelay.runtime.handshake import Handshake
from acprelay.runtime.ready_processes import ReadyProcesses

logger = logging.getLogger(__name__)

_MOST_STARTING = 2
_NO_ROOM = "the last places for agents' processes are left to sessions"


class Prewarming:
    """Keeps so many processes of each agent ready, for as long as its context lasts.

    An agent's processes are started one after another, and those of all agents a few at once, and
    none while whoever has just taken one is likely to talk to it: a start holds everybody up. After
    a start that failed, or a process that ended while it waited, the next start waits, longer with
    each loss in a row; a session that takes a process ends the row.
    That there is no room is a loss, too, but is news only once.

    Args:
        wanted: How many processes of each agent are to be ready, by name.
        ready: Where they wait.
        start: Starts and initialises one for its caller.
        has_room: Whether a process may be started for which nobody has asked.
        background: Owns the tasks.
        sleep: Waits, in seconds.
        lull: Returns once what was taken may be replaced.
        now: The event loop's time.
        most_starting: How many may be starting at once.
    """

    def __init__(
        self,
        *,
        wanted: Mapping[str, int],
        ready: ReadyProcesses,
        start: Callable[[str], Awaitable[Handshake]],
        has_room: Callable[[], bool],
        background: Background,
        sleep: Callable[[float], Awaitable[None]],
        lull: Callable[[], Awaitable[None]],
        now: Callable[[], float],
        most_starting: int = _MOST_STARTING,
    ) -> None:
        self._wanted = {name: count for name, count in wanted.items() if count}
        self._ready = ready
        self._start = start
        self._has_room = has_room
        self._background = background
        self._sleep = sleep
        self._lull = lull
        self._now = now
        self._starting = asyncio.Semaphore(most_starting)
        self._rows = {name: Row() for name in self._wanted}
        self._crowded_out: set[str] = set()
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begins, and waits for no process."""
        self._ready.on_taken = self._taken
        for name in self._wanted:
            keeper = self._keep(name)
            self._keepers.append(self._background.start(keeper, name=f"prewarming of {name}"))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Starts nothing any more, and returns once every process that waits has ended."""
        for keeper in self._keepers:
            keeper.cancel()
        if self._keepers:
            await asyncio.wait(self._keepers)
        await asyncio.gather(*(each.abandon() for each in self._ready.take_all()))

    async def _keep(self, name: str) -> None:
        row = self._rows[name]
        while True:
            if self._ready.count(name) >= self._wanted[name]:
                await self._ready.until_fewer(name, self._wanted[name])
                await self._lull()
            if row.losses:
                await self._sleep(backoff_s(row.losses - 1))
            async with self._starting:
                await self._add(name)

    async def _add(self, name: str) -> None:
        if not self._has_room():
            self._lose(name, _NO_ROOM, lived_s=0.0, is_known=name in self._crowded_out)
            self._crowded_out.add(name)
            return
        try:
            handshake = await self._start(name)
        except RelayError as error:
            self._lose(name, error.message, lived_s=0.0)
            return
        except Exception:
            # Nobody else would ever fill what this task fills.
            logger.exception("cannot keep agent %s ready", name)
            self._lose(name, "the relay failed", lived_s=0.0)
            return
        self._ready.put(name, handshake)
        handshake.on_exit = partial(self._ended, name, handshake, since=self._now())
        if handshake.agent.exit is not None:  # before anybody listened
            handshake.on_exit()

    def _ended(self, name: str, handshake: Handshake, *, since: float) -> None:
        self._ready.remove(name, handshake)
        self._background.start(handshake.abandon(), name=f"end of a process of {name}")
        how = handshake.agent.exit
        reason = "a process ended while it waited" + (f", with {how.describe()}" if how else "")
        self._lose(name, reason, lived_s=self._now() - since)

    def _taken(self, name: str) -> None:
        self._rows[name].reset()

    def _lose(self, name: str, reason: str, *, lived_s: float, is_known: bool = False) -> None:
        row = self._rows[name]
        after_s = row.lost(lived_s=lived_s)
        # The first one of a row is news; then it is known, and tried again for as long as it takes.
        level = logging.WARNING if row.losses == 1 and not is_known else logging.INFO
        logger.log(
            level, "cannot keep agent %s ready: %s; trying again in %g s", name, reason, after_s
        )
