"""Positions in a log, and the log in memory: what it forgets, and what it hands out uncopied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import CursorExpired, InvalidParams
from acprelay.routing.log import Position, PublicLog
from acprelay.routing.log_memory import RUN_BYTES, MemoryLog, RunWindow, excerpt, runs_of
from acprelay.wire import text_frame

ALL = 1 << 40
FRAMES = [text_frame(bytes([n]) * (n * 37 % 200)) for n in range(12)]


def make_log(*runs: bytes, history_bytes: int = ALL, first: int = 0) -> MemoryLog:
    """A log with one entry per run."""
    log = MemoryLog(generation="g", history_bytes=history_bytes, first=first)
    for run in runs:
        log.append(run, 1)
    return log


def test_a_position_is_written_as_generation_and_number() -> None:
    assert str(Position("g-1_x", 12)) == "g-1_x:12"
    assert Position.parse("g-1_x:12") == Position("g-1_x", 12)


@pytest.mark.parametrize(
    "text", ["", "g", "g:", ":1", "g:-1", "g:1:2", "g:1\n", " g:1", "g:1.0", "g:" + "1" * 19, "ä:1"]
)
def test_anything_else_is_no_position(text: str) -> None:
    with pytest.raises(InvalidParams, match=r"^cannot read position"):
        Position.parse(text)


def test_a_log_in_memory_is_a_public_log() -> None:
    log: PublicLog = make_log()
    assert (log.generation, log.head, log.start, log.is_congested) == ("g", 0, 0, False)


def test_whole_runs_are_handed_out_as_the_objects_they_came_as() -> None:
    runs = [text_frame(b"a" * 500), text_frame(b"b" * 500)]
    blobs, _ = make_log(*runs).read(0, upto=2, limit=ALL)
    assert [id(blob) for blob in blobs] == [id(run) for run in runs]


def test_a_log_may_begin_at_any_place() -> None:
    log = make_log(b"one", first=41)
    assert (log.start, log.head) == (41, 42)
    assert log.read(41, upto=42, limit=ALL) == ([b"one"], 42)
    assert log.locate(Position("g", 41)) == 41
    with pytest.raises(CursorExpired):
        log.locate(Position("g", 40))


def test_a_log_within_its_budget_forgets_nothing() -> None:
    log = make_log(b"one", b"two", history_bytes=6)
    assert (log.start, log.retained_bytes) == (0, 6)


def test_the_oldest_runs_beyond_the_budget_are_forgotten() -> None:
    log = make_log(b"one", b"two", b"three", history_bytes=8)
    assert (log.start, log.head, log.retained_bytes) == (1, 3, 8)
    assert log.read(1, upto=3, limit=ALL) == ([b"two", b"three"], 3)


def test_the_newest_run_is_kept_whatever_its_size() -> None:
    log = make_log(b"small", b"large" * 100, history_bytes=10)
    assert log.read(1, upto=2, limit=ALL) == ([b"large" * 100], 2)


@pytest.mark.requirement("positions.expired-names-the-oldest")
@pytest.mark.parametrize("after", [0, 1])
def test_nobody_reads_across_what_is_forgotten(after: int) -> None:
    log = make_log(b"one", b"two", b"three", history_bytes=5)
    with pytest.raises(CursorExpired, match=r"the log begins at g:2$") as caught:
        log.read(after, upto=3, limit=ALL)
    assert caught.value.fields == {"oldest": "g:2"}


@pytest.mark.parametrize("after", [0, 1])
def test_a_forgotten_place_is_not_found_again(after: int) -> None:
    log = make_log(b"one", b"two", b"three", history_bytes=5)
    with pytest.raises(CursorExpired):
        log.locate(Position("g", after))
    assert log.locate(Position("g", 2)) == 2


def test_a_long_life_leaves_no_more_than_the_budget() -> None:
    log = make_log(history_bytes=1000)
    for _ in range(5_000):
        log.append(b"x" * 10, 1)
    assert (log.start, log.head, log.retained_bytes) == (4_900, 5_000, 1000)
    assert log.read(4_900, upto=5_000, limit=ALL)[0] == [b"x" * 10] * 100


@given(st.lists(st.integers(0, 3 * RUN_BYTES // 2), min_size=1, max_size=8))
def test_a_run_is_cut_between_frames_into_runs_that_are_not_too_long(sizes: list[int]) -> None:
    frames = [text_frame(b"x" * size) for size in sizes]
    runs = list(runs_of(b"".join(frames), len(frames)))
    assert b"".join(run for run, _ in runs) == b"".join(frames)
    assert sum(count for _, count in runs) == len(frames)
    assert all(len(run) <= RUN_BYTES or count == 1 for run, count in runs)


def test_a_run_that_is_short_enough_is_not_looked_into() -> None:
    blob = b"no frames at all"
    assert [id(run) for run, _ in runs_of(blob, 3)] == [id(blob)]


@given(st.data())
def test_an_excerpt_has_the_wanted_entries_and_no_others(data: st.DataObject) -> None:
    base = data.draw(st.integers(0, 5))
    last = base + len(FRAMES)
    after = data.draw(st.integers(0, last - 1))
    upto = data.draw(st.integers(max(after, base) + 1, last + 3))
    wanted = FRAMES[max(after - base, 0) : upto - base]
    found = excerpt(b"".join(FRAMES), base=base, last=last, after=after, upto=upto)
    assert found == b"".join(wanted)


@given(st.data())
def test_a_window_gives_any_stretch_of_what_it_holds(data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 3))
    window = RunWindow(first=first)
    held: list[tuple[int, bytes]] = []
    place = first
    while place - first < len(FRAMES):
        run = FRAMES[place - first :][: data.draw(st.integers(1, 4))]
        place += len(run)
        window.append(place, b"".join(run))
        held.append((place, b"".join(run)))
        if len(held) > 1 and data.draw(st.booleans()):
            most, enough = data.draw(st.integers(1, len(held) - 1)), data.draw(st.integers(1, 600))
            dropped = [held.pop(0)[1]]
            while len(dropped) < most and sum(map(len, dropped)) < enough:
                dropped.append(held.pop(0)[1])
            gone = len(dropped), sum(map(len, dropped))
            assert window.drop(most, enough=enough) == gone
    assert len(window) == len(held)
    assert window.size == sum(len(run) for _, run in held)
    assert window.runs_after(window.first) == held
    after = data.draw(st.integers(window.first, place))
    upto = data.draw(st.integers(after, place))
    limit = data.draw(st.integers(0, 600))
    blobs, cursor = window.read(after, upto=upto, limit=limit)
    assert b"".join(blobs) == b"".join(FRAMES[after - first : cursor - first])
    assert after < cursor <= upto or after == cursor == upto
    assert len(blobs) <= 1 or sum(map(len, blobs)) <= limit
