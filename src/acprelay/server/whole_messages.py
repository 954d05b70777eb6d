"""The short way for what a client says: whole messages are taken as they are read from its socket.

aiohttp reads frames, keeps the messages in a queue, and wakes the task that waits for them. Most
messages come whole and alone; here those are taken at once, and everything else is left to that
reader: large messages and fragmented ones, control frames, and whatever breaks the rules (RFC 6455,
section 5). None overtakes another one: while the reader has a message that was not dealt with, what
follows goes to it, too. What messages mean is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketReader

_TEXT, _BINARY, _CLOSE = 0x81, 0x82, 0x88
"""First bytes of frames that are messages by themselves, and of one that ends all."""

_FINAL = 0x80
_FIRST_CONTROL = 0x8
_OPCODE = 0x0F
_MASKED = 0x80
_SHORT_HEADER = 6  # with the mask
_MEDIUM, _LONG = 126, 127  # two or eight bytes of length follow
_MEDIUM_HEADER = 8
_LARGE = 4096
"""A longer payload costs less to unmask in the reader, which is compiled."""

Take = Callable[[bytes], bool]
"""Takes a message; False where it cannot be taken now, and the reader is to have it."""


class WholeMessages:
    """What stands before the reader of one WebSocket.

    Until `begin` the reader gets everything.

    Args:
        most: The most bytes that a message may have; the reader refuses a longer one.
    """

    def __init__(self, *, most: int) -> None:
        self._most = min(most, _LARGE)
        self._reader: WebSocketReader
        self._take: Take | None = None
        self._kept = b""  # the beginning of a header
        self._missing = 0  # how much of the latest frame is still to come
        self._unhandled = 0  # messages that the reader was given, and that were not dealt with
        self._is_fragmented = False

    def before(self, reader: WebSocketReader) -> WholeMessages:
        """Takes its place before a reader; gives itself, as what is to be fed instead."""
        self._reader = reader
        return self

    def begin(self, take: Take) -> None:
        """Has whole messages taken from now on.

        Args:
            take: Takes them; must not raise.
        """
        self._take = take

    def end(self) -> None:
        """Takes none any more: the reader gets everything. Idempotent."""
        self._take = None

    def handled(self) -> None:
        """Takes note that a message which the reader gave has been dealt with."""
        self._unhandled -= 1

    def feed_eof(self) -> None:
        """Passes it on."""
        self._reader.feed_eof()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Takes what was read from the socket; see aiohttp's `WebSocketReader`."""
        if self._kept:
            data, self._kept = self._kept + data, b""
        at = self._missing
        if not at:
            at = self._take_messages(data)
            if at == len(data):  # nearly always
                return False, b""
        elif at > len(data):
            self._missing -= len(data)
            return self._reader.feed_data(data)
        return self._pass_on(data, at if not self._missing else 0, at)

    def _take_messages(self, data: bytes) -> int:
        """Takes the messages that a chunk begins with; tells where the first other frame begins."""
        at, size = 0, len(data)
        while self._take is not None and not self._unhandled and not self._is_fragmented:
            start = at + _SHORT_HEADER
            if start > size or data[at] not in (_TEXT, _BINARY):
                break
            length = data[at + 1] - _MASKED
            if length == _MEDIUM:
                start = at + _MEDIUM_HEADER
                length = int.from_bytes(data[at + 2 : at + 4])
            stop = start + length
            if not 0 <= length <= self._most or data[at + 1] == _MASKED | _LONG or stop > size:
                break
            if not self._take(_unmasked(data[start:stop], data[start - 4 : start])):
                break
            at = stop
        return at

    def _pass_on(self, data: bytes, begin: int, at: int) -> tuple[bool, bytes]:
        """Gives the reader the rest of a chunk but the beginning of a header.

        Args:
            data: The chunk.
            begin: Where the rest begins.
            at: Where the first frame of it begins.
        """
        size = len(data)
        while at < size:
            header = _header_size(data, at)
            if at + header > size:
                break
            self._note(data[at])
            at += header + _rest_size(data, at)
        self._missing = max(at - size, 0)
        stop = min(at, size)
        self._kept = data[stop:]
        if begin == stop:
            return False, b""
        ended, tail = self._reader.feed_data(data[begin:stop])
        if ended:
            self._take = None
        return ended, tail

    def _note(self, first: int) -> None:
        """Takes note of a frame that the reader gets, by its first byte."""
        if first & _OPCODE < _FIRST_CONTROL:
            self._is_fragmented = not first & _FINAL
            self._unhandled += not self._is_fragmented
        elif first == _CLOSE:
            self._take = None


def _header_size(data: bytes, at: int) -> int:
    """How long the header of a frame is without its mask, as far as can be seen."""
    second = data[at + 1] if at + 1 < len(data) else 0
    return 2 + {_MEDIUM: 2, _LONG: 8}.get(second & ~_MASKED, 0)


def _rest_size(data: bytes, at: int) -> int:
    """How much follows the header: the mask and the payload."""
    mask = 4 if data[at + 1] & _MASKED else 0
    length = data[at + 1] & ~_MASKED
    if length == _MEDIUM:
        length = int.from_bytes(data[at + 2 : at + 4])
    elif length == _LONG:
        length = int.from_bytes(data[at + 2 : at + 10])
    return mask + length


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)
