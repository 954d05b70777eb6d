"""Runs that are being created: until they are, nobody else knows of them.

A relay that stops, and a group that ends, wait for these before they look for what is to be ended.
This module does not know how a run is created.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from acprelay.errors import RelayDraining, Unavailable
from acprelay.runtime.background import Background


class Creations:
    """The creations of a relay that are under way.

    Args:
        background: Owns the tasks.
    """

    def __init__(self, *, background: Background) -> None:
        self._background = background
        self._groups: dict[asyncio.Task[None], str | None] = {}
        self._is_draining = False
        self._is_closed = False

    def start(
        self, work: Coroutine[object, object, None], *, name: str, group: str | None = None
    ) -> None:
        """Begins one.

        Args:
            work: Creates a run; calls `check_open` first.
            name: Says so in logs.
            group: The group that the run will belong to, where that is known yet.
        """
        task = self._background.start(work, name=name)
        self._groups[task] = group
        task.add_done_callback(self._groups.pop)

    def check_open(self) -> None:
        """Refuses a creation once the relay is stopping.

        Raises:
            Unavailable: It is; RelayDraining where it is about to.
        """
        if self._is_closed:
            raise Unavailable(
                "cannot begin a run: the relay is stopping", hint="connect again once it is back"
            )

        if self._is_draining:
            raise RelayDraining

    def drain(self) -> None:
        """Lets none begin any more that has not begun yet. Idempotent."""
        self._is_draining = True

    async def settled(self, group: str) -> None:
        """Returns once all of a group that were begun before are done. Cancelling is safe."""
        creations = [task for task, wanted in self._groups.items() if wanted == group]
        if creations:
            await asyncio.wait(creations)

    async def aclose(self) -> None:
        """Lets none begin any more, and returns once all are done. Idempotent."""
        self._is_closed = True
        while self._groups:
            await asyncio.wait(self._groups)
