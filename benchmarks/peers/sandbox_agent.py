"""sandbox-agent: agents over HTTP, messages posted and answered as server-sent events (Rust).

It knows its agents by name, so ours stands in for one of those that it starts by a launcher.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.processes import free_port, serving

NAME = "pi"
ONE_STREAM = "the load client reaches one of its sessions at a time"


@contextmanager
def _start(program: Path, stage: Stage) -> Iterator[Running]:
    port = free_port()
    launchers = stage.folder / "sandbox-agent" / "bin" / "agent_processes"
    launchers.mkdir(parents=True)
    launcher = launchers / f"{NAME}-acp"
    launcher.write_text(f"#!/bin/sh\nexec {stage.tools.agent}\n")
    launcher.chmod(0o755)
    argv = (program, "server", "--host", "127.0.0.1", "--port", str(port), "--no-token")
    home = {"XDG_DATA_HOME": str(stage.folder), "HOME": str(stage.folder)}
    numbers = itertools.count()
    with serving((*argv, "--no-telemetry"), port=port, cwd=stage.folder, env=home) as tree:
        yield Running(
            reach=lambda: (
                *("--events", "--port", str(port)),
                *("--path", f"/v1/acp/run{next(numbers)}?agent={NAME}"),
            ),
            tree=tree,
            agent=stage.tools.agent,
        )


SANDBOX_AGENT = Peer(
    name="sandbox-agent",
    origin="npm, @sandbox-agent/cli 0.4.2",
    install=lambda shop: shop.npm("@sandbox-agent/cli@0.4.2", ".bin/sandbox-agent"),
    start=_start,
    cannot={"sessions": ONE_STREAM, "first": ONE_STREAM, "mixed": ONE_STREAM},
)
