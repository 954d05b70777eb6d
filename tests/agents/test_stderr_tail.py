"""The bounded tail of an agent's stderr."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acprelay.agents.stderr_tail import StderrTail


def test_the_last_lines_are_given_without_the_last_newline() -> None:
    tail = StderrTail(limit=100)
    tail.append(b"one\ntwo\n")
    tail.append(b"three\nfour\n")
    assert tail.text(lines=2) == "three\nfour"
    assert tail.text(lines=9) == "one\ntwo\nthree\nfour"


def test_nothing_written_is_no_text() -> None:
    assert StderrTail(limit=100).text(lines=5) == ""


def test_what_is_no_utf8_becomes_replacement_characters() -> None:
    tail = StderrTail(limit=5)
    tail.append("caf\xe9 \xe9".encode())
    tail.append(b"\xff")
    assert tail.text(lines=1) == "\ufffd \xe9\ufffd"


@given(chunks=st.lists(st.binary()), limit=st.integers(min_value=0, max_value=64))
def test_exactly_the_last_bytes_are_kept(chunks: list[bytes], limit: int) -> None:
    tail = StderrTail(limit=limit)
    for chunk in chunks:
        tail.append(chunk)
    whole = b"".join(chunks)
    kept = whole[max(0, len(whole) - limit) :]
    assert tail.text(lines=10_000) == "\n".join(kept.decode(errors="replace").splitlines())
