"""An attachment: a cursor and a lane, and the one order of both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.attachment import Attachment
from acprelay.routing.log import PublicLog
from acprelay.wire import text_frame

ALL = 1 << 40
"""A limit that no test reaches."""


@pytest.fixture
def log() -> PublicLog:
    return PublicLog(generation="g", history_bytes=ALL)


@pytest.fixture
def held(log: PublicLog) -> Attachment:
    return Attachment(id="ann", log=log, cursor=0)


@pytest.fixture
def attachment(held: Attachment) -> Attachment:
    """An attachment that has had the reply that admits it."""
    held.admit(b"opened")
    held.take(ALL)
    return held


def test_nothing_is_given_before_the_client_is_admitted(log: PublicLog, held: Attachment) -> None:
    log.append(b"update", 1)
    held.push(b"ask")
    assert not held.has_pending
    assert held.take(ALL) == []
    assert held.cursor == 0


def test_what_a_held_client_waits_for_counts_as_unread(log: PublicLog, held: Attachment) -> None:
    log.append(b"update", 1)
    held.push(b"ask")
    assert held.unread_bytes == len(b"update" + text_frame(b"ask"))


def test_the_admitting_reply_goes_before_everything(log: PublicLog, held: Attachment) -> None:
    held.push(b"early ask")
    log.append(b"update", 1)
    held.push(b"late ask")
    held.admit(b"opened")
    assert held.has_pending
    assert held.take(ALL) == [
        text_frame(b"opened"),
        text_frame(b"early ask"),
        b"update",
        text_frame(b"late ask"),
    ]


def test_a_client_that_is_admitted_at_a_later_position_begins_there(log: PublicLog) -> None:
    log.append(b"old", 1)
    attachment = Attachment(id="ann", log=log, cursor=log.head)
    log.append(b"new", 1)
    attachment.admit(b"opened")
    assert attachment.take(ALL) == [text_frame(b"opened"), b"new"]


def test_a_message_follows_what_the_log_held(log: PublicLog, attachment: Attachment) -> None:
    log.append(b"one", 1)
    log.append(b"two", 1)
    attachment.push(b"reply")
    log.append(b"three", 1)
    assert attachment.take(ALL) == [b"one", b"two", text_frame(b"reply"), b"three"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8])
def test_a_message_never_goes_before_what_the_log_held_however_little_is_taken(
    log: PublicLog, attachment: Attachment, limit: int
) -> None:
    log.append(b"one", 1)
    log.append(b"two", 1)
    attachment.push(b"r")
    taken: list[bytes] = []
    while attachment.has_pending:
        taken += attachment.take(limit)
    assert taken == [b"one", b"two", text_frame(b"r")]


def test_messages_keep_their_order(attachment: Attachment) -> None:
    for message in (b"a", b"b", b"c"):
        attachment.push(message)
    assert attachment.take(ALL) == [text_frame(b"a"), text_frame(b"b"), text_frame(b"c")]


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (3, 1), (4, 2), (9, 3), (10, 4)])
def test_taking_stops_once_the_limit_is_reached(
    log: PublicLog, attachment: Attachment, limit: int, count: int
) -> None:
    log.append(b"one", 1)
    attachment.push(b"a")  # three bytes with its header
    log.append(b"two", 1)
    attachment.push(b"b")
    assert attachment.take(limit) == [b"one", text_frame(b"a"), b"two", text_frame(b"b")][:count]


def test_what_was_taken_is_not_given_again(log: PublicLog, attachment: Attachment) -> None:
    log.append(b"one", 1)
    attachment.push(b"a")
    attachment.take(ALL)
    assert not attachment.has_pending
    assert attachment.take(ALL) == []
    assert attachment.unread_bytes == 0


def test_entries_hidden_from_this_client_are_passed_over(
    log: PublicLog, attachment: Attachment
) -> None:
    log.append(b"secret", 1, hidden_from="ann")
    attachment.push(b"a")
    log.append(b"secret", 1, hidden_from="ann")
    assert attachment.take(ALL) == [text_frame(b"a")]
    assert attachment.cursor == log.head
    assert not attachment.has_pending


def test_entries_hidden_from_another_client_are_given(
    log: PublicLog, attachment: Attachment
) -> None:
    log.append(b"secret", 1, hidden_from="bob")
    assert attachment.take(ALL) == [b"secret"]


def test_unread_bytes_are_those_of_the_log_and_of_the_lane(
    log: PublicLog, attachment: Attachment
) -> None:
    log.append(b"one", 1)
    attachment.push(b"a" * 200)
    assert attachment.unread_bytes == 3 + len(text_frame(b"a" * 200))
    attachment.take(1)
    assert attachment.unread_bytes == len(text_frame(b"a" * 200))
    attachment.take(1)
    assert attachment.unread_bytes == 0


Appended = tuple[bytes, str | None]
"""A run of the log, and whom it is hidden from."""

steps = st.lists(
    st.one_of(
        st.tuples(st.binary(min_size=1, max_size=9), st.sampled_from([None, "ann", "bob"])),
        st.binary(max_size=9).map(text_frame),
        st.integers(0, 30),
    ),
    max_size=40,
)


@given(
    before=steps,
    after=steps,
    limits=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    history_bytes=st.integers(0, 40),
)
def test_a_client_gets_everything_once_in_the_order_in_which_it_was_said(
    before: list[Appended | bytes | int],
    after: list[Appended | bytes | int],
    limits: list[int],
    history_bytes: int,
) -> None:
    """A step is a run for the log, a message for this client, or a limit to take with."""
    log = PublicLog(generation="g", history_bytes=history_bytes)
    attachment = Attachment(id="ann", log=log, cursor=0)
    due = [text_frame(b"opened")]
    given_out: list[bytes] = []

    def take(limit: int) -> None:
        unread = attachment.unread_bytes
        blobs = attachment.take(limit)
        assert sum(map(len, blobs[:-1])) < max(limit, 1)
        assert attachment.unread_bytes <= unread - sum(map(len, blobs))
        given_out.extend(blobs)

    def play(step: Appended | bytes | int) -> None:
        match step:
            case int():
                take(step)
            case bytes():
                attachment.push(step[2:])
                due.append(step)
            case blob, hidden_from:
                log.append(blob, 1, hidden_from=hidden_from)
                due.extend([] if hidden_from == "ann" else [blob])
        log.trim(attachment.cursor)

    for step in before:
        play(step)
    assert given_out == []
    attachment.admit(b"opened")
    for step in after:
        play(step)
    turn = 0
    while attachment.has_pending:
        take(limits[turn % len(limits)])
        turn += 1
    assert given_out == due
    assert attachment.unread_bytes == 0
