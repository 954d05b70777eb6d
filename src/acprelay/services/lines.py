"""Picks lines out of a text that comes in pieces, without holding more of it than it gives.

A line ends with a newline, which belongs to it; a carriage return is a character like any other.
So what is read piece by piece, one range of lines after another, is together the whole text.
Pure: the pieces are an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class TooLong(Exception):
    """The lines that were asked for have more bytes than may be given."""


def pick_lines(pieces: Iterable[bytes], *, line: int, limit: int | None, most: int) -> bytes:
    """Gives some lines of a text.

    Args:
        pieces: The text, from its start; no more of it is taken than is needed.
        line: The number of the first line to give, counted from 1; 0 is taken for 1.
        limit: How many lines at most; None for all that follow.
        most: How many bytes may be given.

    Raises:
        TooLong: They have more bytes.
    """
    picked = []
    size = 0
    for piece in _head(_skip(pieces, max(line, 1) - 1), limit):
        picked.append(piece)
        size += len(piece)
        if size > most:
            raise TooLong
    return b"".join(picked)


def _skip(pieces: Iterable[bytes], lines: int) -> Iterator[bytes]:
    for piece in pieces:
        count = piece.count(b"\n") if lines else 0
        if count < lines:
            lines -= count
        else:
            yield piece[_end(piece, lines) :]
            lines = 0


def _head(pieces: Iterable[bytes], lines: int | None) -> Iterator[bytes]:
    if lines == 0:
        return
    for piece in pieces:
        if lines is None:
            yield piece
            continue
        count = piece.count(b"\n")
        if count >= lines:
            yield piece[: _end(piece, lines)]
            return
        lines -= count
        yield piece


def _end(piece: bytes, lines: int) -> int:
    """Where so many lines of a piece end, which it has."""
    end = 0
    for _ in range(lines):
        end = piece.index(b"\n", end) + 1
    return end
