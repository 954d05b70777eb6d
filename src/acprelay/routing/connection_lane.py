"""What a client's connection is told over HTTP that belongs to no session's stream.

The messages are numbered from 1. Those given last are remembered, so that a client whose stream was
cut, and who says what it has seen, is given the others again. The lane knows no stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from acprelay.errors import CursorExpired, InvalidParams
from acprelay.wire.sse import event

_REMEMBERED_MESSAGES = 256
_REMEMBERED_BYTES = 1024 * 1024


class _Message(NamedTuple):
    number: int
    text: bytes
    on_given: Callable[[], None] | None


class ConnectionLane:
    """The messages for one connection.

    Attributes:
        waiting_bytes: The size of what was not given yet.
    """

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self._last = 0
        self._waiting: deque[_Message] = deque()
        self._given: deque[_Message] = deque()
        self._given_bytes = 0
        self._forgotten = 0

    @property
    def given(self) -> int:
        """The number of the message that was given last; 0 while none was."""
        return self._last - len(self._waiting)

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    def append(self, text: bytes, *, on_given: Callable[[], None] | None = None) -> None:
        """Adds a message.

        Args:
            text: JSON.
            on_given: Called once, when it is given for the first time.
        """
        self._last += 1
        self._waiting.append(_Message(self._last, text, on_given))
        self.waiting_bytes += len(text)

    def take(self, limit: int) -> bytes:
        """Gives what waits, as events, in order.

        Args:
            limit: Stop once this many bytes of messages are given.
        """
        due = []
        while self._waiting and limit > 0:
            message = self._waiting.popleft()
            self.waiting_bytes -= len(message.text)
            limit -= len(message.text)
            due.append(event(b"%d" % message.number, message.text))
            self._remember(message._replace(on_given=None))
            if message.on_given is not None:
                message.on_given()
        return b"".join(due)

    def go_back(self, number: int) -> None:
        """Lets what a client has not seen wait again.

        Args:
            number: Of the last message that it has seen; 0 for none.

        Raises:
            CursorExpired: More was given since than is remembered.
            InvalidParams: There was no such message.
        """
        if number < self._forgotten:
            raise CursorExpired(oldest=str(self._forgotten))
        if number > self.given:
            raise InvalidParams(
                "cannot go on after an event that was not given",
                hint="name the id of the last event that came over the connection's stream",
            )
        while self._given and self._given[-1].number > number:
            message = self._given.pop()
            self._given_bytes -= len(message.text)
            self._waiting.appendleft(message)
            self.waiting_bytes += len(message.text)

    def clear(self) -> None:
        """Lets go of everything."""
        self._waiting.clear()
        self._given.clear()
        self.waiting_bytes = self._given_bytes = 0

    def _remember(self, message: _Message) -> None:
        self._given.append(message)
        self._given_bytes += len(message.text)
        while len(self._given) > 1 and (
            len(self._given) > _REMEMBERED_MESSAGES or self._given_bytes > _REMEMBERED_BYTES
        ):
            forgotten = self._given.popleft()
            self._given_bytes -= len(forgotten.text)
            self._forgotten = forgotten.number
