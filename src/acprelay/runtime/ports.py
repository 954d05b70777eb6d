"""What the runtime needs of its surroundings."""

from __future__ import annotations

from typing import Protocol


class Outlet(Protocol):
    """A client's socket, as far as writing goes."""

    @property
    def writing_paused(self) -> bool:
        """Whether the transport holds more than its high-water mark."""
        ...

    def write(self, data: bytes) -> None:
        """Hands bytes to the transport at once; does nothing after the connection is lost."""
        ...

    async def drain(self) -> None:
        """Returns once writing is no longer paused.

        Cancelling it is safe.

        Raises:
            ConnectionError: The connection is lost.
        """
        ...
