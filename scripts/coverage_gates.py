"""Holds branch coverage to its gates.

The pure packages are covered whole. Everything else together keeps a floor: a whole number of
percent, in a file of its own, that only goes up. `--raise` writes the highest one that holds.

Reads what `coverage json` wrote. It measures nothing, and knows neither pytest nor git.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

WHOLE = ("src/acprelay/routing/", "src/acprelay/session/", "src/acprelay/wire/")
FLOOR = Path(__file__).with_name("coverage-floor")


class FileCoverage(NamedTuple):
    """How much of one file ran."""

    path: str
    possible: int
    """Statements and branches together."""
    covered: int
    missing: str


def main(arguments: list[str]) -> int:
    """Returns 0 where every gate holds, else 1."""
    parser = argparse.ArgumentParser(description="Hold branch coverage to its gates.")
    parser.add_argument("report", type=Path, help="the file that `coverage json` wrote")
    parser.add_argument("--floor", type=Path, default=FLOOR, help="the file that holds the floor")
    parser.add_argument(
        "--raise", dest="raises", action="store_true", help="write the highest floor that holds"
    )
    options = parser.parse_args(arguments)
    files = list(read_report(options.report))
    failures = [failure for package in WHOLE for failure in check_whole(package, files)]
    failures += check_floor(options.floor, files, raises=options.raises)
    for failure in failures:
        print(f"coverage: {failure}", file=sys.stderr)
    return 1 if failures else 0


def read_report(report: Path) -> Iterable[FileCoverage]:
    """Yields every measured file of a `coverage json` report."""
    for path, measured in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        summary = measured["summary"]
        lines = measured["missing_lines"]
        branches = [
            f"{start}->{end}"
            for start, end in measured["missing_branches"]
            if start not in lines and end not in lines
        ]
        yield FileCoverage(
            path=path,
            possible=summary["num_statements"] + summary["num_branches"],
            covered=summary["covered_lines"] + summary["covered_branches"],
            missing=", ".join([*map(str, lines), *branches]),
        )


def percent(files: Iterable[FileCoverage]) -> float:
    """Returns how much of the files ran, 100.0 for files without code."""
    counted = list(files)
    possible = sum(file.possible for file in counted)
    return 100.0 * sum(file.covered for file in counted) / possible if possible else 100.0


def check_whole(package: str, files: list[FileCoverage]) -> list[str]:
    """Returns what keeps a package from being covered whole."""
    measured = [file for file in files if file.path.startswith(package)]
    if not measured:
        return [f"cannot find {package} in the report"]
    print(f"coverage: {package} {percent(measured):.2f} % of 100 %")
    return [
        f"{file.path} is not covered whole: {file.missing}"
        for file in measured
        if file.covered < file.possible
    ]


def check_floor(floor: Path, files: list[FileCoverage], *, raises: bool) -> list[str]:
    """Returns what is wrong with the rest; raises the floor where it is asked to and can."""
    rest = [file for file in files if not file.path.startswith(WHOLE)]
    least = int(floor.read_text(encoding="utf-8"))
    reached = percent(rest)
    print(f"coverage: everything else {reached:.2f} % of at least {least} %")
    if reached < least:
        worst = sorted(rest, key=lambda file: file.covered - file.possible)[:5]
        gaps = [f"{file.path} misses {file.missing}" for file in worst if file.missing]
        return [f"everything else fell below its floor of {least} %", *gaps]
    if int(reached) > least:
        if raises:
            floor.write_text(f"{int(reached)}\n", encoding="utf-8")
            print(f"coverage: the floor is {int(reached)} % now")
        else:
            print(f"coverage: the floor can rise to {int(reached)} %: make raise-floor")
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
