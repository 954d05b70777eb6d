"""An attachment: one client's presence in one session.

It is a position in the session's public log and a lane. The lane holds what is for this client
alone (replies, asks, notices), each entry behind a barrier: it is delivered once the position has
reached the head that the log had when the entry was made. So a prompt's reply never overtakes the
updates before it, and live delivery, replay and a slow reader are one operation: `take`.

An attachment knows no socket; whoever owns one asks it for bytes.
"""

from __future__ import annotations

from collections import deque

from acprelay.routing.log import PublicLog
from acprelay.wire import text_frame


class Attachment:
    """A cursor and a lane.

    Args:
        id: Unique in the relay.
        log: The session's public log.
        cursor: The position to read from.
    """

    __slots__ = ("_held", "_lane", "_lane_bytes", "cursor", "id", "log")

    def __init__(self, *, id: str, log: PublicLog, cursor: int) -> None:  # noqa: A002 - the glossary's word
        self.id = id
        self.log = log
        self.cursor = cursor
        self._lane: deque[tuple[int, bytes]] = deque()
        self._lane_bytes = 0
        self._held = True

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait for this client, in its lane and in the log."""
        return self._lane_bytes + self.log.unread_bytes(self.cursor)

    @property
    def has_pending(self) -> bool:
        """Whether `take` would give something."""
        return not self._held and (bool(self._lane) or self.cursor < self.log.head)

    def admit(self, reply: bytes) -> None:
        """Lets delivery begin, with the reply that tells the client the session's id.

        Args:
            reply: The JSON-RPC response; it goes before everything else of the session.
        """
        frame = text_frame(reply)
        self._lane.appendleft((self.cursor, frame))
        self._lane_bytes += len(frame)
        self._held = False

    def push(self, message: bytes) -> None:
        """Adds a JSON-RPC message for this client alone, behind all that the log holds now."""
        frame = text_frame(message)
        self._lane.append((self.log.head, frame))
        self._lane_bytes += len(frame)

    def take(self, limit: int) -> list[bytes]:
        """Gives what is due next, as WebSocket frames, and moves the cursor past it.

        Args:
            limit: Stop once this many bytes are given; one run or lane entry may exceed it.

        Returns:
            Blobs to be written in this order; empty when nothing is due.
        """
        due: list[bytes] = []
        while not self._held and limit > 0:
            if self._lane and self._lane[0][0] <= self.cursor:
                blobs = [self._lane.popleft()[1]]
                self._lane_bytes -= len(blobs[0])
            else:
                upto = self._lane[0][0] if self._lane else self.log.head
                if self.cursor >= upto:
                    break
                blobs, self.cursor = self.log.read(
                    self.cursor, upto=upto, limit=limit, reader=self.id
                )
            due += blobs
            limit -= sum(map(len, blobs))
        return due
