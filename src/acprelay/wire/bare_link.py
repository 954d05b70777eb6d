"""A WebSocket whose other end is an agent that knows nothing of links: one text for each message.

ACP, "Remote transport", the other way round. It has the shape of `acprelay.wire.link.LinkEnd`, so
that a relay deals with both alike; but nothing is acknowledged, so nothing can be taken up once the
connection is lost, and there is no word for the agent's end.

Pure: it knows no socket.
"""

from __future__ import annotations

from collections import deque

from acprelay.wire.framing import to_line
from acprelay.wire.link import Parcel, ParcelKind

_QUANTUM_BYTES = 64 * 1024


class BareEnd:
    """The relay's end of such a WebSocket.

    Attributes:
        received: How many messages have come.
        untaken: How many bytes of them are not dealt with yet.
        unacknowledged: How many bytes wait to be sent.
    """

    wake_at: float | None = None

    def __init__(self) -> None:
        self.received = 0
        self.untaken = 0
        self.unacknowledged = 0
        self._unsent: deque[bytes] = deque()

    def send(self, kind: ParcelKind, body: bytes) -> None:
        """Takes whole lines to be sent; of other kinds the agent knows nothing."""
        if kind is ParcelKind.STREAM:
            self._unsent.extend(body.splitlines())
            self.unacknowledged += len(body)

    def take_messages(self, _now: float) -> list[bytes]:
        """Gives some of the messages that wait, in order, once."""
        messages: list[bytes] = []
        size = 0
        while self._unsent and size < _QUANTUM_BYTES:
            messages.append(self._unsent.popleft())
            size += len(messages[-1]) + 1
        self.unacknowledged -= size
        return messages

    def receive(self, message: bytes) -> Parcel:
        """Takes the next message: a line of the agent's output."""
        line = to_line(message)
        self.received += 1
        self.untaken += len(line)
        return Parcel(ParcelKind.STREAM, line)

    def take_all(self, _now: float) -> None:
        """Takes note that everything that was received is dealt with."""
        self.untaken = 0

    def resume(self, _peer_received: int, _now: float) -> None:
        """Begins; there is one connection only."""
