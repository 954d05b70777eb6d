"""websocketd: a process for each WebSocket, its lines as messages (Go)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.processes import free_port, serving


def _version(_: Path) -> str:
    """Asks for the package's version: the program calls itself DEVBUILD."""
    query = shutil.which("dpkg-query")
    if query is None:
        return ""
    asked = [query, "--show", "--showformat=${Version}", "websocketd"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


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
