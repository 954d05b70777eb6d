"""One stream of events to a client over HTTP, as whoever writes it sees it.

It is pulled: its writer waits, takes what is due, and writes that, as fast as its peer reads. What
is due is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

QUANTUM_BYTES = 64 * 1024
"""About how much is taken at a time."""


class EventStream:
    """A stream, from its request to its end.

    Args:
        session_id: The session that it is of; None for the connection's own.
        begin: What is written before all that is due.
        take: Gives what is due on the stream.

    Attributes:
        begin: As given.
        needs_draining: Whether nothing more is given until the peer was sent all that was given.
        is_drained: Whether it was sent all that was given; taken back by what is given next.
    """

    def __init__(
        self, *, session_id: str | None, begin: bytes, take: Callable[[EventStream], bytes]
    ) -> None:
        self.session_id = session_id
        self.begin = begin
        self.needs_draining = False
        self.is_drained = False
        self._take = take
        self._wake = asyncio.Event()
        self._wake.set()
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it is to be ended: another stream has taken its place, or the client has left."""
        return self._over.is_set()

    def wake(self) -> None:
        """Has the writer ask for what is due."""
        self._wake.set()

    def end(self) -> None:
        """Has the writer end the stream. Idempotent."""
        self._over.set()
        self._wake.set()

    async def wait(self) -> None:
        """Returns once something may be due, or the stream is over; may be cancelled."""
        await self._wake.wait()

    async def wait_until_over(self) -> None:
        """Returns once the stream is to be ended; may be cancelled."""
        await self._over.wait()

    def take(self) -> bytes:
        """Gives what is due, which must be written; nothing where nothing is.

        `needs_draining` is to be looked at after this; `drained` follows it.
        """
        self._wake.clear()
        if self.is_over:
            return b""
        data = self._take(self)
        if data:
            self.is_drained = False
            self._wake.set()
        return data

    def drained(self) -> None:
        """Takes note that the peer was sent all that was given."""
        self.needs_draining = False
        self.is_drained = True
        self._wake.set()
