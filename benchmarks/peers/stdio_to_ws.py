"""stdio-to-ws: a process for each WebSocket (Node). It would listen everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.installing import CannotInstall, Shop
from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.places import SOURCES
from benchmarks.processes import free_port, serving


def _install(shop: Shop) -> Path:
    if shutil.which("node") is None:
        raise CannotInstall("tried to find node: it is missing")
    return shop.npm("stdio-to-ws@0.2.0", "stdio-to-ws/dist/main.js")


@contextmanager
def _start(program: Path, stage: Stage) -> Iterator[Running]:
    port = free_port()
    node = ("node", "--require", SOURCES / "loopback.cjs", program)
    argv = (*node, "-q", "-p", str(port), str(stage.tools.agent))
    with serving(argv, port=port, cwd=stage.folder) as tree:
        options = ("--port", str(port))
        yield Running(reach=lambda: options, tree=tree, agent=stage.tools.agent)


STDIO_TO_WS = Peer(name="stdio-to-ws", origin="npm, 0.2.0", install=_install, start=_start)
