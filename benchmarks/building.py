"""Compiles the agent and the load client: in C, so that they are not what is measured."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import SOURCES

PROGRAMS = {"agent": ("agent.c",), "load": ("load.c", "limit.c", "client.c", "connection.c")}
SHAPES = "shapes.ndjson"


class CannotBuild(Exception):
    """The load tools cannot be compiled; the message tells why, and what helps."""


@dataclass(frozen=True, slots=True)
class LoadTools:
    """The programs that put load on a relay.

    Attributes:
        agent: An agent on standard input and output.
        load: A client that counts and times; prints JSON.
    """

    agent: Path
    load: Path


def find_compiler() -> str:
    """Gives the C compiler that there is.

    Raises:
        CannotBuild: There is none.
    """
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    raise CannotBuild(
        "cannot find a C compiler, which the agent and the load client need; "
        "install one, on Debian and its kin with: apt-get install gcc libc6-dev"
    )


def build(cache: Path) -> LoadTools:
    """Compiles what has changed since it was compiled last.

    Raises:
        CannotBuild: There is no compiler, or it refuses the sources.
    """
    sources = sorted(SOURCES.iterdir())
    mark = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = cache / f"load-{mark}"
    tools = LoadTools(agent=folder / "agent", load=folder / "load")
    if not (folder / SHAPES).exists():
        compiler = find_compiler()
        for stale in cache.glob("load-*"):
            shutil.rmtree(stale)
        folder.mkdir(parents=True, exist_ok=True)
        for program, files in PROGRAMS.items():
            _compile(compiler, folder / program, files)
        # Written last: it tells that all is there. The agent reads it beside itself.
        shutil.copyfile(SOURCES / SHAPES, folder / SHAPES)
    return tools


def _compile(compiler: str, program: Path, files: tuple[str, ...]) -> None:
    done = subprocess.run(
        [compiler, "-O2", "-o", program, *(SOURCES / name for name in files)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotBuild(f"cannot compile {program.name} with {compiler}: {done.stderr[-2000:]}")
