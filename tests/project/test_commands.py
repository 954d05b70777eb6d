"""The commands a developer and continuous integration type."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.process


class Stage:
    """A copy of the project's scripts, on a machine whose programs the test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = folder / "programs"
        self._programs.mkdir()
        for name in ("scripts", ".ci"):
            shutil.copytree(PROJECT / name, folder / name)

    def program(self, name: str, body: str) -> None:
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHON"}
        path = f"{self._programs}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [self.folder / command],
            env={**inherited, "PATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def python_without_environments(version: str) -> str:
    return f"""case "$2" in
  *ensurepip*) exit 1 ;;
  *print*) echo {version} ;;
esac"""


def test_help_tells_what_every_target_does() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert declared
    shown = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert re.findall(r"^ +make (\S+) +\S", shown, flags=re.MULTILINE) == declared[1].split()


def test_every_target_of_the_makefile_is_declared() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert declared
    assert re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE) == declared[1].split()


@pytest.mark.parametrize("status", [0, 2])
def test_continuous_integration_runs_make_test_and_ends_as_it_does(
    stage: Stage, status: int
) -> None:
    stage.program("make", f'echo "make $*, in $PWD"; exit {status}')
    done = stage.run(".ci/run")
    assert done.stdout == f"make test, in {stage.folder.resolve()}\n"
    assert done.returncode == status


def test_a_user_is_told_which_package_is_missing(stage: Stage) -> None:
    stage.program("python-bare", python_without_environments("3.12"))
    stage.program("apt-get", "exit 9")
    stage.program("id", "echo 1000")
    done = stage.run("scripts/bootstrap", PYTHON="python-bare")
    assert done.returncode == 1
    assert done.stderr == (
        "bootstrap: cannot make an environment: python3.12-venv is missing; "
        "run: sudo apt-get install python3.12-venv\n"
    )


def test_root_gets_the_missing_package_installed(stage: Stage) -> None:
    installed = stage.folder / "installed"
    stage.program("python-bare", python_without_environments("3.12"))
    stage.program("apt-get", f'case "$*" in *install*) echo "$*" >{installed}; exit 9 ;; esac')
    stage.program("id", "echo 0")
    done = stage.run("scripts/bootstrap", PYTHON="python-bare")
    assert done.returncode == 9
    assert installed.read_text().split()[-1] == "python3.12-venv"


def test_an_interpreter_that_is_too_old_is_refused(stage: Stage) -> None:
    stage.program("python-old", "exit 1")
    done = stage.run("scripts/bootstrap", PYTHON="python-old")
    assert done.returncode == 1
    assert "cannot find python-old of version 3.11 or newer" in done.stderr


def test_an_interpreter_that_can_make_environments_comes_before_a_newer_one(stage: Stage) -> None:
    stage.program("python-bare", python_without_environments("3.13"))
    stage.program("python-whole", 'case "$1" in -m) echo "made by whole" >&2; exit 5 ;; esac')
    done = stage.run("scripts/bootstrap", PYTHON="python-bare python-whole")
    assert "made by whole" in done.stderr
    assert "cannot make .venv with python-whole" in done.stderr
    assert not (stage.folder / ".venv").exists()
