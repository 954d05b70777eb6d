"""The relay's parts by themselves, in a process of their own: nothing is served."""

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
    yield Running(reach=tuple, tree=None, agent=stage.tools.agent)


PARTS = Peer(
    name="parts",
    origin="functions of this project",
    install=_install,
    start=_start,
    only_named=True,
)
