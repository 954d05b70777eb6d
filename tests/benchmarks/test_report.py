"""What is told of results: medians, verdicts, tables, and who is missing."""

from __future__ import annotations

import json

import pytest

from benchmarks import report
from benchmarks.measures import MEASURES
from benchmarks.peers import OWN, PEERS
from benchmarks.requirements import (
    BARE,
    PARTS,
    RELAY,
    Requirement,
    Verdict,
    added,
    figure,
    ratio,
    verdicts,
)
from benchmarks.results import Failure, Results, Sample


def rates(peer: str, *values: float) -> list[Sample]:
    return [Sample("stream", peer, n, {"rate": value}) for n, value in enumerate(values)]


def test_the_median_is_that_of_all_rounds() -> None:
    results = Results(samples=rates("a", 1, 100, 3) + rates("b", 7))
    assert results.median("stream", "a", "rate") == 3
    assert results.median("stream", "b", "rate") == 7


def test_what_was_not_measured_has_no_median() -> None:
    results = Results(samples=rates("a", 1))
    assert results.median("stream", "b", "rate") is None
    assert results.median("stream", "a", "lost") is None


def test_results_are_the_same_after_they_were_written_and_read() -> None:
    results = Results(
        machine={"date": "2026-11-28"},
        samples=rates("a", 1.5, 2.5),
        failures=[Failure("trips", "a", "nothing came")],
        missing={"b": "tried pip install b"},
    )
    written = json.dumps(results.to_json())
    assert Results.from_json(json.loads(written)) == results
    assert json.loads(written)["medians"] == {"stream": {"a": {"rate": 2.0}}}


def test_a_ratio_is_that_of_medians() -> None:
    results = Results(samples=rates("a", 10, 30, 20) + rates("b", 5, 4, 3))
    value = ratio(figure("stream", "rate", "a"), figure("stream", "rate", "b"))
    assert value(results) == 5


def test_there_is_no_ratio_to_nothing() -> None:
    results = Results(samples=rates("a", 10) + rates("b", 0))
    of_a = figure("stream", "rate", "a")
    assert ratio(of_a, figure("stream", "rate", "b"))(results) is None
    assert ratio(of_a, figure("stream", "rate", "c"))(results) is None
    assert ratio(figure("stream", "rate", "c"), of_a)(results) is None


def test_what_is_added_is_the_difference_of_medians() -> None:
    results = Results(samples=rates("a", 10) + rates("b", 4))
    of_a, of_b = figure("stream", "rate", "a"), figure("stream", "rate", "b")
    assert added(of_a, of_b)(results) == 6
    assert added(of_a, figure("stream", "rate", "c"))(results) is None


@pytest.mark.parametrize(
    ("value", "at_most", "word"),
    [
        (2.0, False, "reached"),
        (1.9, False, "missed"),
        (2.0, True, "reached"),
        (2.1, True, "missed"),
        (None, False, "not measured"),
        (None, True, "not measured"),
    ],
)
def test_a_bound_is_reached_or_missed(value: float | None, at_most: bool, word: str) -> None:
    required = Requirement(what="", unit="", value=lambda _: value, bound=2, at_most=at_most)
    assert Verdict(required, value).word == word


def test_every_requirement_is_about_something_that_is_measured() -> None:
    samples = [
        Sample(measure.name, peer.name, 0, {figure.key: 1.0 for figure in measure.figures})
        for measure in MEASURES
        for peer in (*OWN, *PEERS)
        if not measure.peers or peer.name in measure.peers
    ]
    unmeasured = [v for v in verdicts(Results(samples=samples)) if v.value is None]
    # Nothing is added to nothing's round trip: its ratio needs figures that differ.
    assert [v.requirement.what for v in unmeasured] == [
        "added round trip, p50",
        "added round trip, p99",
    ]


def test_what_bare_reaches_is_computed_as_what_the_relay_reaches() -> None:
    samples = [*rates(RELAY, 60), *rates(BARE, 80), *rates("direct", 100)]
    samples += [
        Sample("trips", peer, 0, {"p50_us": value})
        for peer, value in ((RELAY, 90), (BARE, 60), ("websocketd", 50), ("direct", 40))
    ]
    found = {
        (v.requirement.what, v.requirement.unit): (v.value, v.bare)
        for v in verdicts(Results(samples=samples))
    }
    assert found["stream", "times direct pipe"] == (0.6, 0.8)
    assert found["added round trip, p50", "times websocketd"] == (5, 2)


def test_what_was_measured_of_the_relay_alone_is_not_told_of_bare() -> None:
    samples = [*rates(BARE, 80), Sample("exact-path", PARTS, 0, {"worst_us": 3.0})]
    samples.append(Sample("fan-out", RELAY, 0, {"rate": 100.0}))
    assert {v.bare for v in verdicts(Results(samples=samples))} == {None}


def test_measures_and_peers_have_names_of_their_own() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    peers = {peer.name for peer in (*OWN, *PEERS)}
    assert {name for measure in MEASURES for name in measure.peers} <= peers
    assert {name for peer in PEERS for name in peer.cannot} <= set(names)


def test_a_table_has_the_peers_in_their_order_and_dashes_where_nothing_was_measured() -> None:
    (stream,) = (measure for measure in MEASURES if measure.name == "stream")
    samples = [Sample("stream", "b", 0, {"rate": 1234.4, "lost": 0}), *rates("a", 5)]
    assert report.measure_table(stream, Results(samples=samples)) == [
        ["", "updates/s", "CPU s per million", "lost"],
        ["b", "1,234", "-", "0"],
        ["a", "5", "-", "-"],
    ]


def test_in_a_terminal_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    assert report.as_text([["", "rate", "word"], ["one", "5", "x"], ["b", "1,234", "yy"]]) == (
        "      rate  word\none      5  x\nb    1,234  yy"
    )


def test_on_a_page_a_table_has_a_line_below_its_header() -> None:
    assert report.as_markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_on_a_page_no_cell_breaks_its_row() -> None:
    assert report.as_markdown([["a"], ["x |\n y"]]) == "| a |\n|---|\n| x \\| y |"


def test_missing_peers_and_failures_are_named_with_the_reason() -> None:
    results = Results(
        samples=rates("acprelay", 5),
        failures=[Failure("trips", "a", "nothing came")],
        missing={"b": "tried pip install b: no route"},
    )
    told = report.in_terminal(results)
    assert "Missing peers, and what was tried\n  b: tried pip install b: no route" in told
    assert "Without a figure, and why\n  trips, a: nothing came" in told


def test_each_requirement_is_told_reached_missed_or_not_measured() -> None:
    samples = rates("acprelay", 60) + rates("direct", 100) + rates("websocketd", 20)
    samples += rates("bare", 80)
    told = report.in_terminal(Results(samples=samples))
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "stream ≥ 0.5 times direct pipe 0.60 0.80 reached" in lines
    assert "stream ≥ 3.5 times websocketd 3.00 4.00 missed" in lines
    assert "stream ≥ 8 times acpremote - - not measured" in lines
