"""Writes what is due to one client: in order, fairly, and never past a full transport.

The connection's own lane goes first (answers that belong to no session), then the sessions in turn,
a quantum of bytes each. While the transport is full nothing is taken from anywhere: what is not
written yet stays in the sessions' logs, so a slow client costs no memory of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from acprelay.routing.attachment import Attachment
from acprelay.runtime.lag_samples import LagSamples
from acprelay.runtime.measurements import Measures
from acprelay.runtime.ports import Outlet
from acprelay.wire import text_frame

_QUANTUM_BYTES = 64 * 1024


class Outbox:
    """The one writer of a client's socket.

    Args:
        outlet: The socket.
        measures: What has passed, and how long it took; the outbox adds to it.
    """

    def __init__(self, *, outlet: Outlet, measures: Measures) -> None:
        self.lane_bytes = 0
        self._outlet = outlet
        self._lane: list[bytes] = []
        self._sources: dict[Attachment, None] = {}
        self._due: dict[Attachment, None] = {}  # sources that may have something, in turn
        self._retiring: dict[Attachment, Callable[[], None] | None] = {}
        self._stopped = asyncio.Event()
        self._closed = False
        self._written = measures.traffic.to_clients
        self._samples = LagSamples(delivered=measures.delivered)

    def say(self, message: bytes, *, session_id: str | None = None) -> None:  # noqa: ARG002
        """Writes a JSON-RPC message before all that belongs to attachments."""
        if self._closed:
            return
        frame = text_frame(message)
        self._lane.append(frame)
        self.lane_bytes += len(frame)
        self._write_due()

    def add(
        self,
        attachment: Attachment,
        *,
        request_id: bytes | None = None,  # noqa: ARG002 - one socket takes all answers
        is_told: bool = False,  # noqa: ARG002
    ) -> None:
        """Begins to write what is due to an attachment. Idempotent."""
        self._sources[attachment] = self._due[attachment] = None

    def remove(self, attachment: Attachment) -> None:
        """Stops writing an attachment's frames, at once. Idempotent."""
        self._retiring.pop(attachment, None)
        self._samples.forget(attachment)
        self._sources.pop(attachment, None)
        self._due.pop(attachment, None)

    def retire(self, attachment: Attachment, *, then: Callable[[], None] | None = None) -> None:
        """Stops writing an attachment's frames once its lane is empty.

        Args:
            attachment: Whose frames.
            then: Called after that, and also if the outbox is closed before.
        """
        if attachment in self._sources:
            self._retiring[attachment] = then
            self.flush(attachment)
        elif then is not None:
            then()

    def flush(self, attachment: Attachment | None = None) -> None:
        """Writes what is due, until nothing is or the transport is full.

        Args:
            attachment: The only one that anything new can be due to; None where any may be.
        """
        if attachment is None:
            self._due.update(self._sources)
        elif attachment in self._sources:
            if not (self._due or self._lane or self._outlet.writing_paused):
                self._write_source(attachment)  # nearly always
            else:
                self._due[attachment] = None
        if self._due or self._lane:
            self._write_due()

    def _write_due(self) -> None:
        if self._closed:
            return
        while self._lane or self._due:
            if self._outlet.writing_paused:
                self._stopped.set()
                return
            if self._lane:
                self._written.messages += len(self._lane)
                self._written.size += self.lane_bytes
                self._outlet.write(b"".join(self._lane))
                self._lane.clear()
                self.lane_bytes = 0
            else:
                source = next(iter(self._due))
                del self._due[source]
                self._write_source(source)

    def close(self) -> None:
        """Writes nothing any more, and lets go of what waits. Idempotent."""
        self._closed = True
        self._lane.clear()
        self.lane_bytes = 0
        self._sources.clear()
        self._due.clear()
        self._samples.clear()
        retiring, self._retiring = self._retiring, {}
        for then in retiring.values():
            if then is not None:
                then()

    async def run(self) -> None:
        """Goes on writing whenever the transport has room again, until cancelled.

        Raises:
            ConnectionError: The connection is lost.
        """
        while True:
            await self._stopped.wait()
            self._stopped.clear()
            await self._outlet.drain()
            self._write_due()

    def _write_source(self, source: Attachment) -> None:
        passed, size = source.passed, 0
        blobs = source.take(_QUANTUM_BYTES)
        if blobs:
            # A write costs more than a copy.
            data = blobs[0] if len(blobs) == 1 else b"".join(blobs)
            self._outlet.write(data)
            size = len(data)
            self._written.size += size
            self._written.messages += source.passed - passed
        if self._samples.open:
            self._samples.written(source)
        if self._retiring and source in self._retiring and not source.lane_bytes:
            self._end(source)
        elif size >= _QUANTUM_BYTES and source.has_pending:
            self._due[source] = None  # behind the others

    def sample(self, attachment: Attachment, read_at: float) -> None:
        """Measures how long it takes until an attachment has been written what its log holds now.

        Where that is being measured already, it goes on.

        Args:
            attachment: Whose frames.
            read_at: When the latest of them was read, by `time.perf_counter`.
        """
        if attachment in self._sources:
            self._samples.begin(attachment, read_at)

    def _end(self, source: Attachment) -> None:
        then = self._retiring.pop(source)
        del self._sources[source]
        self._samples.forget(source)
        if then is not None:
            then()
