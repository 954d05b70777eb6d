"""A client's socket in memory: an `Outlet` that tests read from, fill up and lose.

It knows WebSocket frames, and nothing of what is in them but that it is JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from acprelay.wire import walk

Message: TypeAlias = dict[str, Any]
"""A JSON-RPC message, decoded."""


class MemoryOutlet:
    """An `Outlet` that keeps what is written to it.

    Args:
        high_water: How many bytes a client may leave unread before writing pauses; None if it reads
            at once.

    Attributes:
        payloads: Every message ever written, as bytes, in order.
    """

    def __init__(self, *, high_water: int | None = None) -> None:
        self.payloads: list[bytes] = []
        self._high_water = high_water
        self._unread_bytes = 0
        self._is_paused = False
        self._is_lost = False
        self._changed = asyncio.Event()

    @property
    def messages(self) -> list[Message]:
        """Every message ever written, decoded."""
        return [json.loads(payload) for payload in self.payloads]

    def pause(self) -> None:
        """Takes nothing more, until `resume` or `read`."""
        self._is_paused = True

    def resume(self) -> None:
        """Has room again."""
        self._is_paused = False
        self._changed.set()

    def read(self) -> None:
        """Reads all that was written, which makes room."""
        self._unread_bytes = 0
        self.resume()

    def lose(self) -> None:
        """Loses the connection."""
        self._is_lost = True
        self._changed.set()

    async def wait_for(self, wanted: Callable[[Message], bool]) -> Message:
        """Gives the first message of the kind, once there is one. The caller bounds the wait."""
        while True:
            found = next(filter(wanted, self.messages), None)
            if found is not None:
                return found
            self._changed.clear()
            await self._changed.wait()

    # -- Outlet

    @property
    def writing_paused(self) -> bool:
        """Whether there is no room."""
        return self._is_paused

    def write(self, data: bytes) -> None:
        """Takes whole WebSocket text frames, with room or without; none once the socket is lost.

        Raises:
            LocalProtocolError: The bytes are something else.
        """
        if self._is_lost:
            return
        self.payloads += [data[start:stop] for _, start, stop in walk(data)]
        self._unread_bytes += len(data)
        if self._high_water is not None and self._unread_bytes > self._high_water:
            self._is_paused = True
        self._changed.set()

    async def drain(self) -> None:
        """Returns once there is room.

        Raises:
            ConnectionError: The connection is lost.
        """
        while self._is_paused and not self._is_lost:
            self._changed.clear()
            await self._changed.wait()
        if self._is_lost:
            raise ConnectionResetError("the connection is lost")
