"""Tables for people: aligned columns of text, one row a line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from acprelay.cli.terminal import cut, one_line

_GAP = "  "


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lays out a table, as wide as its cells need.

    Args:
        headers: What stands above each column.
        rows: The cells, as many in each row as there are headers. They may hold anything.

    Returns:
        The lines, the headers' first, without spaces at their ends.
    """
    cells = [list(headers), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on standard output; lines are cut where that is a terminal of that width."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table(headers, rows):
        print(line if width is None else cut(line, width=width))
