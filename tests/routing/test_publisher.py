"""The publisher: what is gathered, what closes a batch, and what stamps say."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from acprelay.errors import FrameTooLarge
from acprelay.routing.access import LOCAL
from acprelay.routing.attachment import Attachment
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.publisher import Publisher
from acprelay.wire import peek, text_frame, walk

ALL = 1 << 40
"""A limit that no test reaches."""

UPDATE = (
    b'{"method":"session/update","params":{"sessionId":"own",'
    b'"update":{"sessionUpdate":"agent_message_chunk","n":%d}}}'
)
STAMPED = (
    b'{"method":"session/update","params":{"sessionId":"s:main",'
    b'"update":{"sessionUpdate":"agent_message_chunk","n":%d},'
    b'"_meta":{"acprelay":{"generation":"g","seq":%d%b}}}}'
)
OUT = b',"outOfTurn":true'


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(generation="g", history_bytes=ALL, first=100)


@pytest.fixture
def publisher(log: MemoryLog) -> Publisher:
    """A turn runs."""
    publisher = Publisher(public_id="s:main", log=log)
    publisher.open_turn()
    return publisher


def attach(publisher: Publisher, name: str) -> Attachment:
    log = publisher.log
    attachment = Attachment(
        id=name,
        secret="",
        session_id="s:main",
        log=log,
        cursor=log.head,
        principal=LOCAL.id,
        grants=LOCAL.grants,
    )
    publisher.attachments[name] = attachment
    return attachment


def publish(publisher: Publisher, n: int) -> None:
    publisher.publish(peek(UPDATE % n), own_session_id="own")


def hear(attachment: Attachment) -> list[bytes]:
    blob = b"".join(attachment.take(ALL))
    return [blob[start:stop] for _, start, stop in walk(blob)]


def seen(n: int, seq: int) -> bytes:
    return STAMPED % (n, seq, b"")


def test_a_batch_is_appended_at_once(publisher: Publisher, log: MemoryLog) -> None:
    ann = attach(publisher, "ann")
    publish(publisher, 1)
    assert publisher.publish_lines([UPDATE % 2 + b"\n", UPDATE % 3 + b"\n", b"noise\n"], 0) == (
        2,
        [],
    )
    assert log.head == 100
    publisher.flush()
    assert log.head == 103
    assert ann.take(1) == [b"".join(text_frame(seen(n, 100 + n)) for n in (1, 2, 3))]


def test_nothing_is_appended_where_nothing_was_gathered(
    publisher: Publisher, log: MemoryLog
) -> None:
    publisher.flush()
    assert log.head == 100


def test_lines_of_no_known_shape_are_left_alone(publisher: Publisher, log: MemoryLog) -> None:
    assert publisher.publish_lines([UPDATE % 1 + b"\n"], 0) == (0, [])
    publisher.flush()
    assert log.head == 100


@pytest.mark.requirement("order.late-updates-are-marked", "positions.updates-carry-them")
def test_what_comes_between_turns_is_marked_so_on_every_way(publisher: Publisher) -> None:
    ann = attach(publisher, "ann")
    publish(publisher, 1)
    publisher.close_turn()
    assert publisher.publish_lines([UPDATE % 2 + b"\n"], 0) == (0, [])
    publish(publisher, 2)
    assert publisher.publish_lines([UPDATE % 3 + b"\n"], 0) == (1, [])
    publisher.publish_update(b"4")
    publisher.mark("_x", {})
    publisher.open_turn()
    assert publisher.publish_lines([UPDATE % 6 + b"\n"], 0) == (1, [])
    publisher.flush()
    heard = hear(ann)
    assert heard[:3] == [seen(1, 101), STAMPED % (2, 102, OUT), STAMPED % (3, 103, OUT)]
    assert heard[5:] == [seen(6, 106)]
    marks = [json.loads(message)["params"]["_meta"]["acprelay"] for message in heard]
    assert [mark.get("outOfTurn", False) for mark in marks] == [False] + [True] * 4 + [False]


@pytest.mark.requirement("identity.sub-agents-keep-their-id")
def test_a_sub_agents_session_id_is_kept_in_the_stamp(publisher: Publisher) -> None:
    ann = attach(publisher, "ann")
    publisher.publish(peek((UPDATE % 1).replace(b'"own"', b'"sub"')), own_session_id="own")
    assert publisher.publish_lines([UPDATE % 2 + b"\n"], 0) == (0, [])
    publisher.flush()
    assert hear(ann) == [STAMPED % (1, 101, b',"agentSessionId":"sub"')]


def test_a_notification_without_a_session_is_nobody_elses(publisher: Publisher) -> None:
    ann = attach(publisher, "ann")
    publisher.publish(peek(b'{"method":"_x","params":{}}'), own_session_id="own")
    publisher.flush()
    assert hear(ann) == [
        b'{"method":"_x","params":{"_meta":{"acprelay":{"generation":"g","seq":101}}}}'
    ]


def test_a_notice_names_the_session_and_the_error(publisher: Publisher) -> None:
    ann = attach(publisher, "ann")
    publisher.publish_notice(FrameTooLarge(size=2, limit=1))
    publisher.flush()
    [message] = hear(ann)
    notice = json.loads(message)
    assert notice["method"] == "_acprelay/notice"
    assert notice["params"]["code"] == "frame_too_large"
    assert notice["params"]["sessionId"] == "s:main"
    assert notice["params"]["_meta"]["acprelay"] == {"generation": "g", "seq": 101}


class TestOneClient:
    def test_a_message_for_one_closes_the_batch_before_it(self, publisher: Publisher) -> None:
        ann, bob = attach(publisher, "ann"), attach(publisher, "bob")
        publish(publisher, 1)
        publisher.push("ann", b"reply", reply_to=b"7")
        publish(publisher, 2)
        publisher.push_ask("bob", b'"q"', b"ask")
        publish(publisher, 3)
        publisher.flush()
        one, two, three = (seen(n, 100 + n) for n in (1, 2, 3))
        assert hear(ann) == [one, b"reply", two, three]
        assert hear(bob) == [one, two, b"ask", three]
        ann.go_back(101, [])
        assert hear(ann) == [two, three]

    def test_an_absent_client_is_told_what_it_will_read_later(self, publisher: Publisher) -> None:
        ann = attach(publisher, "ann")
        publisher.absent["ann"] = publisher.attachments.pop("ann")
        assert publisher.find("ann") is ann
        publish(publisher, 1)
        publisher.push("ann", b"reply")
        publisher.push_ask("ann", b'"q"', b"ask")
        assert hear(ann) == [seen(1, 101), b"reply", b"ask"]

    def test_who_has_left_is_told_nothing(self, publisher: Publisher, log: MemoryLog) -> None:
        publish(publisher, 1)
        publisher.push("ann", b"reply")
        publisher.push_ask("ann", b'"q"', b"ask")
        assert publisher.find("ann") is None
        assert not publisher.retract_ask("ann", b'"q"')
        assert log.head == 101

    def test_taking_an_ask_back_tells_whether_it_was_given(self, publisher: Publisher) -> None:
        ann, bob = attach(publisher, "ann"), attach(publisher, "bob")
        for name in ("ann", "bob"):
            publisher.push_ask(name, b'"q"', b"ask")
        assert hear(ann) == [b"ask"]
        assert publisher.retract_ask("ann", b'"q"')
        assert not publisher.retract_ask("bob", b'"q"')
        assert hear(bob) == []


class TestOwnWords:
    UPDATE = (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
        b'"update":1,"_meta":{"acprelay":{"generation":"g","seq":%d}}}}'
    )

    @pytest.mark.parametrize("is_absent", [False, True])
    def test_they_are_for_the_others(self, publisher: Publisher, *, is_absent: bool) -> None:
        ann, bob = attach(publisher, "ann"), attach(publisher, "bob")
        if is_absent:
            publisher.absent["ann"] = publisher.attachments.pop("ann")
        publish(publisher, 1)
        publisher.publish_update(b"1", hidden_from="ann")
        publish(publisher, 3)
        publisher.flush()
        assert hear(ann) == [seen(1, 101), seen(3, 103)]
        assert hear(bob) == [seen(1, 101), self.UPDATE % 102, seen(3, 103)]

    @pytest.mark.parametrize("author", [None, "eve"])
    def test_those_of_nobody_here_are_for_everybody(
        self, publisher: Publisher, author: str | None
    ) -> None:
        ann = attach(publisher, "ann")
        publisher.publish_update(b"1", hidden_from=author)
        publisher.flush()
        assert hear(ann) == [self.UPDATE % 101]


@pytest.mark.parametrize(
    "next_thing",
    [
        lambda publisher: publisher.put_off(lambda: None),
        lambda publisher: publisher.publish_lines([b"noise\n"], 0),
        lambda publisher: publish(publisher, 2),
        lambda publisher: publisher.publish_update(b"2"),
        lambda publisher: publisher.mark("_x", {}),
        lambda publisher: publisher.note("_x", {}),
        lambda publisher: publisher.take_told(),
        lambda publisher: publisher.push("ann", b"{}"),
        lambda publisher: publisher.push_ask("ann", b"1", b"{}"),
        lambda publisher: publisher.flush(),
    ],
    ids=["put_off", "lines", "publish", "update", "mark", "note", "told", "push", "ask", "flush"],
)
def test_what_was_put_off_is_published_before_whatever_comes_next(
    publisher: Publisher, next_thing: Callable[[Publisher], object]
) -> None:
    ann = attach(publisher, "ann")
    publisher.put_off(lambda: publish(publisher, 1))
    next_thing(publisher)
    publisher.flush()
    assert hear(ann)[0] == seen(1, 101)
