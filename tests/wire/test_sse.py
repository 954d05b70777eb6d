"""Server-sent events: what a reader makes of them is what was to be said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import LocalProtocolError
from acprelay.wire import text_frame
from acprelay.wire.sse import KEEP_ALIVE, bare_id, event, events, messages

JSON_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
SPACE = st.sampled_from(["", " ", "\n", "\r", "\r\n", "\t", "\n\r\n", "\r\r"])


def read(stream: bytes) -> list[tuple[str, str]]:
    """Reads events as the standard says: lines end at CR, LF or both."""
    found = []
    event_id = ""
    data: list[str] = []
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        if not line:
            if data:
                found.append((event_id, "\n".join(data)))
            data = []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            event_id = value
        elif name == "data":
            data.append(value)
    return found


def spaced(value: object, space: str) -> bytes:
    """Writes JSON with some space around each of its commas and colons."""
    separators = (f",{space}", f":{space}")
    return (space + json.dumps(value, ensure_ascii=False, separators=separators)).encode()


@given(st.lists(st.tuples(JSON_TEXT, SPACE), max_size=8), st.integers(0, 10**18))
def test_a_run_of_frames_is_read_as_its_messages_under_their_numbers(
    values: list[tuple[object, str]], first: int
) -> None:
    texts = [spaced(value, space) for value, space in values]
    stream = events(b"".join(map(text_frame, texts)), before=b"g:", first=first, after=b".7")
    heard = read(stream)
    assert [event_id for event_id, _ in heard] == [f"g:{first + n}.7" for n in range(len(texts))]
    assert [json.loads(text) for _, text in heard] == [value for value, _ in values]


@given(st.lists(st.binary(max_size=300).filter(lambda text: not {10, 13} & {*text})))
def test_messages_without_a_line_break_are_written_byte_for_byte(texts: list[bytes]) -> None:
    stream = events(b"".join(map(text_frame, texts)), before=b"", first=1, after=b"")
    assert stream == b"".join(b"id: %d\ndata: %b\n\n" % item for item in enumerate(texts, 1))
    assert stream == b"".join(event(b"%d" % n, text) for n, text in enumerate(texts, 1))


@pytest.mark.parametrize("length", [10, 13, 10 * 256 + 13, 266, 0x0A0D0A])
def test_the_length_of_a_frame_is_no_line_break(length: int) -> None:
    text = b"1" * length
    assert events(text_frame(text), before=b"", first=1, after=b"") == event(b"1", text)


@given(st.lists(st.binary(max_size=300)))
def test_a_run_of_frames_has_its_messages(texts: list[bytes]) -> None:
    assert messages(b"".join(map(text_frame, texts))) == texts


def test_what_is_no_run_of_frames_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        events(b"{}", before=b"", first=1, after=b"")


def test_a_reader_is_told_nothing_by_a_comment() -> None:
    assert read(event(b"1", b"{}") + KEEP_ALIVE + event(b"2", b"[]")) == [("1", "{}"), ("2", "[]")]


def test_an_id_without_an_event_gives_a_reader_nothing_but_a_place() -> None:
    assert read(bare_id(b"g:7.2")) == []
    assert read(bare_id(b"g:7.2") + b"data: 1\n\n") == [("g:7.2", "1")]
