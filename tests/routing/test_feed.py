"""The ring of events: what a reader gets, and what it is told that it has lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import InvalidParams
from acprelay.routing.access import LOCAL, Grant, Principal, Scope
from acprelay.routing.feed import EventKind, Ring
from acprelay.session.models import SessionKey

KEY = SessionKey("login", "auth")


def ring_of(count: int, *, most: int) -> Ring:
    ring = Ring(epoch="life", most=most, most_bytes=1024 * 1024)
    for number in range(count):
        ring.add(EventKind.NOTICE, KEY, {"number": number}, at=float(number))
    return ring


@given(
    count=st.integers(0, 30),
    most=st.integers(1, 10),
    after=st.integers(0, 30),
    limit=st.integers(1, 10),
)
def test_a_reader_gets_what_follows_its_place_or_learns_that_some_of_it_is_lost(
    count: int, most: int, after: int, limit: int
) -> None:
    ring = ring_of(count, most=most)
    after = min(after, count)

    stretch = ring.read(after, most=limit)

    numbers = [event.number for event in stretch.events]
    begin = max(after, ring.start)
    assert numbers == list(range(begin + 1, min(count, begin + limit) + 1))
    assert stretch.cursor == begin + len(numbers)
    assert stretch.is_whole == (after >= ring.start)
    assert ring.head - ring.start <= most


def test_what_events_say_is_remembered_up_to_a_number_of_bytes_and_the_latest_in_any_case() -> None:
    ring = Ring(epoch="life", most=10, most_bytes=100)
    for number, length in enumerate([20, 20, 500, 20, 20, 20, 20]):
        ring.add(EventKind.TURN_ENDED, KEY, {"error": {"message": "x" * length}}, at=float(number))
        held = sum(event.size for event in ring.read(0, most=10).events)
        assert held <= 100 or ring.head - ring.start == 1
    stretch = ring.read(0, most=10)
    assert [event.number for event in stretch.events] == [6, 7]
    assert not stretch.is_whole
    assert ring.read(5, most=10).is_whole


def test_what_an_event_says_may_hold_half_a_character() -> None:
    ring = Ring(epoch="life", most=1, most_bytes=100)
    ring.add(EventKind.NOTICE, KEY, {"message": "\ud83d"}, at=0.0)
    assert ring.read(0, most=1).events[0].facts == {"message": "\ud83d"}


@pytest.mark.parametrize(
    ("event_id", "place"), [("life:3", 3), ("life:0", 0), ("life:4", None), ("earlier:1", None)]
)
def test_a_place_is_found_in_the_life_that_gave_it(event_id: str, place: int | None) -> None:
    assert ring_of(3, most=2).place_of(event_id) == place


@pytest.mark.parametrize("event_id", ["", "3", "life", "life:", "life:x", "a b:1", "life:1\n"])
def test_what_is_no_place_is_refused(event_id: str) -> None:
    with pytest.raises(InvalidParams, match="cannot go on after event"):
        ring_of(3, most=2).place_of(event_id)


def test_a_place_is_read_back_as_it_was_written() -> None:
    ring = ring_of(3, most=2)
    assert ring.place_of(ring.id_of(2)) == 2


def test_an_event_is_for_those_who_may_observe_its_session() -> None:
    [event] = ring_of(1, most=1).read(0, most=1).events
    scope = Scope(group="login", role="db")
    other = Principal(id="db", name="db", grants=frozenset(Grant), scope=scope)

    assert event.is_for(LOCAL)
    assert not event.is_for(other)
