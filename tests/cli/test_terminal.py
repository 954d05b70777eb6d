"""Text that others wrote, on a terminal."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.cli.terminal import complain, cut, harmless, one_line


class FakeTerminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class BrokenStream(io.StringIO):
    """A stream that nobody reads."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 🦉\n\tindented\n", "plain é 🦉\n\tindented\n"),
        ("\x1b[31mred\x1b[0m", "^[[31mred^[[0m"),
        ("\x1b]0;title\x07", "^[]0;title^G"),
        ("a\x00b\x7fc\x08", "a^@b^?c^H"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("one\r\ntwo\rthree", "one\ntwothree"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text())
def test_what_is_harmless_holds_no_control_character_and_stays_as_it_is(text: str) -> None:
    shown = harmless(text)
    assert all(unicodedata.category(sign) != "Cc" or sign in "\t\n" for sign in shown)
    assert harmless(shown) == shown


@given(st.text(), st.text())
def test_text_is_as_harmless_in_pieces_as_it_is_whole(one: str, two: str) -> None:
    assert harmless(one) + harmless(two) == harmless(one + two)


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_a_line_is_one_line_and_no_wider_than_it_may_be(text: str, width: int) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert len(cut(line, width=width)) <= width


def test_a_line_that_is_cut_says_so() -> None:
    assert cut(one_line("a b\n c"), width=5) == "a b c"
    assert cut(one_line("a b\n c"), width=4) == "a b…"


def test_a_complaint_is_a_line_and_a_remedy_and_what_others_said() -> None:
    stream = io.StringIO()
    complain("cannot go on", hint="go back", quoted="one\ntwo\n", stream=stream)
    assert stream.getvalue() == "acprelay: cannot go on\n  hint: go back\n  | one\n  | two\n"


def test_a_complaint_is_harmless_on_a_terminal_and_unchanged_elsewhere() -> None:
    terminal, file = FakeTerminal(), io.StringIO()
    for stream in (terminal, file):
        complain("cannot \x1b[2J", stream=stream)
    assert terminal.getvalue() == "acprelay: cannot ^[[2J\n"
    assert file.getvalue() == "acprelay: cannot \x1b[2J\n"


def test_a_complaint_that_nobody_can_read_is_no_error() -> None:
    complain("cannot go on", stream=BrokenStream())
