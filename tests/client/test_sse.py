"""Server-sent events: whole ones, whatever the pieces that they come in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.client import sse
from acprelay.client.sse import EventReader
from acprelay.errors import RemoteProtocolError


def read(*pieces: bytes) -> list[tuple[str, str, str]]:
    reader = EventReader()
    return [(event.id, event.type, event.data) for piece in pieces for event in reader.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("", "message", "a")]),
        (b"data:a\n\n", [("", "message", "a")]),
        (b"data:  a\n\n", [("", "message", " a")]),
        (b"data: a\r\n\r\n", [("", "message", "a")]),
        (b"data: a\r\r", [("", "message", "a")]),
        (b"id: 1\nevent: turn\ndata: a\ndata: b\n\n", [("1", "turn", "a\nb")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [("1", "message", "a"), ("1", "message", "b")]),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [("1", "message", "a"), ("", "message", "b")]),
        (b"id: 1\0\ndata: a\n\n", [("", "message", "a")]),
        (b": a comment\n\nevent: x\n\ndata: a\n\n", [("", "message", "a")]),
        (b"retry: 5\nnobody knows\ndata: a\n\n", [("", "message", "a")]),
        (b"data\n\n", [("", "message", "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "message", "a")]),
        (b"data: \xc3\xa9\xff\n\n", [("", "message", "\u00e9\ufffd")]),
        (b"data: not ended\n", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(
    stream: bytes, events: list[tuple[str, str, str]]
) -> None:
    assert read(stream) == events
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == events


VALUES = st.text(alphabet=st.characters(exclude_characters="\r\n\0", codec="utf-8"))


@given(
    events=st.lists(st.tuples(VALUES, VALUES, st.lists(VALUES, min_size=1, max_size=3))),
    ending=st.sampled_from(["\n", "\r", "\r\n"]),
    cuts=st.lists(st.integers(0, 400)),
)
def test_what_is_written_is_read_in_whatever_pieces_it_comes(
    events: list[tuple[str, str, list[str]]], ending: str, cuts: list[int]
) -> None:
    lines: list[str] = []
    for name, kind, data in events:
        lines += [f"id: {name}", f"event: {kind}", *(f"data: {each}" for each in data), ""]
    stream = "".join(line + ending for line in lines).encode()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    expected = [(name, kind or "message", "\n".join(data)) for name, kind, data in events]
    assert read(*pieces) == expected


def test_an_event_that_never_ends_is_not_read_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_CHARACTERS", 100)
    reader = EventReader()
    for _ in range(10):
        assert list(reader.feed(b"x" * 10)) == []
    with pytest.raises(RemoteProtocolError, match="more than 100 characters"):
        list(reader.feed(b"x"))
