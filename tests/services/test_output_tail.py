"""The end of an output, cut between characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.services.output_tail import OutputTail


def tail(limit: int, *pieces: bytes) -> OutputTail:
    output = OutputTail(limit=limit)
    for piece in pieces:
        output.append(piece)
    return output


@pytest.mark.parametrize(
    ("limit", "pieces", "text"),
    [
        (5, [], ("", False)),
        (5, [b"hello"], ("hello", False)),
        (5, [b"hello", b""], ("hello", False)),
        (5, [b"hello", b"!"], ("ello!", True)),
        (5, [b"hello, world"], ("world", True)),
        (0, [], ("", False)),
        (0, [b"x"], ("", True)),
        (4, ["aéé".encode()], ("éé", True)),
        (3, ["aéé".encode()], ("é", True)),
        (3, ["a😀".encode()], ("", True)),
        (6, ["a😀b".encode()], ("a😀b", False)),
        (4, [b"a\xffb"], ("�b", True)),
        (5, [b"a\xffb"], ("a�b", False)),
    ],
)
def test_the_end_is_kept_and_begins_with_a_whole_character(
    limit: int, pieces: list[bytes], text: tuple[str, bool]
) -> None:
    assert tail(limit, *pieces).text(is_over=True) == text


def test_a_character_that_is_not_whole_yet_is_left_out_until_the_end() -> None:
    output = tail(9, "a😀".encode()[:3])
    assert output.text(is_over=False) == ("a", False)
    assert output.text(is_over=True) == ("a�", False)
    output.append("😀".encode()[2:])
    assert output.text(is_over=False) == ("a😀", False)


@pytest.mark.requirement("terminals.output-is-bounded")
@given(st.integers(0, 40), st.lists(st.text().map(str.encode)), st.booleans())
def test_of_text_exactly_the_longest_end_is_given_that_fits(
    limit: int, pieces: list[bytes], is_over: bool
) -> None:
    whole = b"".join(pieces).decode()
    text, is_truncated = tail(limit, *pieces).text(is_over=is_over)
    ends = (whole[start:] for start in range(len(whole) + 1))
    assert text == next(end for end in ends if len(end.encode()) <= limit)
    assert is_truncated == (text != whole)


@given(st.integers(0, 40), st.lists(st.binary(max_size=60)), st.booleans())
def test_of_anything_no_more_is_given_than_may_be(
    limit: int, pieces: list[bytes], is_over: bool
) -> None:
    text, is_truncated = tail(limit, *pieces).text(is_over=is_over)
    assert len(text.encode()) <= limit
    if sum(map(len, pieces)) > limit:
        assert is_truncated


def test_no_more_is_kept_than_may_be_given() -> None:
    output = OutputTail(limit=1000)
    for _ in range(1000):
        output.append(b"x" * 999)
        assert len(output._kept) <= 1000
