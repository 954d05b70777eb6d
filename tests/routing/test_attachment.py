"""An attachment: a cursor and a lane, and the one order of both."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acprelay.errors import CursorExpired
from acprelay.routing.access import LOCAL
from acprelay.routing.attachment import Attachment
from acprelay.routing.lane import Meter
from acprelay.routing.log_memory import MemoryLog
from acprelay.wire import text_frame, walk

ALL = 1 << 40
"""A limit that no test reaches."""


def unframe(blobs: list[bytes]) -> list[bytes]:
    blob = b"".join(blobs)
    return [blob[start:stop] for _, start, stop in walk(blob)]


def attach(log: MemoryLog, cursor: int = 0) -> Attachment:
    return Attachment(
        id="ann",
        secret="",
        session_id="s:main",
        log=log,
        cursor=cursor,
        principal=LOCAL.id,
        grants=LOCAL.grants,
    )


def say(log: MemoryLog, *words: bytes) -> None:
    for word in words:
        log.append(text_frame(word), 1)


def hear(attachment: Attachment, limit: int = ALL) -> list[bytes]:
    return unframe(attachment.take(limit))


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(generation="g", history_bytes=ALL)


@pytest.fixture
def ann(log: MemoryLog) -> Attachment:
    return attach(log)


class TestOrder:
    def test_it_begins_behind_its_place(self, log: MemoryLog) -> None:
        say(log, b"1", b"2", b"3")
        assert hear(attach(log, 1)) == [b"2", b"3"]

    @pytest.mark.requirement("order.answers-follow-their-updates")
    def test_a_message_follows_what_the_log_held(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1", b"2")
        ann.push(b"reply")
        say(log, b"3")
        assert hear(ann) == [b"1", b"2", b"reply", b"3"]

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 8])
    def test_it_does_so_however_little_is_taken(
        self, log: MemoryLog, ann: Attachment, limit: int
    ) -> None:
        say(log, b"1", b"2")
        ann.push(b"reply")
        say(log, b"3")
        heard: list[bytes] = []
        while ann.has_pending:
            heard += hear(ann, limit)
        assert heard == [b"1", b"2", b"reply", b"3"]

    def test_messages_keep_their_order(self, ann: Attachment) -> None:
        for message in (b"a", b"b", b"c"):
            ann.push(message)
        assert hear(ann) == [b"a", b"b", b"c"]

    def test_a_message_may_stand_at_an_earlier_place(self, log: MemoryLog) -> None:
        say(log, b"1", b"2")
        ann = attach(log, 1)
        ann.push(b"early", barrier=1)
        ann.push(b"late")
        assert hear(ann) == [b"early", b"2", b"late"]

    def test_what_leads_comes_before_everything(self, log: MemoryLog, ann: Attachment) -> None:
        ann.push(b"waiting")
        say(log, b"1")
        ann.lead(b"first")
        assert hear(ann) == [b"first", b"waiting", b"1"]

    @pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (3, 1), (4, 2), (7, 3), (10, 4)])
    def test_taking_stops_once_the_limit_is_reached(
        self, log: MemoryLog, ann: Attachment, limit: int, count: int
    ) -> None:
        """Each frame has three bytes."""
        say(log, b"1")
        ann.push(b"a")
        say(log, b"2")
        ann.push(b"b")
        assert hear(ann, limit) == [b"1", b"a", b"2", b"b"][:count]

    def test_what_was_taken_is_not_given_again(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1")
        ann.push(b"a")
        hear(ann)
        assert not ann.has_pending
        assert hear(ann) == []

    def test_the_size_of_the_lane_is_that_of_what_waits_in_it(self, ann: Attachment) -> None:
        ann.push(b"a" * 200)
        ann.push_ask(b'"q"', b"b")
        ann.lead(b"c")
        assert ann.lane_bytes == len(text_frame(b"a" * 200)) + 3 + 3
        hear(ann, 1)
        assert ann.lane_bytes == len(text_frame(b"a" * 200)) + 3
        ann.retract(b'"q"')
        assert ann.lane_bytes == len(text_frame(b"a" * 200))
        hear(ann)
        assert ann.lane_bytes == 0
        ann.go_back(0, None)
        assert ann.lane_bytes == len(text_frame(b"a" * 200))


class TestSkipping:
    def test_a_clients_own_words_are_left_out(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1")
        for seq in (2, 3):
            ann.skip(seq)
            say(log, b"mine")
        say(log, b"4")
        ann.push(b"reply")
        ann.skip(5)
        say(log, b"mine")
        assert hear(ann) == [b"1", b"4", b"reply"]
        assert ann.cursor == 5
        assert not ann.has_pending

    def test_what_is_not_in_the_log_yet_is_not_passed_over(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        ann.skip(1)
        ann.skip(2)
        say(log, b"mine")
        assert hear(ann) == []
        assert ann.cursor == 1

    def test_a_message_behind_ones_own_words_is_given_at_once(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        ann.skip(1)
        say(log, b"mine")
        ann.push(b"reply")
        assert hear(ann) == [b"reply"]

    def test_ones_own_words_stay_left_out_after_going_back(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        ann.skip(1)
        say(log, b"mine", b"2")
        hear(ann)
        ann.go_back(0, None)
        assert hear(ann) == [b"2"]

    def test_the_latest_thousand_are_remembered(self, log: MemoryLog, ann: Attachment) -> None:
        for seq in range(1, 1100):
            ann.skip(seq)
            say(log, b"mine")
        assert hear(ann) == []
        ann.skip(1100)
        say(log, b"mine")
        ann.go_back(1100 - 1024, None)
        assert hear(ann) == []
        ann.go_back(1100 - 1025, None)
        assert hear(ann) == [b"mine"]


class TestRetracting:
    def test_what_waits_is_taken_back_silently(self, ann: Attachment) -> None:
        ann.push_ask(b'"q"', b"ask")
        ann.push_ask(b'"r"', b"other")
        assert not ann.retract(b'"q"')
        assert hear(ann) == [b"other"]

    def test_what_was_given_has_to_be_told(self, ann: Attachment) -> None:
        ann.push_ask(b'"q"', b"ask")
        hear(ann)
        assert ann.retract(b'"q"')

    def test_a_reply_with_the_same_id_stays(self, ann: Attachment) -> None:
        ann.push_ask(b"1", b"ask")
        ann.push(b"reply", reply_to=b"1")
        ann.retract(b"1")
        assert hear(ann) == [b"reply"]

    def test_what_was_taken_back_is_not_given_again(self, ann: Attachment) -> None:
        ann.push_ask(b'"q"', b"ask")
        hear(ann)
        ann.retract(b'"q"')
        ann.push(b"closed")
        ann.go_back(0, None)
        assert hear(ann) == [b"closed"]


class TestRewinding:
    @pytest.mark.requirement("replay.load-answers-last", "order.replayed-before-live")
    def test_two_loads_are_two_whole_histories_each_before_its_reply(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1", b"2")
        ann.push(b"first", reply_to=b"1")
        ann.rewind(0)
        ann.push(b"second", reply_to=b"2")
        say(log, b"3")
        assert hear(ann) == [b"1", b"2", b"first", b"1", b"2", b"second", b"3"]

    def test_the_second_has_what_was_said_in_between(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1")
        hear(ann)
        say(log, b"2")
        ann.rewind(0)
        say(log, b"3")
        assert hear(ann) == [b"2", b"1", b"2", b"3"]

    def test_what_was_left_out_is_in_it_but_not_what_comes_later(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        ann.skip(1)
        say(log, b"mine")
        ann.rewind(0)
        ann.skip(2)
        say(log, b"mine too", b"3")
        assert hear(ann) == [b"mine", b"3"]

    @pytest.mark.parametrize("times", [1, 2])
    def test_what_was_left_out_before_it_is_left_out_again_where_it_is_given_again(
        self, log: MemoryLog, ann: Attachment, times: int
    ) -> None:
        say(log, b"1")
        for seq in (2, 3):
            ann.skip(seq)
            say(log, b"mine")
        ann.push(b"reply", reply_to=b"1")
        ann.rewind(0)
        ann.push(b"loaded", reply_to=b"2")
        due = [b"1", b"reply", b"1", b"mine", b"mine", b"loaded"]
        assert hear(ann) == due
        for _ in range(times):
            ann.return_to(1, 0)
        assert hear(ann) == due[1:]
        for _ in range(times):
            ann.go_back(1, [b"1", b"2"])
        assert hear(ann) == due[1:]
        ann.return_to(2, ann.given - 1)
        assert hear(ann) == due[4:]

    def test_a_message_may_stand_at_its_beginning(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1", b"2")
        hear(ann)
        ann.rewind(1)
        ann.push(b"the start is gone", barrier=1)
        ann.push(b"reply")
        assert hear(ann) == [b"the start is gone", b"2", b"reply"]


class TestGoingBack:
    @pytest.mark.requirement("positions.return-gets-the-rest")
    def test_the_log_goes_on_behind_what_was_seen(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1", b"2", b"3")
        hear(ann)
        ann.go_back(1, None)
        assert hear(ann) == [b"2", b"3"]

    def test_what_the_lane_gave_behind_it_is_given_again_in_order(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1")
        ann.push(b"early", reply_to=b"1")
        say(log, b"2")
        ann.push(b"reply", reply_to=b"2")
        ann.push_ask(b'"q"', b"ask")
        say(log, b"3")
        ann.push(b"note")
        hear(ann)
        ann.push(b"new")
        ann.go_back(1, {b"2"})
        assert hear(ann) == [b"2", b"reply", b"ask", b"3", b"note", b"new"]

    @pytest.mark.parametrize(
        ("pending", "again"),
        [
            (None, [b"reply", b"other", b"ask", b"note"]),
            ([], [b"ask", b"note"]),
            ([b"1"], [b"reply", b"ask", b"note"]),
            ([b'"1"'], [b"other", b"ask", b"note"]),
            ([b"1.0"], [b"ask", b"note"]),
        ],
    )
    def test_at_the_very_place_a_reply_is_given_to_who_waits_for_it(
        self, log: MemoryLog, ann: Attachment, pending: list[bytes] | None, again: list[bytes]
    ) -> None:
        say(log, b"1")
        ann.push(b"reply", reply_to=b"1")
        ann.push(b"other", reply_to=b'"1"')
        ann.push_ask(b'"q"', b"ask")
        ann.push(b"note")
        hear(ann)
        ann.go_back(1, pending)
        assert hear(ann) == again

    @pytest.mark.parametrize(
        ("after", "pending", "must_be_told"),
        [
            (1, None, True),  # it stands at the very place
            (1, [], True),
            (0, None, False),  # it comes behind it
            (1, [b"1"], False),  # it followed what has not come
        ],
    )
    def test_an_ask_that_cannot_have_been_seen_is_taken_back_silently(
        self,
        log: MemoryLog,
        ann: Attachment,
        after: int,
        pending: list[bytes] | None,
        must_be_told: bool,
    ) -> None:
        say(log, b"1")
        ann.push(b"reply", reply_to=b"1")
        ann.push_ask(b'"q"', b"ask")
        hear(ann)
        ann.go_back(after, pending)
        assert ann.retract(b'"q"') is must_be_told

    def test_what_an_earlier_connection_may_have_seen_has_to_be_told(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        ann.push_ask(b'"q"', b"ask")
        hear(ann)
        ann.go_back(0, None)
        ann.push(b"reply", reply_to=b"1")
        hear(ann)
        say(log, b"1")
        ann.go_back(0, [b"1"])
        assert ann.retract(b'"q"')

    def test_what_may_have_been_seen_once_stays_so_whatever_a_client_says_later(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1")
        ann.push_ask(b'"q"', b"ask")
        for after in (1, 0):
            hear(ann)
            ann.go_back(after, None)
        assert ann.retract(b'"q"')

    def test_what_led_was_for_the_lost_connection(self, log: MemoryLog, ann: Attachment) -> None:
        ann.lead(b"attached")
        say(log, b"1")
        hear(ann)
        ann.go_back(0, None)
        assert hear(ann) == [b"1"]

    def test_twice_in_a_row_gives_the_same_again(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1")
        ann.push(b"reply", reply_to=b"1")
        for _ in range(3):
            assert hear(ann) == [b"1", b"reply"]
            ann.go_back(0, [b"1"])

    def test_a_reply_under_an_id_that_is_used_again_is_not_given_again(
        self, ann: Attachment
    ) -> None:
        ann.push(b"old", reply_to=b"1")
        ann.push(b"other", reply_to=b'"1"')
        hear(ann)
        ann.expect_reply(b"1")
        ann.go_back(0, None)
        assert hear(ann) == [b"other"]

    def test_in_the_middle_of_a_second_load_the_rest_comes_before_its_reply(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1", b"2", b"3")
        ann.push(b"first", reply_to=b"1")
        ann.rewind(0)
        ann.push(b"second", reply_to=b"2")
        hear(ann)
        ann.go_back(1, [b"2"])
        assert hear(ann) == [b"2", b"3", b"second"]

    def test_who_waits_for_the_first_load_gets_the_second_one_whole(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1", b"2", b"3")
        ann.push(b"first", reply_to=b"1")
        ann.rewind(0)
        ann.push(b"second", reply_to=b"2")
        hear(ann)
        ann.go_back(1, [b"1", b"2"])
        assert hear(ann) == [b"2", b"3", b"first", b"1", b"2", b"3", b"second"]

    def test_what_stands_at_the_beginning_of_that_is_in_it(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1", b"2", b"3")
        ann.push(b"first", reply_to=b"1")
        ann.rewind(1)
        ann.push(b"the start is gone", barrier=1)
        hear(ann)
        ann.go_back(2, [b"1"])
        assert hear(ann) == [b"3", b"first", b"the start is gone", b"2", b"3"]

    def test_an_ask_before_a_second_load_may_be_known_and_one_after_it_is_not(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1", b"2")
        ann.push_ask(b'"q"', b"ask")
        ann.rewind(0)
        ann.push_ask(b'"r"', b"another")
        hear(ann)
        ann.go_back(1, None)
        assert ann.retract(b'"q"')
        assert not ann.retract(b'"r"')

    def test_what_followed_a_second_load_that_was_seen_is_not_given_again(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        say(log, b"1")
        ann.rewind(0)
        say(log, b"2")
        hear(ann)
        ann.go_back(2, None)
        assert hear(ann) == []

    def test_more_than_is_remembered_is_no_silent_gap(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        for n in range(300):
            say(log, b"%d" % n)
            ann.push(b"reply", reply_to=b"%d" % n)
        hear(ann)
        with pytest.raises(CursorExpired) as caught:
            ann.go_back(43, None)
        assert caught.value.fields["oldest"] == "g:44"
        assert not ann.has_pending
        ann.go_back(44, None)
        assert hear(ann)[::2] == [b"%d" % n for n in range(44, 300)]

    def test_what_the_log_has_forgotten_is_no_oldest_position(self) -> None:
        log = MemoryLog(generation="g", history_bytes=0)
        ann = attach(log)
        for n in range(258):
            ann.push(b"reply", reply_to=b"%d" % n)
            say(log, b"%d" % n)
            hear(ann)
        with pytest.raises(CursorExpired) as caught:
            ann.go_back(0, None)
        assert caught.value.fields["oldest"] == str(log.position(log.start)) == "g:257"

    @pytest.mark.parametrize(("size", "count"), [(300_000, 3), (2_000_000, 1)])
    def test_it_remembers_bytes_within_a_bound_and_at_least_the_latest(
        self, log: MemoryLog, ann: Attachment, size: int, count: int
    ) -> None:
        for n in range(5):
            say(log, b"%d" % n)
            ann.push(b"x" * size, reply_to=b"%d" % n)
        hear(ann)
        ann.go_back(5 - count + 1 if count > 1 else 5, None)
        assert sum(len(message) == size for message in hear(ann)) == count


class TestForgetfulLog:
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog(generation="g", history_bytes=0)

    def lost(self, message: bytes) -> dict[str, object]:
        notice = json.loads(message)
        assert notice["method"] == "_acprelay/notice"
        assert notice["params"]["sessionId"] == "s:main"
        params: dict[str, object] = notice["params"]
        return params

    def test_a_gap_is_told_after_what_was_due_before_it(
        self, log: MemoryLog, ann: Attachment
    ) -> None:
        ann.push(b"before")
        say(log, b"1", b"2")
        before, notice = hear(ann)
        assert before == b"before"
        assert (self.lost(notice)["code"], self.lost(notice)["oldest"]) == (
            "cursor_expired",
            "g:1",
        )
        assert not ann.has_pending

    def test_behind_it_only_the_lane_is_given(self, log: MemoryLog, ann: Attachment) -> None:
        say(log, b"1", b"2")
        hear(ann)
        say(log, b"3")
        ann.push(b"reply")
        assert ann.has_pending
        assert hear(ann) == [b"reply"]
        assert not ann.has_pending

    @pytest.mark.parametrize(
        "return_to", [lambda ann: ann.rewind(1), lambda ann: ann.go_back(1, None)]
    )
    def test_from_a_place_that_the_log_reaches_it_goes_on(
        self, log: MemoryLog, ann: Attachment, return_to: Callable[[Attachment], None]
    ) -> None:
        say(log, b"1", b"2")
        hear(ann)
        return_to(ann)
        assert hear(ann) == [b"2"]


class Model:
    """What a client is due: every message with the place of the log that it stands at."""

    def __init__(self, log: MemoryLog, attachment: Attachment) -> None:
        self.log = log
        self.attachment = attachment
        self.words: list[bytes] = []
        self.hidden: set[int] = set()
        self.due: list[bytes] = []
        self.heard: list[bytes] = []
        self.pushed = 0

    def publish(self, choice: int) -> None:
        """Some entries come in one batch, the last one perhaps this client's own words."""
        batch = [b"%d" % (len(self.words) + n) for n in range(1 + choice % 3)]
        self.words += batch
        self.due += batch
        if choice % 2:
            self.hidden.add(len(self.words))
            self.attachment.skip(len(self.words))
            self.due.pop()
        self.log.append(b"".join(map(text_frame, batch)), len(batch))

    def push(self, _: int) -> None:
        self.pushed += 1
        message = b"message %d" % self.pushed
        self.attachment.push(message)
        self.due.append(message)

    def push_ask(self, _: int) -> None:
        self.pushed += 1
        message = b"ask %d" % self.pushed
        self.attachment.push_ask(message, message)
        self.due.append(message)

    def retract(self, choice: int) -> None:
        asks = [message for message in self.due if message.startswith(b"ask")]
        if not asks:
            return
        message = asks[choice % len(asks)]
        was_heard = message in self.heard
        assert self.attachment.retract(message) == was_heard
        if not was_heard:
            self.due.remove(message)

    def rewind(self, choice: int) -> None:
        place = choice % (len(self.words) + 1)
        self.attachment.rewind(place)
        self.due += self.words[place:]

    def take(self, limit: int) -> None:
        blobs = self.attachment.take(limit)
        assert sum(map(len, blobs[:-1])) < max(limit, 1)
        self.heard += unframe(blobs)


