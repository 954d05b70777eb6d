"""The connections that are open, by the principal that each is for, so that they can be ended.

Whoever lets clients in enters them here; whoever takes a token back severs them. It knows neither
tokens nor sockets: how a connection is closed is given by whoever has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from acprelay.errors import Unauthorized
from acprelay.routing.access import Principal

Close = Callable[[], None]
"""Begins to end a connection, and does not wait. Called once at most, and never after its end."""


class LiveConnections:
    """The connections of one relay.

    Args:
        forsake: Gives up what connections of a principal, by its id, have left behind.
    """

    def __init__(self, *, forsake: Callable[[str], None]) -> None:
        self._forsake = forsake
        self._open: dict[str, dict[object, Close]] = {}
        self._severed: set[str] = set()
        self._left = asyncio.Event()

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(map(len, self._open.values()))

    def of(self, principal_id: str) -> int:
        """Tells how many a principal has open."""
        return len(self._open.get(principal_id, ()))

    @contextmanager
    def enter(self, principal: Principal, close: Close) -> Iterator[None]:
        """Takes note of a connection for as long as the context lasts.

        The context is to be left once nothing that the connection's client says is heard any more.

        Args:
            principal: Who it is for.
            close: Begins to end it, so that the context is left soon, whatever its client does.

        Raises:
            Unauthorized: The principal was severed, since the request was let in.
        """
        if principal.id in self._severed:
            raise Unauthorized(
                "cannot let you in: your token was taken back", hint="ask for another token"
            )
        connection = object()
        mine = self._open.setdefault(principal.id, {})
        mine[connection] = close
        try:
            yield
        finally:
            del mine[connection]
            if not mine:
                self._open.pop(principal.id, None)
            left, self._left = self._left, asyncio.Event()
            left.set()

    async def sever(self, principal_id: str) -> int:
        """Ends every connection of a principal for good: none is let in from now on.

        Returns once they have left, and nothing that they have left behind can be taken up again.
        Cancelling it lets the ends go on, unwaited for. Idempotent, from any number of callers.

        Returns:
            How many there were.
        """
        self._severed.add(principal_id)
        mine = self._open.get(principal_id, {})
        count = len(mine)
        for close in [*mine.values()]:
            close()
        try:
            while self.of(principal_id):
                await self._left.wait()
        finally:
            self._forsake(principal_id)
        return count
