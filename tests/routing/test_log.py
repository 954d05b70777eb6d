"""The public log: appending, reading by position, forgetting."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acprelay.errors import LocalProtocolError
from acprelay.routing.log import PublicLog

ALL = 1 << 40
"""A limit that no test reaches."""


def make_log(*runs: bytes, history_bytes: int = ALL) -> PublicLog:
    """A log with one entry per run."""
    log = PublicLog(generation="g", history_bytes=history_bytes)
    for run in runs:
        log.append(run, 1)
    return log


def read(
    log: PublicLog, after: int = 0, *, upto: int | None = None, limit: int = ALL
) -> tuple[list[bytes], int]:
    blobs, cursor = log.read(
        after, upto=log.head if upto is None else upto, limit=limit, reader="ann"
    )
    return blobs, cursor


def test_an_empty_log_gives_nothing_and_holds_nothing() -> None:
    log = make_log()
    assert (log.start, log.head, log.retained_bytes, log.unread_bytes(0)) == (0, 0, 0, 0)
    assert read(log) == ([], 0)


def test_the_first_entry_has_the_number_one() -> None:
    assert make_log(b"one").head == 1


def test_a_run_of_several_entries_moves_the_head_past_them_all() -> None:
    log = make_log()
    log.append(b"abc", 3)
    log.append(b"d", 1)
    assert log.head == 4
    assert read(log) == ([b"abc", b"d"], 4)


@pytest.mark.parametrize(
    ("after", "given"),
    [(0, [b"one", b"two", b"three"]), (1, [b"two", b"three"]), (2, [b"three"]), (3, [])],
)
def test_a_reader_gets_what_follows_its_position(after: int, given: list[bytes]) -> None:
    assert read(make_log(b"one", b"two", b"three"), after) == (given, 3)


@pytest.mark.parametrize("upto", [0, 1, 2, 3])
def test_nothing_after_the_last_wanted_entry_is_given(upto: int) -> None:
    log = make_log(b"one", b"two", b"three")
    assert read(log, upto=upto) == ([b"one", b"two", b"three"][:upto], upto)


@pytest.mark.parametrize(
    ("limit", "cursor"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (11, 3), (12, 3)]
)
def test_reading_stops_after_the_run_that_reaches_the_limit(limit: int, cursor: int) -> None:
    log = make_log(b"one", b"two", b"three")
    assert read(log, limit=limit) == ([b"one", b"two", b"three"][:cursor], cursor)


def test_reading_with_no_limit_left_gives_nothing_and_stays() -> None:
    assert read(make_log(b"one"), limit=0) == ([], 0)


def test_a_hidden_run_is_passed_over_by_the_one_it_is_hidden_from_only() -> None:
    log = make_log(b"one")
    log.append(b"secret", 2, hidden_from="ann")
    log.append(b"two", 1)
    assert log.read(0, upto=4, limit=ALL, reader="ann") == ([b"one", b"two"], 4)
    assert log.read(0, upto=4, limit=ALL, reader="bob") == ([b"one", b"secret", b"two"], 4)


def test_a_hidden_run_costs_its_reader_nothing_of_the_limit() -> None:
    log = make_log()
    log.append(b"secret", 1, hidden_from="ann")
    log.append(b"two", 1)
    assert read(log, limit=1) == ([b"two"], 2)


def test_the_position_moves_past_a_hidden_end() -> None:
    log = make_log(b"one")
    log.append(b"secret", 1, hidden_from="ann")
    assert read(log, 1) == ([], 2)


@pytest.mark.parametrize(("after", "size"), [(0, 11), (1, 8), (2, 5), (3, 0), (9, 0)])
def test_unread_bytes_are_those_between_a_position_and_the_head(after: int, size: int) -> None:
    assert make_log(b"one", b"two", b"three").unread_bytes(after) == size


def test_unread_bytes_of_the_oldest_position_leave_out_what_is_forgotten() -> None:
    log = make_log(b"one", b"two", b"three", history_bytes=5)
    log.trim(3)
    assert log.unread_bytes(log.start) == log.retained_bytes == 5


def test_a_log_within_its_budget_forgets_nothing() -> None:
    log = make_log(b"one", b"two", history_bytes=6)
    log.trim(2)
    assert (log.start, log.retained_bytes) == (0, 6)


def test_the_oldest_runs_beyond_the_budget_are_forgotten() -> None:
    log = make_log(b"one", b"two", b"three", history_bytes=8)
    log.trim(3)
    assert (log.start, log.retained_bytes) == (1, 8)
    assert read(log, 1) == ([b"two", b"three"], 3)


def test_forgetting_leaves_an_eighth_of_slack_where_runs_are_small() -> None:
    log = make_log(*[b"x"] * 801, history_bytes=800)
    log.trim(801)
    assert log.retained_bytes == 700


def test_without_a_budget_nothing_stays_that_every_reader_has_had() -> None:
    log = make_log(b"one", b"two", history_bytes=0)
    log.trim(1)
    assert (log.start, log.retained_bytes) == (1, 3)
    log.trim(2)
    assert (log.start, log.retained_bytes) == (2, 0)


@pytest.mark.parametrize("read_upto", [0, 1, 2])
def test_what_the_slowest_reader_has_not_had_is_kept_beyond_the_budget(read_upto: int) -> None:
    log = make_log(b"one", b"two", b"three", history_bytes=1)
    log.trim(read_upto)
    assert log.start == read_upto
    assert read(log, read_upto) == ([b"one", b"two", b"three"][read_upto:], 3)


def test_a_run_larger_than_the_budget_stays_readable() -> None:
    log = make_log(b"small", b"large" * 100, history_bytes=10)
    log.trim(2)
    assert read(log, 1) == ([b"large" * 100], 2)


@pytest.mark.parametrize("after", [0, 1])
def test_nobody_reads_across_what_is_forgotten(after: int) -> None:
    log = make_log(b"one", b"two", b"three", history_bytes=5)
    log.trim(3)
    with pytest.raises(
        LocalProtocolError, match=f"^cannot read from position {after}: the log begins at 2$"
    ):
        read(log, after)
    assert read(log, 2) == ([b"three"], 3)


def test_positions_go_on_counting_after_runs_were_forgotten() -> None:
    log = make_log(b"one", b"two", history_bytes=3)
    log.trim(2)
    log.append(b"three", 1)
    assert log.head == 3
    assert read(log, 1) == ([b"two", b"three"], 3)


@dataclass(frozen=True)
class Appended:
    """What the model keeps of a run."""

    last: int
    blob: bytes
    hidden_from: str | None


class LogMachine(RuleBasedStateMachine):
    """A log behaves like a plain list of everything that was ever appended."""

    @initialize(history_bytes=st.integers(0, 40))
    def begin(self, history_bytes: int) -> None:
        self.history_bytes = history_bytes
        self.log = PublicLog(generation="g", history_bytes=history_bytes)
        self.runs: list[Appended] = []
        self.head = 0

    @property
    def boundaries(self) -> list[int]:
        """Positions that a reader can have."""
        return [self.log.start, *(run.last for run in self.runs if run.last > self.log.start)]

    def size_after(self, position: int) -> int:
        return sum(len(run.blob) for run in self.runs if run.last > position)

    @rule(
        blob=st.binary(min_size=1, max_size=20),
        count=st.integers(1, 5),
        hidden_from=st.sampled_from([None, "ann", "bob"]),
    )
    def append(self, blob: bytes, count: int, hidden_from: str | None) -> None:
        self.log.append(blob, count, hidden_from=hidden_from)
        self.head += count
        self.runs.append(Appended(self.head, blob, hidden_from))

    @rule(data=st.data(), limit=st.integers(0, 60), reader=st.sampled_from(["ann", "bob", "cat"]))
    def read(self, data: st.DataObject, limit: int, reader: str) -> None:
        after = data.draw(st.sampled_from(self.boundaries))
        upto = data.draw(st.sampled_from(self.boundaries))
        blobs: list[bytes] = []
        cursor = after
        for run in self.runs:
            if after < run.last <= upto and sum(map(len, blobs)) < limit:
                cursor = run.last
                if run.hidden_from != reader:
                    blobs.append(run.blob)
        assert self.log.read(after, upto=upto, limit=limit, reader=reader) == (blobs, cursor)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        slowest = data.draw(st.sampled_from(self.boundaries))
        before = self.log.start
        was_over = self.log.retained_bytes > self.history_bytes
        self.log.trim(slowest)
        assert before <= self.log.start <= max(slowest, before)
        if was_over:
            # It holds too much only if the slowest reader, or the last run in part, still needs it.
            kept = [run for run in self.runs if run.last > self.log.start]
            without_next = self.log.retained_bytes - len(kept[0].blob) if kept else 0
            floor = self.history_bytes * 7 // 8
            assert not kept or kept[0].last > slowest or without_next < floor
            assert self.log.retained_bytes >= floor
        else:
            assert self.log.start == before

    @invariant()
    def sizes_are_those_of_the_model(self) -> None:
        assert self.log.head == self.head
        assert self.log.retained_bytes == self.size_after(self.log.start)
        for position in self.boundaries:
            assert self.log.unread_bytes(position) == self.size_after(position)


TestLogAgainstAList = LogMachine.TestCase
