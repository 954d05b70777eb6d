"""No relay: the load client starts the agent and reads its pipe. Nothing can be faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.installing import Shop
from benchmarks.peers.model import Peer, Running, Stage


def _install(_: Shop) -> Path:
    return Path()


@contextmanager
def _start(_: Path, stage: Stage) -> Iterator[Running]:
    options = ("--agent", str(stage.tools.agent))
    yield Running(reach=lambda: options, tree=None, agent=stage.tools.agent)


DIRECT = Peer(name="direct", origin="the agent's pipe, the limit", install=_install, start=_start)
