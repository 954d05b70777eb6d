from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import LocalProtocolError
from acprelay.wire import frames_size, skip, text_frame, text_header, walk

PAYLOADS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([125, 126, 127, 65_535, 65_536]).map(lambda size: b"x" * size),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_header_has_the_shortest_form_of_the_length(length: int, header: bytes) -> None:
    assert text_header(length) == header


@given(PAYLOADS)
def test_walking_a_run_of_frames_gives_back_the_payloads(payloads: list[bytes]) -> None:
    frames = [text_frame(payload) for payload in payloads]
    blob = b"".join(frames)
    walked = list(walk(blob))
    assert [blob[start:end] for start, _, end in walked] == frames
    assert [blob[payload:end] for _, payload, end in walked] == payloads


@given(PAYLOADS, st.data())
def test_skipping_finds_the_nth_frame(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [text_frame(payload) for payload in payloads]
    blob = b"".join(frames)
    first = data.draw(st.integers(0, len(frames)))
    count = data.draw(st.integers(0, len(frames) - first))
    offset = len(b"".join(frames[:first]))
    assert skip(blob, offset, count) == len(b"".join(frames[: first + count]))
    assert frames_size(blob, first) == offset


@pytest.mark.parametrize(
    "blob",
    [
        b"\x81",
        b"\x81\x05abc",
        b"\x81\x7e\x00",
        b"\x81\x7f\x00\x00\x00",
        b"\x82\x01a",
        b"\x01\x01a",
        b"\x81\x80" + b"mask" + b"m" * 124,
    ],
    ids=["header", "payload", "medium", "long", "binary", "fragment", "masked"],
)
def test_what_is_no_run_of_whole_text_frames_is_refused(blob: bytes) -> None:
    good = text_frame(b"good")
    with pytest.raises(LocalProtocolError):
        list(walk(good + blob))
    with pytest.raises(LocalProtocolError):
        skip(good + blob, 0, 2)


def test_skipping_past_the_end_is_refused() -> None:
    blob = text_frame(b"one")
    with pytest.raises(LocalProtocolError):
        frames_size(blob, 2)
