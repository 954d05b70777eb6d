"""What aiohttp does not check of a WebSocket: that its client masks its frames.

What frames mean is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketReader

_UNREADABLE_FRAME = b"\xf0\x00"
_MASKED = 0x80


class FirstFrame:
    """Refuses a WebSocket whose first frame is not masked (RFC 6455, section 5.1).

    The reader below does not look. Whoever masks one frame masks all of them: so this looks once in
    a connection, and costs nothing after that.

    Args:
        reader: Reads frames.
    """

    def __init__(self, reader: WebSocketReader) -> None:
        self._reader = reader
        self._begun = b""
        self.feed_data: Callable[[bytes], tuple[bool, bytes]] = self._feed_first
        self.feed_eof = reader.feed_eof

    def _feed_first(self, data: bytes) -> tuple[bool, bytes]:
        self._begun += data
        if len(self._begun) < 2:  # noqa: PLR2004 - the mask's bit is in the second byte
            return False, b""
        data, self._begun = self._begun, b""
        self.feed_data = self._reader.feed_data
        if not data[1] & _MASKED:
            data = _UNREADABLE_FRAME  # which the reader refuses with the code that is due
        return self._reader.feed_data(data)
