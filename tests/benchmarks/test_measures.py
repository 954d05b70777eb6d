"""How single measures are taken, with a load client that says what it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.building import LoadTools
from benchmarks.measures import Driver
from benchmarks.measures.streams import STREAM
from benchmarks.peers import Running


def driver(folder: Path, rates: Sequence[float], lost: Sequence[int]) -> Driver:
    """Gives one whose load client says one thing after another, and fails when asked again."""
    for number, (rate, missing) in enumerate(zip(rates, lost, strict=True)):
        said = {"rate": rate, "lost": missing, "repeated": 0}
        (folder / f"said-{number}").write_text(json.dumps(said))
    load = folder / "load"
    load.write_text(f"#!/bin/sh\ncd {folder}\nset -- said-*\ncat $1\nmv $1 was-$1 || exit 1\n")
    load.chmod(0o755)
    return Driver(tools=LoadTools(agent=folder / "agent", load=load), is_quick=False)


def direct(folder: Path) -> Running:
    return Running(reach=tuple, tree=None, agent=folder / "agent")


@pytest.mark.process
@pytest.mark.parametrize(
    ("rates", "rate"),
    [
        ([5e6, 1e6, 5.5e6, 5.2e6, 0.9e6], 5e6),  # two were stopped by something else
        ([0.1e6], 0.1e6),
        ([0.3e6, 0.4e6], 0.35e6),
    ],
)
def test_a_short_stream_is_taken_several_times_and_a_long_one_once(
    tmp_path: Path, rates: list[float], rate: float
) -> None:
    figures = STREAM.take(driver(tmp_path, rates, [0] * len(rates)), direct(tmp_path))
    assert figures == {"rate": rate, "lost": 0, "repeated": 0}
    assert len(list(tmp_path.glob("was-*"))) == len(rates)


@pytest.mark.process
def test_what_one_of_several_runs_has_lost_is_told(tmp_path: Path) -> None:
    figures = STREAM.take(driver(tmp_path, [5e6] * 5, [0, 0, 7, 0, 0]), direct(tmp_path))
    assert figures["lost"] == 7
