"""Which turn a relay that has died was in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import CursorExpired
from acprelay.routing.frames import TURN_ENDED, TURN_STARTED, marker
from acprelay.routing.log import Slice
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.open_turns import turns_left_open
from acprelay.wire import text_frame

PLAIN = b'{"method":"session/update","params":{}}'
UPDATE = b'{"method":"session/update","params":{"text":"_acprelay/turn_ended"}}'
QUOTED = b'{"method":"x","params":{"turn":"a","say":"_acprelay/turn_started"}}'
STAMP = b"{}"
NESTED = b"[" * 5000 + b"]" * 5000


def started(turn: str) -> bytes:
    return marker(TURN_STARTED, "s:main", {"turn": turn}, stamp=STAMP)


def ended(turn: str) -> bytes:
    return marker(TURN_ENDED, "s:main", {"turn": turn, "outcome": "ended"}, stamp=STAMP)


def log_of(*batches: list[bytes], history_bytes: int = 1 << 20) -> MemoryLog:
    log = MemoryLog(generation="g", history_bytes=history_bytes)
    for batch in batches:
        log.append(b"".join(map(text_frame, batch)), len(batch))
    return log


A_TURN = [started("a"), UPDATE, ended("a")]


@pytest.mark.parametrize(
    ("turn", "place", "is_open"),
    [
        pytest.param(None, 0, "b", id="its beginning is not on record"),
        pytest.param("a", 1, "b", id="nor is the end of the one before"),
        pytest.param("b", 4, "b", id="it is on record"),
        pytest.param("b", 6, "b", id="all is on record"),
        pytest.param("lost", 6, "lost", id="its beginning is not in the log"),
    ],
)
def test_the_log_has_the_last_word_on_what_came_after_the_record(
    turn: str | None, place: int, is_open: str
) -> None:
    log = log_of(A_TURN, [started("b"), UPDATE, QUOTED, PLAIN])
    assert turns_left_open(log, turn=turn, position=f"g:{place}") == [is_open]


@pytest.mark.parametrize("turn", [None, "a"])
def test_a_turn_whose_end_is_in_the_log_is_over(turn: str | None) -> None:
    log = log_of(A_TURN, [PLAIN, UPDATE], [PLAIN])
    assert turns_left_open(log, turn=turn, position="g:1") == []


def test_the_end_of_another_turn_ends_none() -> None:
    assert turns_left_open(log_of([ended("b")]), turn="a", position="g:0") == ["a"]


@pytest.mark.parametrize("position", ["g:9", "other:1"])
def test_a_log_that_does_not_reach_the_records_place_is_read_from_its_start(position: str) -> None:
    log = log_of(A_TURN, [started("b")])
    assert turns_left_open(log, turn=None, position=position) == ["b"]


@pytest.mark.parametrize(
    ("left", "turn", "is_open"),
    [
        pytest.param([], "a", ["a"], id="nothing is left of the log"),
        pytest.param(A_TURN, "b", ["b"], id="the beginning of the record's is lost"),
        pytest.param([*A_TURN, started("b")], "c", ["b", "c"], id="so is the end of one before"),
        pytest.param([*A_TURN, started("b")], "b", ["b"], id="it has begun in what is left"),
        pytest.param([*A_TURN, started("b")], None, ["b"], id="the end of the last is lost"),
        pytest.param(A_TURN, None, [], id="none ran"),
    ],
)
@pytest.mark.parametrize("generation", ["g", "lost"])
def test_a_turn_of_which_the_end_of_the_log_was_lost_is_open(
    left: list[bytes], turn: str | None, is_open: list[str], generation: str
) -> None:
    log = log_of(*([entry] for entry in left))
    assert turns_left_open(log, turn=turn, position=f"{generation}:9") == is_open


def test_what_was_marked_after_such_a_loss_has_the_last_word() -> None:
    log = log_of(A_TURN, [ended("b")], [PLAIN] * 9)
    assert turns_left_open(log, turn="b", position="lost:9") == []
    log = log_of(A_TURN, [PLAIN] * 6, [started("c"), ended("c")])
    assert turns_left_open(log, turn="b", position="lost:9") == []


@pytest.mark.parametrize("turn", [None, "a"])
@pytest.mark.parametrize("position", [None, "nonsense"])
def test_a_record_that_does_not_know_its_place_is_believed(
    turn: str | None, position: str | None
) -> None:
    found = turns_left_open(log_of(A_TURN, [started("b")]), turn=turn, position=position)
    assert found == ([] if turn is None else [turn])


def test_what_is_found_damaged_meanwhile_is_passed_over() -> None:
    class Damaged(MemoryLog):
        def read(self, after: int, *, upto: int, limit: int) -> Slice:
            if after < 3:
                self.damaged = True
                raise CursorExpired(oldest="g:3")
            return super().read(after, upto=upto, limit=limit)

        @property
        def start(self) -> int:
            return 3 if self.damaged else 0

        damaged = False

    log = Damaged(generation="g", history_bytes=1 << 20)
    for entry in (*A_TURN, started("b")):
        log.append(text_frame(entry), 1)
    assert turns_left_open(log, turn=None, position="g:0") == ["b"]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(rb'"_acprelay/turn_ended \ud83d"', id="half a character"),
        pytest.param(b'{"_acprelay/turn_ended":%b}' % NESTED, id="what nests deeply"),
        pytest.param(rb'"\"method\":\"_acprelay/turn_ended\""', id="what looks like a marker"),
    ],
)
def test_what_an_agent_says_is_no_marker_whatever_it_says(said: bytes) -> None:
    update = b'{"jsonrpc":"2.0","method":"session/update","params":{"turn":"b","x":%b}}' % said
    log = log_of(A_TURN, [started("b"), update])
    assert turns_left_open(log, turn=None, position="g:0") == ["b"]


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(ended("b")[:-1], id="cut off"),
        pytest.param(ended("b").replace(b'"b"', b"[]"), id="names no turn"),
        pytest.param(ended("b").replace(b'"b"', b'"\xff"'), id="not in UTF-8"),
        pytest.param(ended("b").replace(b"{}", NESTED), id="nests too deeply"),
    ],
)
def test_a_marker_that_cannot_be_read_is_none(damaged: bytes) -> None:
    log = log_of(A_TURN, [started("b"), damaged])
    assert turns_left_open(log, turn=None, position="g:0") == ["b"]


@given(
    turns=st.lists(st.sampled_from("abc"), max_size=8),
    is_over=st.booleans(),
    cuts=st.sets(st.integers(0, 40)),
    stored_at=st.integers(0, 40),
)
def test_whenever_the_record_was_stored_the_answer_is_that_of_the_log(
    turns: list[str], is_over: bool, cuts: set[int], stored_at: int
) -> None:
    entries = [entry for turn in turns for entry in (started(turn), UPDATE, ended(turn))]
    by_then: list[str | None] = [None]
    for turn in turns:
        by_then += [turn, turn, None]
    if turns and not is_over:
        entries.pop()
        by_then.pop()
    edges = sorted({0, len(entries), *(cut for cut in cuts if cut < len(entries))})
    log = log_of(*(entries[a:b] for a, b in pairwise(edges)))
    place = min(stored_at, len(entries))
    found = turns_left_open(log, turn=by_then[place], position=f"g:{place}")
    assert found == [turn for turn in by_then[-1:] if turn is not None]
