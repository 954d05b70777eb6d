r"""Newline framing: from chunks of a byte stream to whole lines, in bounded memory.

ACP's stdio transport: a frame is one line of UTF-8 JSON that `\n` ends, with no raw newline
inside. This module knows nothing of JSON: a line is bytes up to a newline, and a line over the
limit is described by its size and its two ends, never kept.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import filterfalse

EDGE_SIZE = 4096
"""How many bytes of each end of an oversized frame are kept."""

_LITTLE = 4096
"""A chunk up to this size has few lines: each costs less by itself than all together do."""

# Pieces of a line from this size on are kept as they come, and are copied once, when it is whole.
_LARGE_PIECE = 32 * 1024


class _Kept:
    """The pieces of an unfinished line. Many small ones take no more room than what they hold."""

    __slots__ = ("_large", "_small")

    def __init__(self) -> None:
        self._large: list[bytes] = []
        self._small = io.BytesIO()  # grows geometrically, gives its contents without a copy

    def add(self, piece: bytes) -> None:
        """Keeps a piece."""
        if len(piece) >= _LARGE_PIECE:
            if self._small.tell():
                self._large.append(self._small.getvalue())
                self._small = io.BytesIO()
            self._large.append(piece)
        else:
            self._small.write(piece)

    def whole(self, last: bytes | memoryview) -> bytes:
        """Gives what is kept, with something behind it."""
        if self._large:
            return b"".join([*self._large, self._small.getvalue(), last])
        self._small.write(last)
        return self._small.getvalue()


@dataclass(frozen=True, slots=True)
class OversizedFrame:
    """A line over the limit that was skipped.

    Attributes:
        size: Its length in bytes, without the newline.
        head: Its first bytes, at most `EDGE_SIZE`.
        tail: Its last bytes, at most `EDGE_SIZE`.
        index: How many lines, of those that the call which saw its end gave, came before it.
    """

    size: int
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)
    index: int


class LineSplitter:
    """Cuts a stream into lines; a line over the limit is skipped and reported.

    The stream goes on behind it.

    Args:
        max_frame: The most bytes that one line may have, without its newline.
    """

    def __init__(self, *, max_frame: int) -> None:
        self._max = max_frame
        self._size = 0  # of the unfinished line, whether it is kept or not
        self._kept = _Kept()
        self._head = b""
        self._tail = b""
        self._oversized: list[OversizedFrame] = []

    @property
    def pending(self) -> int:
        """How many bytes are held of the unfinished line: two edges, once it is over the limit."""
        if self._size > self._max:
            return len(self._head) + len(self._tail)
        return self._size

    def feed(self, data: bytes) -> list[bytes]:
        """Takes the next chunk of the stream.

        Returns:
            The lines that it completes, in order, with their newlines, which cost a copy to take
            off: `bare` does. Blank ones are left out.
        """
        end = data.find(b"\n") + 1
        if not end:
            self._hold(data)
            return []
        if end == len(data) and not self._size and end <= self._max:
            return [] if data.isspace() else [data]  # one line, as slow agents write
        if not self._size and len(data) <= min(_LITTLE, self._max):
            return self._cut_little(data, end)
        lines: list[bytes] = []
        chunk = io.BytesIO(data)
        if self._size:
            lines.append(self._complete(memoryview(data)[:end]))
            chunk.seek(end)
        lines += chunk.readlines()  # faster than `split`, which looks at each byte
        rest = b"" if data.endswith(b"\n") else lines.pop()
        # Only a chunk beyond the limit can hold such a line whole.
        lines = self._sift(lines) if len(data) > self._max else _without_blanks(lines)
        if rest:
            self._hold(rest)
        return lines

    def _cut_little(self, data: bytes, end: int) -> list[bytes]:
        """Does as `feed` for what begins a line and has few, of which none can be too long.

        Args:
            data: The chunk.
            end: Where its first line ends.
        """
        lines: list[bytes] = []
        begin = 0
        while end:
            line = data[begin:end]
            if not line.isspace():
                lines.append(line)
            begin, end = end, data.find(b"\n", end) + 1
        if begin < len(data):
            self._hold(data[begin:])
        return lines

    def finish(self) -> list[bytes]:
        """Takes the end of the stream.

        Returns:
            The last line, if the stream ended without a newline after it; else nothing.
        """
        return _without_blanks([self._complete(b"")] if self._size else [])

    def take_oversized(self) -> list[OversizedFrame]:
        """Gives what was skipped since the last call, in order, once."""
        taken, self._oversized = self._oversized, []
        return taken

    def _hold(self, piece: bytes) -> None:
        was_kept = self._size <= self._max
        self._size += len(piece)
        if self._size <= self._max:
            self._kept.add(piece)
            return
        if was_kept:
            begun = self._take_kept()
            self._head, self._tail = begun[:EDGE_SIZE], begun[-EDGE_SIZE:]
        self._head = (self._head + piece[:EDGE_SIZE])[:EDGE_SIZE]
        self._tail = (self._tail + piece[-EDGE_SIZE:])[-EDGE_SIZE:]

    def _complete(self, last: bytes | memoryview) -> bytes:
        """Gives the unfinished line whole; a blank one where it was too long, which is noted."""
        size = self._size + len(last) - (last[-1:] == b"\n")
        if size <= self._max:
            self._size = 0
            return self._take_kept(last)
        self._hold(bare(bytes(last)))
        self._oversized.append(OversizedFrame(size, self._head, self._tail, index=0))
        self._size = 0
        self._head = self._tail = b""
        return b"\n"

    def _take_kept(self, last: bytes | memoryview = b"") -> bytes:
        kept, self._kept = self._kept, _Kept()
        return kept.whole(last)

    def _sift(self, lines: list[bytes]) -> list[bytes]:
        """Leaves out blank lines, and oversized ones, which are noted."""
        kept: list[bytes] = []
        for line in lines:
            size = len(line) - 1
            if size > self._max:
                head, tail = line[:EDGE_SIZE], line[-EDGE_SIZE - 1 : -1]
                self._oversized.append(OversizedFrame(size, head[:size], tail, index=len(kept)))
            elif not line.isspace():
                kept.append(line)
        return kept


def to_line(frame: bytes) -> bytes:
    """Writes a frame as one line for a stdio peer.

    Args:
        frame: Valid JSON. Raw newlines and carriage returns are then white space between tokens (a
            JSON string cannot hold them), and become spaces.
    """
    if b"\n" in frame or b"\r" in frame:
        frame = frame.replace(b"\n", b" ").replace(b"\r", b" ")
    return frame + b"\n"


def bare(line: bytes) -> bytes:
    """Takes a line's newline off; a carriage return before it stays, to JSON it is white space."""
    return line.removesuffix(b"\n")


def _without_blanks(lines: list[bytes]) -> list[bytes]:
    return list(filterfalse(bytes.isspace, lines))
