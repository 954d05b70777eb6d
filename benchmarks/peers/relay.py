"""The relay as `acprelay serve` ships it: with tokens, metrics and a state directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from acprelay import __version__
from benchmarks.installing import Shop
from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.places import PROJECT
from benchmarks.processes import free_port, serving

AGENTLESS = "benchmarks.agentless_relay"


def _install(_: Shop) -> Path:
    return Path(sys.executable).with_name("acprelay")


@contextmanager
def _serve(command: Sequence[str | Path], stage: Stage) -> Iterator[Running]:
    port, state = free_port(), stage.folder / "state"
    config = stage.folder / "config.toml"
    agent = f"[agents.benchmark]\ncommand = [{json.dumps(str(stage.tools.agent))}]\n"
    config.write_text(f"{agent}prewarm = {stage.prewarm}\n{stage.settings}")
    argv = (*command, "serve", "--config", config, "--port", str(port), "--state-dir", state)
    env = {"PYTHONPATH": str(PROJECT)}
    with serving((*argv, "--drain", "0"), port=port, cwd=stage.folder, env=env) as tree:
        token = (state / "owner-token").read_text().strip()
        options = ("--port", str(port), "--path", "/acp", "--bearer", token)
        yield Running(
            reach=lambda: options,
            tree=tree,
            agent=stage.tools.agent,
            url=f"http://127.0.0.1:{port}",
            token=token,
        )


RELAY = Peer(
    name="acprelay",
    origin=f"this project, {__version__}",
    install=_install,
    start=lambda program, stage: _serve([program], stage),
)
AGENTLESS_RELAY = Peer(
    name="agentless",
    origin="this project, with agents in the relay's memory",
    install=_install,
    start=lambda _, stage: _serve([sys.executable, "-m", AGENTLESS], stage),
    only_named=True,
)
