"""Programs that are measured: they are there while they are, and nothing is left of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.processes import CannotStart, free_port, serving, without_agents

pytestmark = pytest.mark.process

LISTENS = """
import socket, subprocess, sys
waits = "import signal; signal.alarm(60); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", waits])
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()
"""


def argv(program: str, port: int) -> list[str]:
    return [sys.executable, "-c", program, str(port)]


def test_a_program_and_what_it_has_started_end_with_the_measure(tmp_path: Path) -> None:
    port = free_port()
    with serving(argv(LISTENS, port), port=port, cwd=tmp_path) as tree:
        (child,) = tree.children()
        assert tree.is_running()
    _, alive = psutil.wait_procs([tree, child], timeout=10)
    assert alive == []


def test_a_program_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    port = free_port()
    program = "raise SystemExit('no such option')"
    with (
        pytest.raises(CannotStart, match="cannot start it: no such option"),
        serving(argv(program, port), port=port, cwd=tmp_path),
    ):
        pass


def test_agents_do_not_count_as_the_relays_processes(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.write_bytes(Path("/bin/cat").read_bytes())
    agent.chmod(0o755)
    with subprocess.Popen([agent], stdin=subprocess.PIPE) as child:
        this = psutil.Process()
        found = without_agents(this, agent)
        assert this in found
        assert child.pid not in [process.pid for process in found]
        assert child.pid in [process.pid for process in without_agents(this, tmp_path)]
