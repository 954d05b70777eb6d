"""Results as text: a table for each measure, for the terminal or for a page, and the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.measures import MEASURES, Measure
from benchmarks.requirements import BARE, Verdict, verdicts
from benchmarks.results import Results

NOTHING = "-"
Table = list[list[str]]


def number(value: float | None, digits: int) -> str:
    """Spells a number, or a dash where there is none."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def measure_table(measure: Measure, results: Results) -> Table:
    """Gives a measure's medians: a header, and a row for each peer."""
    rows = [["", *(figure.title for figure in measure.figures)]]
    for peer in results.peers_of(measure.name):
        medians = ((results.median(measure.name, peer, f.key), f.digits) for f in measure.figures)
        rows.append([peer, *(number(value, digits) for value, digits in medians)])
    return rows


def verdict_table(all_: Sequence[Verdict]) -> Table:
    """Gives what must be reached and what was."""
    rows = [["what", "must reach", "reached", BARE, ""]]
    for verdict in all_:
        bound = verdict.requirement
        sign = "≤" if bound.at_most else "≥"
        rows.append(
            [
                bound.what,
                f"{sign} {bound.bound:g} {bound.unit}",
                number(verdict.value, 2),
                number(verdict.bare, 2),
                verdict.word,
            ]
        )
    return rows


def as_text(table: Table) -> str:
    """Lays a table out for a terminal: words to the left, numbers to the right."""
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if _has_numbers(table, at) else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def as_markdown(table: Table) -> str:
    """Lays a table out for a page."""
    header, *rows = table
    line = ["|".join(("", *("---" for _ in header), ""))]
    return "\n".join([_row(header), *line, *map(_row, rows)])


def _row(cells: Iterable[str]) -> str:
    spelled = (" ".join(cell.replace("|", "\\|").split()) for cell in cells)
    return f"| {' | '.join(spelled)} |"


def _has_numbers(table: Table, column: int) -> bool:
    cells = [row[column] for row in table[1:]]
    return all(each == NOTHING or each[:1].isdigit() for each in cells)


def in_terminal(results: Results) -> str:
    """Gives everything, as people read it in a terminal."""
    parts = ["\n".join(f"{name}: {value}" for name, value in results.machine.items())]
    for measure in MEASURES:
        table = measure_table(measure, results)
        if len(table) > 1:
            parts.append(f"{measure.title} [{measure.name}]\n{as_text(table)}")
    parts.append(f"What must be reached\n{as_text(verdict_table(verdicts(results)))}")
    parts += [text for text in (_missing(results), _failures(results)) if text]
    return "\n\n".join(parts)


def _missing(results: Results) -> str:
    lines = [f"  {peer}: {tried}" for peer, tried in results.missing.items()]
    return "\n".join(["Missing peers, and what was tried", *lines]) if lines else ""


def _failures(results: Results) -> str:
    lines = [f"  {each.measure}, {each.peer}: {each.why}" for each in results.failures]
    return "\n".join(["Without a figure, and why", *lines]) if lines else ""
