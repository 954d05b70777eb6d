"""The page that the command writes, and the charts on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.charts import charts
from benchmarks.page import BEGIN, END, CannotWrite, block, with_block
from benchmarks.places import DOCS
from benchmarks.plots import spelled
from benchmarks.results import Failure, Results, Sample

RESULTS = Results(
    machine={"date": "2026-11-28"},
    samples=[
        Sample("stream", "acprelay", 0, {"rate": 10.0}),
        Sample("stream", "direct", 0, {"rate": 20.0}),
    ],
    failures=[Failure("trips", "a", "nothing came")],
    missing={"b": "tried npm install b: npm is missing"},
)


def test_a_block_takes_the_place_of_the_one_before_and_nothing_else_changes() -> None:
    text = f"# Title\n\n{BEGIN}\n\nold\n\n{END}\n\nmore\n"
    once = with_block(text, "new")
    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"
    assert with_block(once, "new") == once


@pytest.mark.parametrize(
    "text",
    ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{BEGIN}{END}"],
)
def test_a_page_without_one_place_for_the_block_is_refused(text: str) -> None:
    with pytest.raises(CannotWrite, match="cannot find one"):
        with_block(text, "new")


def test_the_page_of_the_documentation_has_one_place_for_the_block() -> None:
    assert BEGIN in with_block((DOCS / "performance.md").read_text(), "new")


def test_the_block_has_the_machine_the_verdicts_the_figures_and_who_is_missing() -> None:
    written = block(RESULTS, charts(RESULTS))
    assert "| date | 2026-11-28 |" in written
    assert "| stream | ≥ 0.5 times direct pipe | 0.50 | - | reached |" in written
    assert "| acprelay | 10 | - | - |" in written
    assert "| a | `trips`: nothing came |" in written
    assert "| b | everything: tried npm install b |" in written
    assert "](performance/stream-rate.svg)" in written


def test_results_are_written_into_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    page.write(path, RESULTS, [])
    text = path.read_text()
    assert "| acprelay | 10 |" in text
    assert "old" not in text


def test_a_chart_has_a_bar_for_each_peer_that_was_measured() -> None:
    (chart,) = charts(RESULTS)
    assert chart.name == "stream-rate"
    assert chart.bars == [("acprelay", 10.0), ("direct", 20.0)]


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (0.1234, "0.123")])
def test_the_numbers_at_bars_are_short(value: float, text: str) -> None:
    assert spelled(value) == text
