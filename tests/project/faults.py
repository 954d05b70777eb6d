"""Reads the table of faults, and which tests it says show each of them; runs none of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.project.requirements import NEVER_RUN, decorators, name_of_test, names_of_marks

COLUMNS = ["fault", "what becomes of it", "what is said, and what to do", "shown by"]


class Row(NamedTuple):
    """One fault of the page."""

    fault: str
    tests: list[str]
    """The tests that show it: `fault/test_x.py::test_y`, from the folder of all tests on."""


class Table(NamedTuple):
    """The page, as it was read."""

    rows: list[Row]
    flaws: list[str]


def read_table(page: Path) -> Table:
    """Reads the rows of all tables of faults that a page has."""
    rows: list[Row] = []
    flaws: list[str] = []
    is_of_faults = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            is_of_faults = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells == COLUMNS:
            is_of_faults = True
        elif is_of_faults and set(line) - set("|-"):
            tests = re.findall(r"`([^`]+)`", cells[-1])
            rows.append(Row(cells[0], tests))
            if len(cells) != len(COLUMNS) or not all(cells):
                flaws.append(f"{cells[0]!r} has not its {len(COLUMNS)} cells")
            if not tests:
                flaws.append(f"{cells[0]!r} is shown by no test")
    return Table(rows, flaws)


def disagreements(page: Path, tests: Path) -> list[str]:
    """Says where the page and the tests do not meet.

    Args:
        page: The page that has the tables.
        tests: The folder of all tests.
    """
    table = read_table(page)
    found = list(table.flaws)
    for fault, name in ((row.fault, name) for row in table.rows for name in row.tests):
        module, _, test = name.partition("::")
        there = _tests_of(tests / module) if (tests / module).is_file() else {}
        if test not in there:
            found.append(f"{fault!r} is shown by {name}, which there is not")
        elif not there[test]:
            found.append(f"{fault!r} is shown by {name}, which never runs")
    named = {name for row in table.rows for name in row.tests}
    found += [f"{name} stands in no table" for name in _tests_of_faults(tests) if name not in named]
    return found


def _tests_of_faults(tests: Path) -> Iterator[str]:
    for module in sorted((tests / "fault").rglob("test_*.py")):
        for name in _tests_of(module):
            yield f"{module.relative_to(tests).as_posix()}::{name}"


def _tests_of(module: Path) -> dict[str, bool]:
    """The tests of a module, and whether they run."""
    tree = ast.parse(module.read_text(encoding="utf-8"), filename=str(module))
    return {
        name: not any(names_of_marks(mark) & NEVER_RUN for mark in decorators(node))
        for node in tree.body
        if (name := name_of_test(node)) is not None
    }