STEPS = ("publish", "push", "push_ask", "retract", "rewind", "take")


@pytest.mark.requirement("order.one-contiguous-slice")
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 40)), max_size=60))
def test_a_client_gets_everything_that_it_is_due_once_and_in_order(
    steps: list[tuple[str, int]],
) -> None:
    """With rewinds, that is one whole history more for each."""
    log = MemoryLog(generation="g", history_bytes=ALL)
    model = Model(log, attach(log))
    for name, choice in steps:
        step: Callable[[int], None] = getattr(model, name)
        step(choice)
        assert model.heard == model.due[: len(model.heard)]
    model.take(ALL)
    assert model.heard == model.due
    assert model.attachment.lane_bytes == 0
    assert not model.attachment.has_pending


Said = tuple[str, bytes]
"""What was said: an entry of the log, a reply, an ask or a note."""


@given(
    kinds=st.lists(st.sampled_from(["log", "reply", "ask", "note"]), max_size=40),
    losses=st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.integers(1, 20)), max_size=5),
)
@example(kinds=["reply", "log", "ask", "reply"], losses=[(1, True, 3), (0, True, 3)])
def test_a_client_that_loses_connections_misses_nothing_and_repeats_only_what_it_may_not_have_had(
    kinds: list[str], losses: list[tuple[int, bool, int]]
) -> None:
    """A loss lets a client have seen a part of what it was given; it says so when it returns."""
    log = MemoryLog(generation="g", history_bytes=ALL)
    ann = attach(log)
    said: list[Said] = []
    for n, kind in enumerate(kinds):
        name = b"%s %d" % (kind.encode(), n)
        said.append((kind, name))
        if kind == "log":
            say(log, name)
        elif kind == "reply":
            ann.push(name, reply_to=name)
        elif kind == "ask":
            ann.push_ask(name, name)
        else:
            ann.push(name)
    names = [name for _, name in said]
    seen: list[bytes] = []
    for count, tells, limit in losses:
        seen += hear(ann, limit)[: count % 7]
        have = dict.fromkeys(seen)
        after = sum(kind == "log" and name in have for kind, name in said)
        pending = [name for kind, name in said if kind == "reply" and name not in have]
        ann.go_back(after, pending if tells else None)
    seen += hear(ann)
    assert list(dict.fromkeys(seen)) == names
    entries = [name for name in seen if name.startswith(b"log")]
    assert entries == [name for kind, name in said if kind == "log"]
    if all(tells for _, tells, _ in losses):
        replies = [name for name in seen if name.startswith(b"reply")]
        assert replies == [name for kind, name in said if kind == "reply"]


