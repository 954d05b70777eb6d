"""What every log promises: the same to each reader, byte for byte, from wherever it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from acprelay.errors import CursorExpired
from acprelay.routing.log import Position
from acprelay.routing.log_memory import RUN_BYTES
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import Subject

ALL = 1 << 40
FRAMES = [text_frame(text) for text in (b"one", b"", b"three", b"4" * 130, b"5" * 70_000, b"six")]


@pytest.fixture
async def filled(subject: Subject) -> Subject:
    """Six entries in three runs: of two, of three and of one."""
    subject.log.append(b"".join(FRAMES[:2]), 2)
    subject.log.append(b"".join(FRAMES[2:5]), 3)
    subject.log.append(FRAMES[5], 1)
    await subject.settle()
    return subject


async def test_an_empty_log_gives_nothing(subject: Subject) -> None:
    log = subject.log
    assert (log.generation, log.start, log.head, log.is_congested) == ("g", 0, 0, False)
    assert log.read(0, upto=0, limit=ALL) == ([], 0)
    assert log.position(0) == Position("g", 0)
    assert log.locate(Position("g", 0)) == 0


async def test_the_first_entry_has_the_number_one(subject: Subject) -> None:
    subject.log.append(FRAMES[0], 1)
    assert subject.log.head == 1


async def test_a_run_moves_the_head_past_all_its_entries(filled: Subject) -> None:
    assert (filled.log.start, filled.log.head) == (0, 6)


@pytest.mark.requirement("order.one-contiguous-slice", "positions.return-gets-the-rest")
@pytest.mark.parametrize("limit", [1, 140, ALL])
async def test_a_reader_gets_exactly_what_lies_between_two_places(
    filled: Subject, limit: int
) -> None:
    for after in range(7):
        for upto in range(after, 7):
            assert filled.given(after, upto, limit=limit) == b"".join(FRAMES[after:upto])


@pytest.mark.parametrize("after", range(7))
async def test_a_reader_at_the_last_wanted_entry_or_past_it_gets_nothing_and_stays(
    filled: Subject, after: int
) -> None:
    for upto in range(after + 1):
        assert filled.log.read(after, upto=upto, limit=ALL) == ([], after)


async def test_nobody_is_given_more_than_there_is(filled: Subject) -> None:
    assert filled.log.read(5, upto=99, limit=ALL) == ([FRAMES[5]], 6)


async def test_one_run_is_given_whatever_the_limit(filled: Subject) -> None:
    assert filled.log.read(0, upto=6, limit=0) == ([b"".join(FRAMES[:2])], 2)


async def test_reading_stops_before_the_run_that_would_exceed_the_limit(filled: Subject) -> None:
    first, second, third = b"".join(FRAMES[:2]), b"".join(FRAMES[2:5]), FRAMES[5]
    size = len(first) + len(second)
    assert filled.log.read(0, upto=6, limit=size - 1) == ([first], 2)
    assert filled.log.read(0, upto=6, limit=size) == ([first, second], 5)
    assert filled.log.read(0, upto=6, limit=size + len(third)) == ([first, second, third], 6)


async def test_a_long_run_is_read_in_parts_that_are_whole_frames(subject: Subject) -> None:
    frames = [text_frame(bytes([n % 251]) * 999) for n in range(1000)]
    subject.log.append(b"".join(frames), 1000)
    await subject.settle()
    assert subject.log.head == 1000
    place = 0
    while place < 1000:
        blobs, cursor = subject.log.read(place, upto=1000, limit=1)
        assert b"".join(blobs) == b"".join(frames[place:cursor])
        assert 0 < sum(map(len, blobs)) <= RUN_BYTES
        place = cursor


async def test_a_single_frame_is_never_cut(subject: Subject) -> None:
    small, large = text_frame(b"small"), text_frame(b"x" * 3 * RUN_BYTES)
    subject.log.append(small + large + small, 3)
    await subject.settle()
    assert subject.given(0, 3) == small + large + small
    assert subject.log.read(1, upto=3, limit=1) == ([large], 2)


async def test_every_place_is_found_again_by_its_position(filled: Subject) -> None:
    for place in range(7):
        position = filled.log.position(place)
        assert position == Position("g", place)
        assert filled.log.locate(position) == place


@pytest.mark.requirement("positions.expired-names-the-oldest")
@pytest.mark.parametrize("position", [Position("g", 7), Position("other", 3), Position("other", 0)])
async def test_a_position_that_was_never_given_has_expired(
    filled: Subject, position: Position
) -> None:
    with pytest.raises(CursorExpired) as caught:
        filled.log.locate(position)
    assert caught.value.fields == {"oldest": "g:0"}


async def test_what_is_appended_later_follows(filled: Subject) -> None:
    more = text_frame(b"more")
    filled.log.append(more, 1)
    assert filled.given(5, 7) == FRAMES[5] + more
    await filled.settle()
    assert filled.given(0, 7) == b"".join(FRAMES) + more
