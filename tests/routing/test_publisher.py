"""The publisher: what is gathered, and what closes a batch."""

from __future__ import annotations

import pytest

from acprelay.routing.attachment import Attachment
from acprelay.routing.log import PublicLog
from acprelay.routing.publisher import Publisher
from acprelay.wire import peek, text_frame

UPDATE = b'{"method":"session/update","params":{"sessionId":"own","update":%b}}'
SEEN = (
    b'{"method":"session/update","params":{"sessionId":"s:main","update":%b,'
    b'"_meta":{"acprelay":{"generation":"g","seq":%d}}}}'
)


@pytest.fixture
def log() -> PublicLog:
    return PublicLog(generation="g", history_bytes=0)


@pytest.fixture
def publisher(log: PublicLog) -> Publisher:
    return Publisher(public_id="s:main", log=log)


def attach(publisher: Publisher, name: str) -> Attachment:
    attachment = Attachment(id=name, log=publisher.log, cursor=publisher.log.head)
    attachment.admit(b"")
    attachment.take(1)
    publisher.attachments[name] = attachment
    return attachment


def publish(publisher: Publisher, value: bytes) -> None:
    publisher.publish(peek(UPDATE % value), own_session_id="own")


def test_a_batch_becomes_one_run_of_the_log(publisher: Publisher, log: PublicLog) -> None:
    ann = attach(publisher, "ann")
    publish(publisher, b"1")
    assert publisher.publish_lines([UPDATE % b"2", UPDATE % b"3", b"noise"], 0) == 2
    assert log.head == 0
    publisher.flush()
    assert log.head == 3
    assert ann.take(1) == [b"".join(text_frame(SEEN % (b"%d" % n, n)) for n in (1, 2, 3))]


def test_lines_of_no_known_shape_are_left_alone(publisher: Publisher, log: PublicLog) -> None:
    assert publisher.publish_lines([UPDATE % b"1"], 0) == 0
    publisher.flush()
    assert log.head == 0


def test_a_message_for_one_client_closes_the_batch_before_it(publisher: Publisher) -> None:
    ann, bob = attach(publisher, "ann"), attach(publisher, "bob")
    publish(publisher, b"1")
    publisher.push("ann", b"reply")
    publish(publisher, b"2")
    publisher.flush()
    one, two = (text_frame(SEEN % (b"%d" % n, n)) for n in (1, 2))
    assert ann.take(1 << 40) == [one, text_frame(b"reply"), two]
    assert bob.take(1 << 40) == [one, two]


def test_a_message_for_a_client_that_has_left_goes_nowhere(
    publisher: Publisher, log: PublicLog
) -> None:
    publish(publisher, b"1")
    publisher.push("ann", b"reply")
    assert log.head == 1
    assert publisher.unread_bytes == 0


def test_the_slowest_client_decides_how_much_is_unread_and_what_is_kept(
    publisher: Publisher, log: PublicLog
) -> None:
    ann, bob = attach(publisher, "ann"), attach(publisher, "bob")
    for value in (b"1", b"2", b"3"):
        publish(publisher, value)
        publisher.flush()
    size = log.retained_bytes // 3
    ann.take(1 << 40)
    for had, start in ((0, 0), (1, 1), (2, 2)):
        assert publisher.unread_bytes == (3 - had) * size
        publisher.trim()
        assert log.start == start
        bob.take(1)
    assert publisher.unread_bytes == 0


def test_with_nobody_there_only_the_budget_decides_what_is_kept(
    publisher: Publisher, log: PublicLog
) -> None:
    for value in (b"1", b"2"):
        publish(publisher, value)
        publisher.flush()
    publisher.trim()
    assert (log.start, publisher.unread_bytes) == (2, 0)
