"""The end of what an agent wrote to its standard error.

Pure: it takes bytes and gives text. It knows no pipe.
"""

from __future__ import annotations

STDERR_LINES = 20
"""How many of the last lines are told."""


class StderrTail:
    """Keeps the last bytes of a stream, whatever its length.

    Args:
        limit: How many bytes are kept.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def append(self, data: bytes) -> None:
        """Adds what was read; the oldest bytes beyond the limit are forgotten."""
        self._kept += data
        del self._kept[: max(0, len(self._kept) - self._limit)]

    def take(self) -> bytes:
        """Gives what is kept, and forgets it."""
        taken = bytes(self._kept)
        self._kept.clear()
        return taken

    def text(self, *, lines: int) -> str:
        """Gives the last lines as text; what is no UTF-8 becomes replacement characters."""
        return "\n".join(self._kept.decode(errors="replace").splitlines()[-lines:])
