"""Drains a relay: carries out what `acprelay.routing.draining` decides.

It waits for turns, and ends nothing: whoever has asked for the drain ends the relay once it is
over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Protocol

from acprelay.routing.draining import Drain, DrainProgress, notice
from acprelay.routing.events import TurnEnded
from acprelay.runtime.observation import Observer, Scene

_LOOK_S = 1.0


class Drained(Protocol):
    """What begins nothing new once it is drained."""

    def drain(self) -> None:
        """Begins nothing new from now on. Idempotent."""
        ...

    def turns(self) -> list[str]:
        """The public ids of the sessions whose turns run."""
        ...


class TurnEnds(Observer):
    """Wakes whoever waits for turns to end."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    def turn_ended(self, scene: Scene, turn: TurnEnded, *, lasted_s: float) -> None:  # noqa: ARG002
        """A turn has ended."""
        self._ended.set()

    async def next(self, *, most_s: float) -> None:
        """Returns once a turn has ended since the last call, or the time is up.

        Cancelling is safe.

        Args:
            most_s: How long to wait at most, in seconds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._ended.wait()
        self._ended.clear()


class Draining:
    """The drain of a relay, which may be asked for at any time, by anybody and more than once.

    Args:
        host: Has the turns.
        tell: Gives every client a message.
        turn_ends: Tells when to look again.
        grace_s: How long turns that run may go on.
    """

    def __init__(
        self,
        *,
        host: Drained,
        tell: Callable[[bytes], None],
        turn_ends: TurnEnds,
        grace_s: float,
    ) -> None:
        self._host = host
        self._tell = tell
        self._turn_ends = turn_ends
        self._drain = Drain(grace_s=grace_s)
        self._begun = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether nothing new is begun any more."""
        return self._drain.has_begun

    @property
    def progress(self) -> DrainProgress:
        """How far it is."""
        return self._drain.progress(self._host.turns(), now=_now())

    def begin(self) -> None:
        """Has the relay begin nothing new, and tells its clients. Idempotent."""
        if self._drain.begin(_now()):
            self._host.drain()
            self._tell(notice())
            self._begun.set()

    async def begun(self) -> None:
        """Returns once it has begun. Cancelling is safe."""
        await self._begun.wait()

    async def progressing(self) -> AsyncIterator[DrainProgress]:
        """Tells how far it is, about once a second, until it is over; what it tells last is over.

        Cancelling is safe: the drain stays begun.
        """
        self.begin()
        while True:
            progress = self.progress
            yield progress
            if progress.is_over:
                return
            await self._turn_ends.next(most_s=min(_LOOK_S, progress.left_s))


def _now() -> float:
    return asyncio.get_running_loop().time()
