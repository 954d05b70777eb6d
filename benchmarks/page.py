"""The page of the documentation that shows results: what the command writes into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.charts import Chart
from benchmarks.measures import MEASURES
from benchmarks.report import as_markdown, measure_table, verdict_table
from benchmarks.requirements import verdicts
from benchmarks.results import Results

BEGIN = "<!-- what follows is written by: make bench ARGS=--write-docs -->"
END = "<!-- end of what is written -->"
CHARTS = "performance"
"""The folder of the charts, beside the page."""


class CannotWrite(Exception):
    """The page has no place for what is to be written."""


def with_block(page: str, block: str) -> str:
    """Puts a block between the page's two marks, in place of what is there.

    Raises:
        CannotWrite: The page does not have each mark once, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise CannotWrite(f"cannot find one {BEGIN} and then one {END} in the page")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def block(results: Results, charts: Sequence[Chart]) -> str:
    """Gives everything that the page shows of a run."""
    machine = [["", ""], *([name, value] for name, value in results.machine.items())]
    parts = [as_markdown(machine), "### What must be reached"]
    parts.append(as_markdown(verdict_table(verdicts(results))))
    parts.append("### What was measured")
    parts += [f"![{chart.title}]({CHARTS}/{chart.name}.svg)" for chart in charts]
    for measure in MEASURES:
        table = measure_table(measure, results)
        if len(table) > 1:
            table[0][0] = f"`{measure.name}`"
            parts.append(f"{measure.title[:1].upper()}{measure.title[1:]}:\n\n{as_markdown(table)}")
    # What an installer said is of that day and that network alone.
    absent = [[p, f"everything: {why.partition(': ')[0]}"] for p, why in results.missing.items()]
    absent += [[each.peer, f"`{each.measure}`: {each.why}"] for each in results.failures]
    if absent:
        parts.append("Without a figure:")
        parts.append(as_markdown([["peer", "what, and why"], *absent]))
    return "\n\n".join(parts)


def write(path: Path, results: Results, charts: Sequence[Chart]) -> None:
    """Writes results into the page.

    Raises:
        CannotWrite: It has no place for them.
    """
    path.write_text(with_block(path.read_text(), block(results, charts)))
