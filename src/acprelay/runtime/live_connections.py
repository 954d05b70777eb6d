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


class _Connection:
    def __init__(self, login: str | None, close: Close) -> None:
        self.login = login
        self._close: Close | None = close

    def end(self) -> None:
        """Begins to end it. Idempotent."""
        close, self._close = self._close, None
        if close is not None:
            close()


class LiveConnections:
    """The connections of one relay.

    Args:
        forsake: Gives up what connections of a principal, by its id, have left behind.
    """

    def __init__(self, *, forsake: Callable[[str], None]) -> None:
        self._forsake = forsake
        self._open: dict[str, dict[object, _Connection]] = {}
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
            Unauthorized: The principal, or the login that it comes by, was severed, since the
                request was let in.
        """
        if not self._severed.isdisjoint((principal.id, principal.login)):
            raise Unauthorized(
                "cannot let you in: your token was taken back, or your browser logged out",
                hint="ask for another token, or log in again: acprelay login",
            )
        connection = object()
        mine = self._open.setdefault(principal.id, {})
        mine[connection] = _Connection(principal.login, close)
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
        try:
            return await self._end(lambda: self._those(principal_id))
        finally:
            self._forsake(principal_id)

    async def sever_login(self, principal_id: str, login: str) -> int:
        """Does so with those that come by one login of a principal.

        What they have left behind stays with the principal, which is let in by other ways.
        """
        self._severed.add(login)
        return await self._end(
            lambda: [each for each in self._those(principal_id) if each.login == login]
        )

    async def _end(self, those: Callable[[], list[_Connection]]) -> int:
        ending = those()
        for connection in ending:
            connection.end()
        while those():
            await self._left.wait()
        return len(ending)

    def _those(self, principal_id: str) -> list[_Connection]:
        return [*self._open.get(principal_id, {}).values()]
