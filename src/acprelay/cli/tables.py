"""Tables for people: aligned columns of text, one row a line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from acprelay.cli.terminal import cut, one_line

_GAP = "  "
_LEAST = 5


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


def fitted(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, width: int
) -> list[Sequence[str]]:
    """Shortens cells in their middle until a table fits, those of the widest columns first.

    The first column, which names the row, stays whole, and so do the headers: a terminal may be too
    narrow for what is left.
    """
    lines = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *lines, strict=True)]
    least = [max(len(header), _LEAST) for header in headers]
    least[0] = widths[0]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        spare = [have - need for have, need in zip(widths, least, strict=True)]
        shrinking = [index for index, each in enumerate(spare) if each > 0]
        if not shrinking:
            break
        widths[max(shrinking, key=widths.__getitem__)] -= 1
    return [
        [_shortened(cell, width=most) for cell, most in zip(row, widths, strict=True)]
        for row in lines
    ]


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on standard output, as wide as the terminal at most where that is one."""
    if not sys.stdout.isatty():
        print("\n".join(table(headers, rows)))
        return
    width = shutil.get_terminal_size().columns
    for line in table(headers, fitted(headers, rows, width=width)):
        print(cut(line, width=width))


def _shortened(text: str, *, width: int) -> str:
    if len(text) <= width:
        return text
    end = width // 2
    return f"{text[: width - end - 1]}…{text[len(text) - end :]}"
