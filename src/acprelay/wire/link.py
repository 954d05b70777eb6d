"""The link to an agent that has dialled in: a resumable pair of streams over WebSockets.

The WebSocket subprotocol `acprelay.link.v1`. The relay is the server, and whoever runs the agent's
program is the *joiner*. A link outlives its connections. Each end numbers the parcels it sends,
from 0 and in silence, and keeps each one until the other end has acknowledged it. A connection
that takes a link up begins with how many parcels each end has received, and both go on from there:
so nothing is lost, and nothing can come twice.

- Binary messages are parcels: one byte for the kind, then the body; or an acknowledgement: a zero
  byte, then how many parcels were taken, eight bytes, the most significant first.
- The one text message is the relay's greeting, which comes first: `acprelay.wire.link_greeting`.

An acknowledgement says that parcels were *taken*, not merely received, and an end that has
`WINDOW` bytes out holds its source back. So an agent whose words nobody takes waits, as it would at
a pipe. Acknowledgements are for many parcels at once, or for a moment in which nothing else comes.

Pure: it knows no socket, no process and no clock, and nothing of what streams carry.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from acprelay.errors import RemoteProtocolError

SUBPROTOCOL = "acprelay.link.v1"

MOST_IN_PARCEL = 64 * 1024
"""The most bytes that the body of one parcel has."""

WINDOW = 1024 * 1024
"""How many bytes may be out before their source is to wait."""

ACK_DELAY_S = 0.05
"""How long parcels that were taken may wait for their acknowledgement."""

_ACK = 0
_ACK_SIZE = 9
_ACK_AFTER_BYTES = WINDOW // 4
_ACK_AFTER_PARCELS = 64


class ParcelKind(IntEnum):
    """What a parcel carries."""

    STREAM = 1
    """To the joiner: what the agent's standard input gets; from it: its standard output."""
    STDERR = 2
    """What the agent wrote to its standard error; some of it may be left out."""
    EXIT = 3
    """How the agent ended, after everything that it wrote."""
    END = 4
    """To the joiner: the agent is to be ended; why, in words."""
    FAILURE = 5
    """It could not be ended; why, in words."""
    GONE = 6
    """Nothing of the agent is left; the link is over."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel as it came.

    Attributes:
        kind: What it carries.
        body: Its bytes.
    """

    kind: ParcelKind
    body: bytes


class LinkEnd:
    """One end of a link.

    Attributes:
        received: How many parcels have come, over all connections.
        untaken: How many bytes of them are not dealt with yet.
        unacknowledged: How many bytes were given to be sent that the other end has not taken yet.
    """

    def __init__(self) -> None:
        self.received = 0
        self.untaken = 0
        self.unacknowledged = 0
        # Messages, the first of them number `_acknowledged`.
        self._kept: deque[bytes | bytearray] = deque()
        self._filling: bytearray | None = None  # the last of them, while more of the stream fits
        self._acknowledged = 0
        self._next = 0  # to be transmitted
        self._transmitted = 0
        self._taken = 0
        self._told = 0  # of those taken
        self._took_bytes = 0  # since then
        self._ack_at: float | None = None

    # -- sending

    def send(self, kind: ParcelKind, body: bytes) -> None:
        """Takes something to be sent, however much waits already.

        Args:
            kind: What it is.
            body: Its bytes. Those of the stream fill up the parcel that waits, if one does.
        """
        if kind is ParcelKind.STREAM and self._filling is not None:
            room = MOST_IN_PARCEL + 1 - len(self._filling)
            self._filling += body[:room]
            self.unacknowledged += min(room, len(body))
            body = body[room:]
            if not body:
                return
        for start in range(0, len(body) or 1, MOST_IN_PARCEL):
            message = bytearray((kind,)) + body[start : start + MOST_IN_PARCEL]
            self._kept.append(message)
            self.unacknowledged += len(message)
            self._filling = message if kind is ParcelKind.STREAM else None

    @property
    def is_full(self) -> bool:
        """Whether the source of what is sent is to wait."""
        return self.unacknowledged >= WINDOW

    @property
    def wake_at(self) -> float | None:
        """When `take_messages` gives something without anything else having happened."""
        return self._ack_at

    def take_messages(self, now: float) -> list[bytes]:
        """Gives the messages that are due over the connection that there is, in order, once."""
        self._filling = None
        messages = list(map(bytes, islice(self._kept, self._next - self._acknowledged, None)))
        self._next += len(messages)
        self._transmitted = max(self._transmitted, self._next)
        if self._ack_at is not None and now >= self._ack_at:
            self._told = self._taken
            self._took_bytes = 0
            self._ack_at = None
            messages.append(bytes((_ACK,)) + self._told.to_bytes(_ACK_SIZE - 1))
        return messages

    # -- receiving

    def receive(self, message: bytes) -> Parcel | None:
        """Takes the next message of the connection that there is.

        Returns:
            The parcel; None for an acknowledgement.

        Raises:
            RemoteProtocolError: It is neither, or acknowledges what cannot have been taken.
        """
        if message[:1] == bytes((_ACK,)):
            self._take_acknowledgement(message)
            return None
        try:
            kind = ParcelKind(int.from_bytes(message[:1]))
        except ValueError:
            raise _broken(f"a message begins with {message[:1]!r}") from None
        self.received += 1
        self.untaken += len(message)
        return Parcel(kind, message[1:])

    def take_all(self, now: float) -> None:
        """Takes note that everything that was received is dealt with, which is acknowledged."""
        self._took_bytes += self.untaken
        self.untaken = 0
        self._taken = self.received
        untold = self._taken - self._told
        if untold >= _ACK_AFTER_PARCELS or self._took_bytes >= _ACK_AFTER_BYTES:
            self._ack_at = now
        elif untold and self._ack_at is None:
            self._ack_at = now + ACK_DELAY_S

    def _take_acknowledgement(self, message: bytes) -> None:
        if len(message) != _ACK_SIZE:
            raise _broken(f"an acknowledgement has {len(message)} bytes")
        count = int.from_bytes(message[1:])
        self._check(count, most=self._next)
        while self._acknowledged < count:
            self.unacknowledged -= len(self._kept.popleft())
            self._acknowledged += 1

    # -- connections

    def resume(self, peer_received: int, now: float) -> None:
        """Goes on over another connection, or begins over the first one.

        Args:
            peer_received: How many parcels the other end has received by its own account.
            now: The time.

        Raises:
            RemoteProtocolError: That cannot be.
        """
        self._check(peer_received, most=self._transmitted)
        self._next = peer_received
        if self._taken:  # what told the other end so may have been lost
            self._ack_at = now

    def _check(self, count: int, *, most: int) -> None:
        if not self._acknowledged <= count <= most:
            raise _broken(
                f"{count} parcels cannot have come: {most} were sent, "
                f"and {self._acknowledged} acknowledged"
            )


def _broken(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"cannot go on with the link to an agent: {what}",
        hint="let both ends be acprelay, of versions that fit together",
    )
