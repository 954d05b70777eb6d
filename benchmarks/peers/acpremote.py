"""acpremote: an ACP agent over WebSocket (Python)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.processes import free_port, serving


@contextmanager
def _start(program: Path, stage: Stage) -> Iterator[Running]:
    port = free_port()
    argv = (program, "expose", "--host", "127.0.0.1", "--port", str(port), "--", stage.tools.agent)
    with serving(argv, port=port, cwd=stage.folder) as tree:
        options = ("--port", str(port), "--path", "/acp/ws")
        yield Running(reach=lambda: options, tree=tree, agent=stage.tools.agent)


ACPREMOTE = Peer(
    name="acpremote",
    origin="PyPI, 1.10.0",
    install=lambda shop: shop.pip("acpremote==1.10.0", "acpremote"),
    start=_start,
)
