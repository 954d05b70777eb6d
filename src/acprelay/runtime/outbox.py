"""Writes what is due to one client: in order, fairly, and never past a full transport.

The connection's own lane goes first (answers that belong to no session), then the sessions in turn,
a quantum of bytes each. While the transport is full nothing is taken from anywhere: what is not
written yet stays in the sessions' logs, so a slow client costs no memory of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from acprelay.routing.attachment import Attachment
from acprelay.runtime.ports import Outlet
from acprelay.wire import text_frame

_QUANTUM_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class _Source:
    attachment: Attachment
    on_taken: Callable[[], None]
    retired: bool = False


class Outbox:
    """The one writer of a client's socket.

    Args:
        outlet: The socket.
    """

    def __init__(self, *, outlet: Outlet) -> None:
        self.lane_bytes = 0
        self._outlet = outlet
        self._lane: list[bytes] = []
        self._sources: deque[_Source] = deque()
        self._stopped = asyncio.Event()
        self._closed = False

    def say(self, message: bytes) -> None:
        """Writes a JSON-RPC message that belongs to no session."""
        if self._closed:
            return
        frame = text_frame(message)
        self._lane.append(frame)
        self.lane_bytes += len(frame)
        self.flush()

    def add(self, attachment: Attachment, *, on_taken: Callable[[], None]) -> None:
        """Begins to write what is due to an attachment.

        Args:
            attachment: Whose frames.
            on_taken: Called whenever some have been taken from it.
        """
        self._sources.append(_Source(attachment, on_taken))

    def retire(self, attachment: Attachment) -> None:
        """Stops writing an attachment's frames once those that it holds are written."""
        for source in self._sources:
            if source.attachment is attachment:
                source.retired = True
        self.flush()

    def flush(self) -> None:
        """Writes what is due, until nothing is or the transport is full."""
        if self._closed:
            return
        while not self._outlet.writing_paused:
            if self._lane:
                self._outlet.write(b"".join(self._lane))
                self._lane.clear()
                self.lane_bytes = 0
            elif not self._write_next_source():
                return
        self._stopped.set()

    def close(self) -> None:
        """Writes nothing any more, and lets go of what waits. Idempotent."""
        self._closed = True
        self._lane.clear()
        self.lane_bytes = 0
        self._sources.clear()

    async def run(self) -> None:
        """Goes on writing whenever the transport has room again, until cancelled.

        Raises:
            ConnectionError: The connection is lost.
        """
        while True:
            await self._stopped.wait()
            self._stopped.clear()
            await self._outlet.drain()
            self.flush()

    def _write_next_source(self) -> bool:
        for _ in range(len(self._sources)):
            source = self._sources[0]
            self._sources.rotate(-1)
            blobs = source.attachment.take(_QUANTUM_BYTES)
            if blobs:
                for blob in blobs:
                    self._outlet.write(blob)
                source.on_taken()
                return True
            if source.retired:
                self._sources.remove(source)
        return False
