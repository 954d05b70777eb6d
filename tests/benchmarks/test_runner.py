"""Whose turn it is, and what is noted of each turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.building import LoadTools
from benchmarks.measures import CannotMeasure, Driver, Figure, Figures, Measure
from benchmarks.peers import Peer, Running, Stage
from benchmarks.processes import CannotStart
from benchmarks.results import Results
from benchmarks.runner import Runner, interleaved, takes_part

TOOLS = LoadTools(agent=Path("agent"), load=Path("load"))


def fake_peer(name: str, *, fails: bool = False, **more: object) -> Peer:
    @contextmanager
    def start(_: Path, stage: Stage) -> Iterator[Running]:
        if fails:
            raise CannotStart(f"{name} does not come up")
        yield Running(reach=lambda: (name,), tree=None, agent=stage.tools.agent)

    fields = {"origin": "", "install": lambda _: Path(), "start": start, **more}
    return Peer(name=name, **fields)  # type: ignore[arg-type]


class Turns:
    """Notes whose turns there were; fails for one peer."""

    def __init__(self, *, failing: str = "") -> None:
        self.taken: list[str] = []
        self._failing = failing

    def take(self, _: Driver, running: Running) -> Figures:
        (name,) = running.reach()
        self.taken.append(name)
        if name == self._failing:
            raise CannotMeasure("nothing came")
        return {"rate": float(len(self.taken))}


def run(tmp_path: Path, turns: Turns, *peers: Peer, rounds: int = 3, most: int = 100) -> Results:
    results = Results()
    runner = Runner(
        driver=Driver(tools=TOOLS, is_quick=False),
        programs={peer: Path() for peer in peers},
        rounds=rounds,
        cache=tmp_path,
        results=results,
        say=lambda _: None,
    )
    figures = (Figure("rate", "updates/s"),)
    runner.run(Measure(name="m", title="", figures=figures, take=turns.take, most_rounds=most))
    return results


def test_in_each_round_everybody_has_one_turn_and_another_one_begins() -> None:
    assert list(interleaved("abc", 3)) == [
        *[(0, "a"), (0, "b"), (0, "c")],
        *[(1, "b"), (1, "c"), (1, "a")],
        *[(2, "c"), (2, "a"), (2, "b")],
    ]


def test_where_nobody_takes_part_nobody_has_a_turn() -> None:
    assert list(interleaved([], 3)) == []


def test_peers_are_measured_by_turns_not_one_after_another(tmp_path: Path) -> None:
    turns = Turns()
    results = run(tmp_path, turns, fake_peer("a"), fake_peer("b"), rounds=2)
    assert turns.taken == ["a", "b", "b", "a"]
    assert [(s.peer, s.round, s.figures["rate"]) for s in results.samples] == [
        *[("a", 0, 1.0), ("b", 0, 2.0), ("b", 1, 3.0), ("a", 1, 4.0)]
    ]


def test_a_measure_that_is_worth_fewer_rounds_is_taken_in_fewer(tmp_path: Path) -> None:
    turns = Turns()
    run(tmp_path, turns, fake_peer("a"), rounds=5, most=2)
    assert turns.taken == ["a", "a"]


def test_a_peer_that_gives_nothing_is_named_once_and_the_others_go_on(tmp_path: Path) -> None:
    turns = Turns(failing="a")
    results = run(tmp_path, turns, fake_peer("a"), fake_peer("b"), rounds=2)
    assert turns.taken == ["a", "b", "b"]
    assert [(f.measure, f.peer, f.why) for f in results.failures] == [("m", "a", "nothing came")]


def test_a_peer_that_does_not_start_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    turns = Turns()
    results = run(tmp_path, turns, fake_peer("a", fails=True), fake_peer("b"), rounds=1)
    assert turns.taken == ["b"]
    assert [(f.peer, f.why) for f in results.failures] == [("a", "a does not come up")]


def test_a_peer_that_cannot_take_part_is_named_with_the_reason(tmp_path: Path) -> None:
    turns = Turns()
    results = run(tmp_path, turns, fake_peer("a", cannot={"m": "it has one session"}), rounds=1)
    assert turns.taken == []
    assert [(f.peer, f.why) for f in results.failures] == [("a", "it has one session")]


def test_what_peers_leave_behind_is_removed(tmp_path: Path) -> None:
    run(tmp_path, Turns(), fake_peer("a"), rounds=1)
    assert list(tmp_path.iterdir()) == []


def test_who_has_to_be_named_takes_part_only_in_measures_that_name_it() -> None:
    def measure(*peers: str) -> Measure:
        return Measure(name="m", title="", figures=(), take=Turns().take, peers=peers)

    shy, other = fake_peer("shy", only_named=True), fake_peer("other")
    assert not takes_part(shy, measure())
    assert takes_part(shy, measure("shy"))
    assert takes_part(other, measure())
    assert not takes_part(other, measure("shy"))
