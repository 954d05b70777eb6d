"""What an end of a link has to send over one connection, for whoever writes it to a socket."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from acprelay.wire.bare_link import BareEnd
from acprelay.wire.link import LinkEnd


class Outgoing:
    """The messages that are due over one connection, until it is closed; one caller takes them.

    Args:
        end: The end that has them.
    """

    def __init__(self, *, end: LinkEnd | BareEnd) -> None:
        self._end = end
        self._changed = asyncio.Event()
        self._closed = False

    def wake(self) -> None:
        """Takes note that something may be due."""
        self._changed.set()

    def close(self) -> None:
        """Lets nothing more be sent over this connection. Idempotent."""
        self._closed = True
        self._changed.set()

    async def take(self) -> list[bytes]:
        """Gives the messages that are to be sent next, once there are any. Cancelling is safe.

        Returns:
            Nothing once the connection is closed.
        """
        now = asyncio.get_running_loop().time
        while not self._closed:
            if messages := self._end.take_messages(now()):
                return messages
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._end.wake_at):
                    await self._changed.wait()
        return []
