"""Draws charts with matplotlib, where that is installed; imports nothing of the project.

Run: `python plots.py FOLDER <charts.json`.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

OURS = "acprelay"
BLUE, GREY = "#3b82f6", "#8b949e"
"""Both, and text in the grey, can be read on white and on black."""


def draw(pyplot: Any, chart: dict[str, Any], folder: Path) -> None:
    """Draws horizontal bars with their values; the relay's own stands out."""
    names, values = zip(*reversed(chart["bars"]), strict=True)
    figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.42 * len(names)))
    colours = [BLUE if name == OURS else GREY for name in names]
    bars = axes.barh(names, values, color=colours, height=0.62)
    axes.bar_label(bars, labels=[spelled(value) for value in values], padding=4, color=GREY)
    axes.set_title(chart["title"], loc="left", color=GREY, fontsize=11)
    if chart["is_logarithmic"]:
        axes.set_xscale("log")
    axes.margins(x=0.18)
    axes.tick_params(colors=GREY, length=0)
    axes.xaxis.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    undated = {"Date": None}
    path = folder / f"{chart['name']}.svg"
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata=undated)
    pyplot.close(figure)


def spelled(value: float) -> str:
    """Spells a number as short as it can be read."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """Draws what standard input tells."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    # Text stays text, and the same numbers give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "acprelay"})
    pyplot = importlib.import_module("matplotlib.pyplot")
    for chart in json.load(sys.stdin):
        draw(pyplot, chart, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
