"""What carries messages to a relay and back: one JSON text each, as bytes."""

from __future__ import annotations

from typing import Protocol


class MessageSocket(Protocol):
    """An open connection."""

    async def send(self, message: bytes) -> None:
        """Sends a message; waits while the other end does not read.

        Raises:
            RelayUnreachable: The connection is lost.
        """
        ...

    async def receive(self) -> bytes:
        """Gives the next message. Cancelling is safe; calls do not overlap.

        Raises:
            RelayUnreachable: The connection has ended.
        """
        ...

    async def close(self) -> None:
        """Closes the connection once the other end has read everything, or after a while."""
        ...
