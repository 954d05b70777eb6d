"""websocketd: a process for each WebSocket, its lines as messages (Go)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.processes import free_port, serving


def _version(program: Path) -> str:
    """Takes the number out of `websocketd 0.4.1 (go1.19.8 linux-amd64) --`."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return " ".join(said.stdout.split()[1:2])


@contextmanager
def _start(program: Path, stage: Stage) -> Iterator[Running]:
    port = free_port()
    argv = (program, "--address", "127.0.0.1", "--port", str(port), "--loglevel", "fatal")
    with serving((*argv, stage.tools.agent), port=port, cwd=stage.folder) as tree:
        options = ("--port", str(port))
        yield Running(reach=lambda: options, tree=tree, agent=stage.tools.agent)


WEBSOCKETD = Peer(
    name="websocketd",
    origin="Debian",
    install=lambda shop: shop.apt("websocketd", "websocketd"),
    start=_start,
    version=_version,
)
