"""A log as entries that anybody can read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import CursorExpired, InvalidParams
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.transcripts import Entry, read_transcript
from acprelay.wire import text_frame


def log_of(*batches: list[bytes], history_bytes: int = 1 << 20) -> MemoryLog:
    log = MemoryLog(generation="g", history_bytes=history_bytes)
    for batch in batches:
        log.append(b"".join(map(text_frame, batch)), len(batch))
    return log


def read_all(log: MemoryLog, *, most: int, most_bytes: int) -> list[Entry]:
    entries: list[Entry] = []
    after: str | None = None
    while True:
        read = read_transcript(log, after, most=most, most_bytes=most_bytes)
        assert len(read.entries) <= most
        entries += read.entries
        after = str(read.position)
        if read.is_end:
            return entries


messages = st.binary(max_size=200)


@pytest.mark.requirement("api.transcripts-are-complete")
@given(
    batches=st.lists(st.lists(messages, min_size=1, max_size=5), max_size=8),
    most=st.integers(1, 10),
    most_bytes=st.integers(1, 500),
)
def test_pages_together_are_the_log(batches: list[list[bytes]], most: int, most_bytes: int) -> None:
    entries = read_all(log_of(*batches), most=most, most_bytes=most_bytes)

    assert [entry.message for entry in entries] == [each for batch in batches for each in batch]
    assert [str(entry.position) for entry in entries] == [
        f"g:{number}" for number in range(1, len(entries) + 1)
    ]


@pytest.mark.requirement("api.transcripts-are-complete")
@pytest.mark.parametrize("after", [None, "g:0", "other:1", "g:99"])
def test_what_the_log_does_not_reach_is_an_error_that_names_its_start(after: str | None) -> None:
    log = log_of([b"x" * 100], [b"y" * 100], history_bytes=100)

    with pytest.raises(CursorExpired) as caught:
        read_transcript(log, after, most=10, most_bytes=1000)

    assert caught.value.fields == {"oldest": "g:1"}


def test_what_is_no_position_is_refused() -> None:
    with pytest.raises(InvalidParams):
        read_transcript(log_of([b"x"]), "start", most=1, most_bytes=1)
