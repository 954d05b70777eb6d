"""Standard output for commands that print a report, for people or for programs."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence

from acprelay.cli.terminal import harmless

WIDTH = 100
"""How many columns a report for people has at most, where what it shows can be broken or cut."""


def put(text: str) -> None:
    """Writes a line, with escapes for what standard output cannot carry.

    What others wrote is made harmless where standard output is a terminal.
    """
    encoding = sys.stdout.encoding
    shown = harmless(text) if sys.stdout.isatty() else text
    print(shown.encode(encoding, "backslashreplace").decode(encoding))


def put_json(value: object) -> None:
    """Writes a value as one line of JSON."""
    print(json.dumps(value))


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lays rows out in columns, two spaces apart; the last column is as long as it is."""
    rows = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def entry(label: str, text: str, *, indent: int) -> str:
    """Lays out a label and what belongs to it, in as many lines as that takes.

    Args:
        label: What it is.
        text: What is said about it.
        indent: The column where the text begins, in each line.
    """
    return textwrap.fill(
        text,
        width=WIDTH,
        initial_indent=f"  {label}".ljust(indent),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
