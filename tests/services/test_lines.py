"""Lines out of a text that comes in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.services.lines import TooLong, pick_lines

ENOUGH = 1 << 20


def lines_of(text: bytes) -> list[bytes]:
    """A plain model: each line with its newline, if it has one."""
    ended = text.split(b"\n")
    return [line + b"\n" for line in ended[:-1]] + ended[-1:]


@st.composite
def texts_in_pieces(draw: st.DrawFn) -> list[bytes]:
    text = draw(st.text(alphabet="ab\r\né\n")).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=5)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize(
    ("text", "line", "limit", "picked"),
    [
        (b"a\nb\nc", 1, None, b"a\nb\nc"),
        (b"a\nb\nc", 0, None, b"a\nb\nc"),
        (b"a\nb\nc", 2, None, b"b\nc"),
        (b"a\nb\nc", 2, 1, b"b\n"),
        (b"a\nb\nc", 3, 5, b"c"),
        (b"a\nb\nc", 4, None, b""),
        (b"a\nb\n", 3, None, b""),
        (b"a\nb\n", 1, 0, b""),
        (b"a\r\nb\r\n", 2, 1, b"b\r\n"),
        (b"\n\n\n", 2, 1, b"\n"),
        (b"", 1, None, b""),
        (b"", 7, 7, b""),
    ],
)
def test_lines_are_counted_from_1_and_keep_their_newlines(
    text: bytes, line: int, limit: int | None, picked: bytes
) -> None:
    assert pick_lines([text], line=line, limit=limit, most=ENOUGH) == picked


@given(texts_in_pieces(), st.integers(0, 12), st.none() | st.integers(0, 12))
def test_it_does_not_matter_how_the_text_comes(
    pieces: list[bytes], line: int, limit: int | None
) -> None:
    start = max(line, 1) - 1
    wanted = lines_of(b"".join(pieces))[start : None if limit is None else start + limit]
    assert pick_lines(pieces, line=line, limit=limit, most=ENOUGH) == b"".join(wanted)


@given(texts_in_pieces(), st.integers(1, 4))
def test_range_after_range_gives_the_whole_text(pieces: list[bytes], step: int) -> None:
    text = b"".join(pieces)
    firsts = range(1, text.count(b"\n") + 2, step)
    read = [pick_lines(pieces, line=first, limit=step, most=ENOUGH) for first in firsts]
    assert b"".join(read) == text


def test_no_more_is_given_than_may_be() -> None:
    assert pick_lines([b"ab", b"c\n"], line=1, limit=None, most=4) == b"abc\n"
    with pytest.raises(TooLong):
        pick_lines([b"ab", b"c\n"], line=1, limit=None, most=3)
    assert pick_lines([b"long line\n", b"c\n"], line=2, limit=None, most=3) == b"c\n"


def test_no_more_is_taken_than_is_needed() -> None:
    taken = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"a\n", b"b\nc", b"\nd\n"):
            taken.append(piece)
            yield piece

    assert pick_lines(pieces(), line=2, limit=1, most=ENOUGH) == b"b\n"
    assert taken == [b"a\n", b"b\nc"]
    assert pick_lines(pieces(), line=1, limit=0, most=ENOUGH) == b""
    assert len(taken) == 2
    with pytest.raises(TooLong):
        pick_lines(pieces(), line=1, limit=None, most=1)
    assert len(taken) == 3
