"""The program that holds coverage to its gates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PURE = ("routing", "session", "wire")

pytestmark = pytest.mark.process


def measured(possible: int, covered: int, *missing_lines: int) -> dict[str, object]:
    return {
        "summary": {
            "num_statements": possible,
            "num_branches": 0,
            "covered_lines": covered,
            "covered_branches": 0,
        },
        "missing_lines": list(missing_lines),
        "missing_branches": [],
    }


class Gates:
    """The gates over a report and a floor of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._report = folder / "report.json"
        self._floor = folder / "floor"
        self.files = {f"src/acprelay/{name}/x.py": measured(4, 4) for name in PURE}

    def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        self._report.write_text(json.dumps({"files": self.files}))
        script = PROJECT / "scripts/coverage_gates.py"
        return subprocess.run(
            [sys.executable, script, "--floor", self._floor, *options, self._report],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def floor(self) -> int:
        return int(self._floor.read_text())

    @floor.setter
    def floor(self, value: int) -> None:
        self._floor.write_text(f"{value}\n")


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    gates = Gates(tmp_path)
    gates.floor = 80
    gates.files["src/acprelay/server/x.py"] = measured(100, 83, 7)
    return gates


def test_whole_pure_packages_and_a_rest_above_its_floor_pass(gates: Gates) -> None:
    done = gates.check()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("package", PURE)
def test_one_line_missing_from_a_pure_package_fails_and_is_named(
    gates: Gates, package: str
) -> None:
    gates.files[f"src/acprelay/{package}/y.py"] = measured(1000, 999, 12)
    done = gates.check()
    assert done.returncode == 1
    assert f"src/acprelay/{package}/y.py is not covered whole: 12" in done.stderr


def test_one_branch_missing_from_a_pure_package_fails_and_is_named(gates: Gates) -> None:
    gates.files["src/acprelay/wire/y.py"] = {
        "summary": {
            "num_statements": 5,
            "num_branches": 2,
            "covered_lines": 5,
            "covered_branches": 1,
        },
        "missing_lines": [],
        "missing_branches": [[4, 6]],
    }
    done = gates.check()
    assert done.returncode == 1
    assert "src/acprelay/wire/y.py is not covered whole: 4->6" in done.stderr


def test_a_pure_package_that_nobody_measured_fails(gates: Gates) -> None:
    del gates.files["src/acprelay/session/x.py"]
    done = gates.check()
    assert done.returncode == 1
    assert "cannot find src/acprelay/session/ in the report" in done.stderr


def test_a_rest_below_its_floor_fails_and_names_the_gap(gates: Gates) -> None:
    gates.floor = 84
    done = gates.check()
    assert done.returncode == 1
    assert "fell below its floor of 84 %" in done.stderr
    assert "src/acprelay/server/x.py misses 7" in done.stderr


def test_the_pure_packages_do_not_lift_the_rest(gates: Gates) -> None:
    gates.files["src/acprelay/wire/big.py"] = measured(100_000, 100_000)
    gates.floor = 84
    assert gates.check().returncode == 1


def test_the_floor_stays_where_it_is_until_it_is_raised(gates: Gates) -> None:
    assert "the floor can rise to 83 %" in gates.check().stdout
    assert gates.floor == 80
    gates.check("--raise")
    assert gates.floor == 83


def test_raising_never_lowers_the_floor(gates: Gates) -> None:
    gates.floor = 84
    assert gates.check("--raise").returncode == 1
    assert gates.floor == 84
