"""The ids of events: what is read from one is what a client has seen with it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acprelay.errors import CursorExpired, InvalidParams
from acprelay.routing.access import LOCAL
from acprelay.routing.attachment import Attachment
from acprelay.routing.event_ids import SessionEventId, parse_connection_event, step_events
from acprelay.routing.log import Position
from acprelay.routing.log_memory import MemoryLog
from acprelay.wire import text_frame

ALL = 1 << 40


def attach(log: MemoryLog) -> Attachment:
    return Attachment(
        id="ann",
        secret="",
        session_id="s:main",
        log=log,
        cursor=0,
        principal=LOCAL.id,
        grants=LOCAL.grants,
    )


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(generation="g", history_bytes=ALL)


def hear(attachment: Attachment, *, limit: int = ALL, most: int = 1 << 30) -> list[tuple[str, str]]:
    heard: list[tuple[str, str]] = []
    while len(heard) < most and (step := attachment.step(limit)) is not None:
        stream = step_events(attachment, step).decode()
        heard += re.findall(r"^id: (.+)\ndata: (.*)\n\n", stream, re.MULTILINE)
    return heard


@pytest.mark.requirement("http.event-ids-are-positions")
def test_an_id_says_generation_number_and_place_in_the_lane(log: MemoryLog) -> None:
    ann = attach(log)
    log.append(text_frame(b"1") + text_frame(b"2"), 2)
    ann.push(b'"reply"', reply_to=b"7")
    log.append(text_frame(b"3"), 1)
    ann.push(b'"note"')
    ids = ["g:1.0", "g:2.0", "g:2.1", "g:3.1", "g:3.2"]
    assert hear(ann) == list(zip(ids, ["1", "2", '"reply"', "3", '"note"'], strict=True))


@given(st.text(alphabet="abc_-", min_size=1), st.integers(0, 10**17), st.integers(0, 10**17))
def test_ids_are_read_as_they_were_written(generation: str, seq: int, given_: int) -> None:
    event_id = SessionEventId(Position(generation[:64], seq), given_)
    assert SessionEventId.parse(str(event_id)) == event_id


@pytest.mark.parametrize("text", ["", "7", "g:1", "g:1.", "g.1", ".1", "g:x.1", "g:1.x", "g:1.1 "])
def test_what_is_no_id_of_a_session_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams):
        SessionEventId.parse(text)


def test_a_place_has_the_id_of_the_event_that_leads_there(log: MemoryLog) -> None:
    ann = attach(log)
    assert str(SessionEventId.of(ann)) == "g:0.0"
    log.append(text_frame(b"1"), 1)
    ann.push(b"2")
    ids = [event_id for event_id, _ in hear(ann)]
    assert ids == ["g:1.0", "g:1.1"]
    assert str(SessionEventId.of(ann)) == ids[-1]


def test_ids_of_a_connection_are_numbers() -> None:
    assert parse_connection_event("42") == 42
    for text in ("", "-1", "g:1.1", "1" * 19, "٣"):
        with pytest.raises(InvalidParams):
            parse_connection_event(text)


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["log", "own", "note", "reply", "ask", "move"]),
        st.integers(1, 5),
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=60,
)


@given(STEPS)
@example(["log", "own", 1, "move", 5, 0.4])
def test_whatever_was_seen_before_a_stream_broke_the_rest_follows_exactly(
    script: list[str | int | float],
) -> None:
    log = MemoryLog(generation="g", history_bytes=ALL)
    ann, twin = attach(log), attach(log)
    seen: list[tuple[str, str]] = []
    for number, step in enumerate(script):
        text = b"%d" % number
        if isinstance(step, int):
            seen += hear(ann, limit=1, most=step)
        elif isinstance(step, float):
            del seen[int(step * len(seen)) :]
            last = (
                SessionEventId.parse(seen[-1][0]) if seen else SessionEventId(Position("g", 0), 0)
            )
            ann.return_to(log.locate(last.position), last.given)
        elif step in ("log", "own"):
            if step == "own":
                for each in (ann, twin):
                    each.skip(log.head + 1)
            log.append(text_frame(text), 1)
        else:
            for each in (ann, twin):
                _add(each, step, text)
    # The twin's stream never broke.
    assert seen + hear(ann) == hear(twin)


def _add(attachment: Attachment, step: str, text: bytes) -> None:
    if step == "note":
        attachment.push(text)
    elif step == "reply":
        attachment.push(text, reply_to=text)
    elif step == "ask":
        attachment.push_ask(text, text)
    else:
        attachment.rewind(0)


def test_an_ask_that_is_given_again_may_be_known(log: MemoryLog) -> None:
    ann = attach(log)
    ann.push_ask(b"1", b'"ask"')
    hear(ann)
    ann.return_to(0, 0)
    assert ann.retract(b"1") is True
    assert hear(ann) == []


def test_nobody_returns_to_what_was_not_given(log: MemoryLog) -> None:
    ann = attach(log)
    ann.push(b"1")
    with pytest.raises(InvalidParams):
        ann.return_to(0, 1)


def test_nobody_returns_to_what_is_no_longer_remembered(log: MemoryLog) -> None:
    ann = attach(log)
    for _ in range(300):
        ann.push(b"1")
    hear(ann)
    with pytest.raises(CursorExpired):
        ann.return_to(0, 43)
    ann.return_to(0, 44)
    assert len(hear(ann)) == 256


def test_who_returns_sees_the_log_again() -> None:
    small = MemoryLog(generation="g", history_bytes=1)
    ann = attach(small)
    for _ in range(3):
        small.append(text_frame(b"1"), 1)
    [(event_id, _notice)] = hear(ann)
    assert (event_id, ann.is_blind) == ("g:0.0", True)
    ann.return_to(small.head, 0)
    small.append(text_frame(b"2"), 1)
    assert hear(ann) == [("g:4.0", "2")]


class SplitLog(MemoryLog):
    """A log of two generations: the first three entries are of the older one."""

    def position(self, place: int) -> Position:
        return Position("old" if place <= 3 else "new", place)


def test_a_run_over_the_end_of_a_generation_names_both() -> None:
    log = SplitLog(generation="new", history_bytes=ALL)
    log.append(b"".join(text_frame(b"%d" % n) for n in range(1, 6)), 5)
    ids = ["old:1.0", "old:2.0", "old:3.0", "new:4.0", "new:5.0"]
    assert [event_id for event_id, _ in hear(attach(log))] == ids


def test_the_entry_that_is_due_is_told_before_it_is_given(log: MemoryLog) -> None:
    ann = attach(log)
    assert ann.due_entry() is None
    log.append(text_frame(b"1"), 1)
    ann.push(b'"note"')
    assert ann.due_entry() is None
    ann.skip(1)
    entry = ann.due_entry()
    assert entry is not None
    assert entry.frame == text_frame(b'"note"')
    hear(ann)
    log.append(text_frame(b"2"), 1)
    ann.push(b'"late"')
    assert ann.due_entry() is None
    ann.is_blind = True
    assert ann.due_entry() is not None
