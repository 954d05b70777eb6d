"""Which figures are drawn, and from which results; drawing them is another program's work."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.installing import Shop
from benchmarks.places import PROJECT
from benchmarks.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart of bars, one for each peer.

    Attributes:
        name: Its file, without the suffix.
        title: What it shows, with the unit.
        bars: Names and lengths, in their order.
        is_logarithmic: Whether the lengths are too far apart for a linear scale.
    """

    name: str
    title: str
    bars: list[tuple[str, float]]
    is_logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    measure: str
    figure: str
    title: str
    is_logarithmic: bool = False


WANTED = (
    _Wanted("stream", "rate", "updates of 300 bytes a second, one client"),
    _Wanted(
        "stream",
        "cpu_s_per_million",
        "CPU seconds of the relay for a million updates, logarithmic",
        True,
    ),
    _Wanted("trips", "p50_us", "one prompt with one update, median µs, logarithmic", True),
    _Wanted("20kib", "mb_per_s", "updates of 20 KiB, MB a second"),
)


def charts(results: Results) -> list[Chart]:
    """Gives the charts that the results have figures for."""
    made = []
    for wanted in WANTED:
        bars = [
            (peer, value)
            for peer in results.peers_of(wanted.measure)
            if (value := results.median(wanted.measure, peer, wanted.figure))
        ]
        if bars:
            chart = Chart(
                name=f"{wanted.measure}-{wanted.figure}".replace("_", "-"),
                title=wanted.title,
                bars=bars,
                is_logarithmic=wanted.is_logarithmic,
            )
            made.append(chart)
    return made


def draw(all_: Sequence[Chart], folder: Path, shop: Shop) -> None:
    """Draws charts as SVG files into a folder, which is made.

    Raises:
        CannotInstall: What draws them cannot be had.
    """
    python = shop.group("bench", "python")
    folder.mkdir(parents=True, exist_ok=True)
    told = json.dumps([asdict(chart) for chart in all_])
    program = [python, PROJECT / "benchmarks" / "plots.py", folder]
    subprocess.run(program, input=told, text=True, check=True)
