"""The lane of a connection over HTTP: numbered, remembered for a while, given again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import CursorExpired, InvalidParams
from acprelay.routing.connection_lane import ConnectionLane

ALL = 1 << 40


def numbers(stream: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"^id: (\d+)$", stream, re.MULTILINE)]


def lane_of(count: int, size: int = 1) -> ConnectionLane:
    lane = ConnectionLane()
    for _ in range(count):
        lane.append(b"1" * size)
    return lane


def test_messages_are_given_in_order_under_numbers_from_one() -> None:
    lane = ConnectionLane()
    lane.append(b'"a"')
    lane.append(b'"b"')
    assert (len(lane), lane.waiting_bytes) == (2, 6)
    assert lane.take(ALL) == b'id: 1\ndata: "a"\n\nid: 2\ndata: "b"\n\n'
    assert (len(lane), lane.waiting_bytes) == (0, 0)
    assert lane.take(ALL) == b""


def test_it_tells_the_number_of_what_was_given_last() -> None:
    lane = lane_of(3)
    assert lane.given == 0
    lane.take(2)
    assert lane.given == 2
    lane.go_back(1)
    assert lane.given == 1


def test_it_stops_once_enough_is_given() -> None:
    lane = lane_of(3, size=10)
    assert numbers(lane.take(11)) == [1, 2]
    assert numbers(lane.take(1)) == [3]


def test_who_waits_for_a_message_to_be_given_is_told_once() -> None:
    lane = ConnectionLane()
    given_at = []
    lane.append(b"1", on_given=lambda: given_at.append(len(lane)))
    assert given_at == []
    lane.take(ALL)
    lane.go_back(0)
    lane.take(ALL)
    assert given_at == [0]


@given(st.lists(st.one_of(st.none(), st.integers(1, 40), st.floats(0, 1)), max_size=60))
def test_whatever_was_seen_before_a_stream_broke_the_rest_follows_exactly(
    script: list[int | float | None],
) -> None:
    lane = ConnectionLane()
    seen: list[int] = []
    said = 0
    for step in script:
        if step is None:
            lane.append(b"1")
            said += 1
        elif isinstance(step, int):
            seen += numbers(lane.take(step))
        else:
            del seen[int(step * len(seen)) :]
            lane.go_back(seen[-1] if seen else 0)
    seen += numbers(lane.take(ALL))
    assert seen == list(range(1, said + 1))
    assert lane.waiting_bytes == 0


@pytest.mark.parametrize(("count", "size", "oldest"), [(300, 1, 44), (5, 400_000, 3)])
def test_what_is_no_longer_remembered_is_told(count: int, size: int, oldest: int) -> None:
    lane = lane_of(count, size)
    lane.take(ALL)
    with pytest.raises(CursorExpired):
        lane.go_back(oldest - 1)
    lane.go_back(oldest)
    assert numbers(lane.take(ALL)) == list(range(oldest + 1, count + 1))


def test_the_last_message_is_remembered_however_long_it_is() -> None:
    lane = lane_of(2, 5_000_000)
    lane.take(ALL)
    lane.go_back(1)
    assert numbers(lane.take(ALL)) == [2]


def test_nobody_goes_on_after_what_was_not_given() -> None:
    lane = lane_of(2)
    lane.take(1)
    with pytest.raises(InvalidParams):
        lane.go_back(2)
    lane.go_back(1)


def test_cleared_it_holds_nothing() -> None:
    lane = lane_of(3)
    lane.take(1)
    lane.clear()
    assert (lane.take(ALL), lane.waiting_bytes) == (b"", 0)
