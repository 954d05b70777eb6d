"""bare: Python, aiohttp and uvloop doing nothing else. What is slower than it is a relay's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.installing import Shop
from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.places import PROJECT
from benchmarks.processes import free_port, serving

PROGRAM = "benchmarks.bare_relay"


def _install(_: Shop) -> Path:
    return Path(sys.executable)


@contextmanager
def _start(python: Path, stage: Stage) -> Iterator[Running]:
    port = free_port()
    argv = (python, "-m", PROGRAM, str(port), stage.tools.agent)
    env = {"PYTHONPATH": str(PROJECT)}
    with serving(argv, port=port, cwd=stage.folder, env=env) as tree:
        options = ("--port", str(port))
        yield Running(reach=lambda: options, tree=tree, agent=stage.tools.agent)


BARE = Peer(
    name="bare",
    origin="Python, aiohttp and uvloop doing nothing else",
    install=_install,
    start=_start,
)