# --- what waits for several together

LANE_STEPS: dict[str, Callable[[Attachment], object]] = {
    "push": lambda lane: lane.push(b"message", reply_to=b"1"),
    "ask": lambda lane: lane.push_ask(b"2", b"ask"),
    "retract": lambda lane: lane.retract(b"2"),
    "lead": lambda lane: lane.lead(b"lead" * (1 + lane.lane_bytes)),
    "expect": lambda lane: lane.expect_reply(b"1"),
    "take": lambda lane: lane.take(40),
    "return": lambda lane: lane.return_to(0, 0),
}


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([*LANE_STEPS, "move"])), max_size=30))
def test_a_meter_tells_what_waits_in_all_lanes_that_it_counts(taken: list[tuple[int, str]]) -> None:
    log = MemoryLog(generation="g", history_bytes=ALL)
    meters = [Meter(), Meter()]
    lanes = [attach(log), attach(log)]
    counted_by = [0, 0]
    for lane in lanes:
        lane.count_in(meters[0])
    for which, step in taken:
        if step == "move":
            counted_by[which] ^= 1
            lanes[which].count_in(meters[counted_by[which]])
        else:
            LANE_STEPS[step](lanes[which])
        waiting = [0, 0]
        for lane, by in zip(lanes, counted_by, strict=True):
            waiting[by] += lane.lane_bytes
        assert [meter.size for meter in meters] == waiting


def test_a_lane_is_counted_out_by_nobody_but_who_counts_it(ann: Attachment) -> None:
    first, second = Meter(), Meter()
    ann.push(b"waits")
    ann.count_in(first)
    ann.count_in(second)
    ann.count_out(first)
    assert (first.size, second.size) == (0, ann.lane_bytes)
    ann.count_out(second)
    ann.push(b"waits, too")
    assert (first.size, second.size) == (0, 0)
