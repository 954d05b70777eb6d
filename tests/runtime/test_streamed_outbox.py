"""A client's streams over HTTP: what goes where, what waits, and for whom; no socket is there."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from acprelay.errors import CursorExpired, LimitReached, Unavailable
from acprelay.routing.access import LOCAL
from acprelay.routing.attachment import Attachment
from acprelay.routing.log_memory import MemoryLog
from acprelay.runtime.event_stream import EventStream
from acprelay.runtime.measurements import Measures, Traffic
from acprelay.runtime.streamed_outbox import StreamedOutbox
from acprelay.wire import text_frame

SESSION = "s:main"
GREETING = b'{"jsonrpc":"2.0","id":1,"result":{}}'
MEASURES = Measures(traffic=Traffic(), delivered=lambda _lag_s: None)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(generation="g", history_bytes=1 << 30)


@pytest.fixture
def outbox() -> StreamedOutbox:
    """One whose client is greeted."""
    outbox = StreamedOutbox(most_streams=10, measures=MEASURES)
    outbox.say(GREETING)
    return outbox


def attach(log: MemoryLog) -> Attachment:
    return Attachment(
        id="ann",
        secret="",
        session_id=SESSION,
        log=log,
        cursor=0,
        principal=LOCAL.id,
        grants=LOCAL.grants,
    )


def say(log: MemoryLog, *words: str) -> None:
    for word in words:
        log.append(text_frame(json.dumps(word).encode()), 1)


def hear(stream: EventStream, *, drains: bool = True) -> list[object]:
    """Takes all that is due, as a writer does whose peer reads at once, or not at all."""
    heard: list[object] = []
    while True:
        data = stream.take()
        heard += [json.loads(text) for text in re.findall(rb"^data: (.*)$", data, re.MULTILINE)]
        if drains and stream.needs_draining:
            stream.drained()
        elif not data:
            return heard


async def test_the_first_answer_is_the_greeting(outbox: StreamedOutbox) -> None:
    assert await outbox.greeting() == GREETING
    outbox.say(b'"more"')
    assert hear(outbox.open(None, last_event_id=None)) == ["more"]


async def test_what_is_told_to_everybody_before_the_greeting_waits_for_the_stream() -> None:
    outbox = StreamedOutbox(most_streams=1, measures=MEASURES)
    notice = b'{"jsonrpc":"2.0","method":"_acprelay/notice","params":{}}'
    outbox.say(notice)
    outbox.say(GREETING)
    assert await outbox.greeting() == GREETING
    assert hear(outbox.open(None, last_event_id=None)) == [json.loads(notice)]


async def test_who_waits_for_a_greeting_that_never_comes_is_told() -> None:
    outbox = StreamedOutbox(most_streams=1, measures=MEASURES)
    outbox.close()
    with pytest.raises(Unavailable):
        await outbox.greeting()


async def test_nothing_is_taken_while_its_stream_is_not_there(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    connection = outbox.open(None, last_event_id=None)
    outbox.add(ann, is_told=True)
    say(log, "1", "2")
    outbox.flush()
    assert hear(connection) == []
    assert ann.cursor == 0
    assert hear(outbox.open(SESSION, last_event_id=None)) == ["1", "2"]


async def test_the_answer_that_opens_a_session_comes_before_all_of_it(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    ann.lead(b'"opened"')
    say(log, "1")
    stream = outbox.open(SESSION, last_event_id=None)
    outbox.add(ann, is_told=True)
    outbox.flush()
    assert hear(stream) == []
    assert hear(outbox.open(None, last_event_id=None)) == ["opened"]
    assert hear(stream) == ["1"]


async def test_the_answer_to_a_load_waits_until_its_stream_is_drained(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    say(log, "1", "2")
    ann.push(b'"loaded"', reply_to=b"7")
    connection, stream = (outbox.open(each, last_event_id=None) for each in (None, SESSION))
    outbox.add(ann, request_id=b"7")
    say(log, "3")
    outbox.flush()
    assert hear(stream, drains=False) == ["1", "2"]
    assert hear(connection) == []
    stream.drained()
    assert hear(stream) == []
    assert hear(connection) == ["loaded"]
    assert hear(stream) == ["3"]


async def test_a_stream_that_breaks_before_it_is_drained_is_replayed_and_then_answered(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    say(log, "1", "2")
    ann.push(b'"loaded"', reply_to=b"7")
    connection, stream = (outbox.open(each, last_event_id=None) for each in (None, SESSION))
    outbox.add(ann, request_id=b"7")
    outbox.flush()
    assert hear(stream, drains=False) == ["1", "2"]
    outbox.leave(stream)
    again = outbox.open(SESSION, last_event_id="g:1.0")
    assert hear(again) == ["2"]
    assert hear(connection)[-1] == "loaded"


async def test_a_stream_that_ends_is_told_of_once_something_is_due(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    connection, stream = (outbox.open(each, last_event_id=None) for each in (None, SESSION))
    outbox.add(ann, is_told=True)
    outbox.leave(stream)
    outbox.leave(stream)
    assert hear(connection) == []
    for word in ("1", "2"):
        say(log, word)
        outbox.flush()
    [told] = hear(connection)
    assert isinstance(told, dict)
    assert (told["method"], told["params"]["sessionId"]) == ("_acprelay/attached", SESSION)
    assert hear(outbox.open(SESSION, last_event_id=None)) == ["1", "2"]


@pytest.mark.requirement("http.load-waits-for-its-stream")
async def test_a_stream_that_comes_within_a_second_has_the_whole_replay(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    say(log, "1")
    ann.push(b'"loaded"', reply_to=b"7")
    connection = outbox.open(None, last_event_id=None)
    outbox.add(ann, request_id=b"7")
    outbox.flush()
    assert len(hear(connection)) == 1
    stream = outbox.open(SESSION, last_event_id=None)
    assert hear(stream) == ["1"]
    assert hear(connection) == ["loaded"]


async def test_what_an_attachment_says_last_is_given_before_it_is_let_go(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann, gone = attach(log), asyncio.Event()
    outbox.add(ann, is_told=True)
    ann.push(b'"closed"')
    outbox.retire(ann, then=gone.set)
    later = attach(log)
    later.push(b'"later"')
    outbox.add(later, is_told=True)
    stream = outbox.open(SESSION, last_event_id=None)
    assert not gone.is_set()
    assert hear(stream) == ["closed", "later"]
    assert gone.is_set()


async def test_who_retires_is_told_when_all_is_closed_and_when_nothing_is_left_to_say(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    told = []
    outbox.retire(attach(log), then=lambda: told.append("a stranger"))
    quiet = attach(log)
    outbox.add(quiet)
    outbox.retire(quiet, then=lambda: told.append("quiet"))
    assert told == ["a stranger", "quiet"]
    ann = attach(log)
    outbox.add(ann)
    ann.push(b'"closed"')
    outbox.retire(ann, then=lambda: told.append("ann"))
    outbox.close()
    outbox.close()
    assert told == ["a stranger", "quiet", "ann"]


async def test_an_attachment_that_another_connection_has_is_given_nothing_more(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    outbox.add(ann)
    outbox.add(ann)
    outbox.remove(ann)
    outbox.remove(ann)
    say(log, "1")
    outbox.flush()
    assert hear(outbox.open(SESSION, last_event_id=None)) == []


async def test_an_error_about_a_session_comes_over_its_stream_in_order(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    say(log, "1")
    outbox.add(ann, is_told=True)
    stream = outbox.open(SESSION, last_event_id=None)
    assert hear(stream) == ["1"]
    outbox.say(b'"refused"', session_id=SESSION)
    assert hear(stream) == ["refused"]


async def test_a_closed_outbox_ends_its_streams_and_says_nothing(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    stream = outbox.open(None, last_event_id=None)
    outbox.say(b'"lost"')
    outbox.close()
    outbox.say(b'"lost, too"')
    assert stream.is_over
    assert hear(stream) == []
    assert outbox.lane_bytes == 0
    assert outbox.open(None, last_event_id=None).is_over
    del log


async def test_a_position_that_was_forgotten_is_told_and_the_stream_stays(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    outbox.add(attach(log), is_told=True)
    stream = outbox.open(SESSION, last_event_id=None)
    with pytest.raises(CursorExpired):
        outbox.open(SESSION, last_event_id="other:1.0")
    assert not stream.is_over


@pytest.mark.requirement("http.streams-begin-with-their-place")
async def test_who_is_cut_off_before_the_first_event_returns_to_the_beginning(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    connection = outbox.open(None, last_event_id=None)
    early = outbox.open(SESSION, last_event_id=None)
    assert (connection.begin, early.begin) == (b"id: 0\n\n", b"id: 0\n\n")
    outbox.say(b'"listed"')
    outbox.add(ann, is_told=True)
    say(log, "1", "2")
    assert (hear(connection), hear(early)) == (["listed"], ["1", "2"])
    assert hear(outbox.open(None, last_event_id="0")) == ["listed"]
    assert hear(outbox.open(SESSION, last_event_id="0")) == ["1", "2"]


async def test_each_stream_begins_with_the_place_that_it_goes_on_from(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    outbox.add(ann, is_told=True)
    say(log, "1")
    ann.push(b'"for ann"')
    hear(outbox.open(SESSION, last_event_id=None))
    outbox.say(b'"listed"')
    hear(outbox.open(None, last_event_id=None))
    connection = outbox.open(None, last_event_id=None)
    stream = outbox.open(SESSION, last_event_id=None)
    assert (connection.begin, stream.begin) == (b"id: 1\n\n", b"id: g:1.1\n\n")
    say(log, "2")
    outbox.say(b'"more"')
    assert (hear(connection), hear(stream)) == (["more"], ["2"])
    assert hear(outbox.open(None, last_event_id="1")) == ["more"]
    assert hear(outbox.open(SESSION, last_event_id="g:1.1")) == ["2"]


async def test_the_beginning_is_behind_what_went_by_the_connections_stream(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    connection = outbox.open(None, last_event_id=None)
    say(log, "1")
    ann.push(b'"loaded"', reply_to=b"1")
    outbox.leave(outbox.open(SESSION, last_event_id=None))
    outbox.add(ann, request_id=b"1", is_told=True)
    async with asyncio.timeout(30):
        while (heard := hear(connection)) == []:
            await connection.wait()
    say(log, "2")
    assert heard == ["1", "loaded"]
    assert hear(outbox.open(SESSION, last_event_id="0")) == ["2"]


async def test_a_load_whose_stream_turns_out_to_be_dead_is_replayed_on_the_connections_stream(
    outbox: StreamedOutbox, log: MemoryLog
) -> None:
    ann = attach(log)
    connection = outbox.open(None, last_event_id=None)
    dead = outbox.open(SESSION, last_event_id=None)
    say(log, "1")
    ann.push(b'"loaded"', reply_to=b"1")
    outbox.add(ann, request_id=b"1")
    outbox.flush()
    outbox.leave(dead)  # its writer found out before it took anything
    [announced] = hear(connection)
    assert "attached" in str(announced)
    async with asyncio.timeout(30):
        while (heard := hear(connection)) == []:
            await connection.wait()
    assert heard == ["1", "loaded"]


async def test_the_beginning_of_a_session_that_nobody_is_in_is_no_error(
    outbox: StreamedOutbox,
) -> None:
    assert hear(outbox.open(SESSION, last_event_id="0")) == []


async def test_streams_are_limited_and_each_has_its_successor() -> None:
    outbox = StreamedOutbox(most_streams=1, measures=MEASURES)
    first = outbox.open(None, last_event_id=None)
    second = outbox.open(None, last_event_id=None)
    assert first.is_over
    with pytest.raises(LimitReached):
        outbox.open(SESSION, last_event_id=None)
    outbox.leave(first)
    outbox.leave(second)
    outbox.open(SESSION, last_event_id=None)
