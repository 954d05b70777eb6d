"""Which processes belong to one run of an agent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from acprelay.agents.process_table import ProcessEntry, ProcessHandle
from acprelay.agents.process_tree import belonging, owned_by

RUN = "this run"


@dataclass(frozen=True)
class FakeHandle:
    """A process by number and start time."""

    pid: int
    started_at: int = 0

    def is_running(self) -> bool:
        raise AssertionError

    def status(self) -> str:
        raise AssertionError

    def ppid(self) -> int:
        raise AssertionError

    def send_signal(self, sig: int, /) -> None:  # noqa: ARG002 - the protocol's
        raise AssertionError


def process(
    pid: int, *, parent: int = 1, group: int = 1, run: str | None = None, started_at: int = 0
) -> ProcessEntry:
    return ProcessEntry(
        handle=FakeHandle(pid, started_at), pid=pid, parent=parent, group=group, run=run
    )


LEADER = process(100, parent=50, group=100, run=RUN)
STRANGERS = (
    process(1, parent=0),
    process(50),
    process(60, parent=50, group=60, run="another run"),
    process(61, parent=60, group=60),
)


def pids(
    *table: ProcessEntry,
    known: Collection[ProcessHandle] = (),
) -> Sequence[int]:
    found = belonging((*STRANGERS, *table), group=100, leader=LEADER.handle, run=RUN, known=known)
    return sorted(entry.pid for entry in found)


def test_the_leader_belongs() -> None:
    assert pids(LEADER) == [100]


def test_a_leader_belongs_even_without_marker_and_group() -> None:
    assert pids(process(100, parent=50, group=50)) == [100]


def test_nobody_belongs_once_all_are_gone() -> None:
    assert pids() == []


def test_a_member_of_the_group_belongs_without_leader_and_marker() -> None:
    assert pids(process(101, group=100)) == [101]


def test_a_bearer_of_the_marker_belongs_wherever_it_went() -> None:
    assert pids(process(101, group=101, run=RUN)) == [101]


def test_descendants_belong_though_they_left_the_group_and_the_marker() -> None:
    child, grandchild = process(101, parent=100, group=101), process(99, parent=101, group=99)
    assert pids(grandchild, child, LEADER) == [99, 100, 101]


def test_who_belonged_before_still_belongs_and_so_do_its_children() -> None:
    known, child = process(101, group=101), process(102, parent=101, group=102)
    assert pids(known, child, known=[known.handle]) == [101, 102]


def test_a_later_process_with_a_known_number_does_not_belong() -> None:
    known, later = process(101, group=101), process(101, group=101, started_at=1)
    assert pids(later, known=[known.handle]) == []


def test_a_group_that_got_the_number_after_ours_was_gone_does_not_belong() -> None:
    stranger = process(100, group=100, started_at=1)
    assert pids(stranger, process(101, parent=100, group=100)) == []


OWNED = (
    process(1, parent=0),
    process(200, run="mine.1", group=200),
    process(201, parent=200, group=200),
    process(300, run="mine.2"),
    process(400, run="other.1"),
    process(401, run="mineral.1"),
    process(402, run="mine"),
)


def test_an_owners_processes_are_those_of_all_its_runs_and_their_descendants() -> None:
    assert [entry.pid for entry in owned_by(OWNED, "mine", asking=50)] == [200, 300, 201]


def test_whoever_asks_for_an_owners_processes_is_spared_with_all_it_descends_from() -> None:
    asking = process(202, parent=201)
    found = owned_by((*OWNED, asking), "mine", asking=202)
    assert [entry.pid for entry in found] == [300]
