"""The end of what a command has written, as text.

ACP, "Terminals": beyond a limit the beginning is dropped, and what is kept begins with a whole
character. Pure.
"""

from __future__ import annotations

import codecs

_LONGEST = 4
"""How many bytes a character has in UTF-8, at most."""

_CONTINUATIONS = range(0x80, 0xC0)
"""The bytes that do not begin a character in UTF-8."""


class OutputTail:
    """Keeps the last bytes of an output.

    Args:
        limit: How many.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._is_truncated = False

    def append(self, data: bytes) -> None:
        """Adds what was written next."""
        self._kept += data[-self._limit :] if self._limit else b""
        excess = len(self._kept) - self._limit
        if excess > 0:
            del self._kept[:excess]
        self._is_truncated |= excess > 0 or len(data) > self._limit

    def text(self, *, is_over: bool) -> tuple[str, bool]:
        """Gives what is kept, and whether anything was dropped.

        Its UTF-8 has no more bytes than the limit. Bytes that are no UTF-8 become U+FFFD.

        Args:
            is_over: Whether nothing more comes; else the beginning of a character at the end is
                left out, until it is whole.
        """
        kept = bytes(self._kept)
        if self._is_truncated:
            kept = _from_boundary(kept)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(kept, final=is_over)
        written = text.encode()
        if len(written) <= self._limit:
            return text, self._is_truncated
        # U+FFFD is longer than what it stands for.
        return _from_boundary(written[len(written) - self._limit :]).decode(), True


def _from_boundary(data: bytes) -> bytes:
    """Drops the end of a character that stands at the start."""
    start = 0
    while start < min(_LONGEST - 1, len(data)) and data[start] in _CONTINUATIONS:
        start += 1
    return data[start:]
