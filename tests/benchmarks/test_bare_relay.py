"""The least that a relay can do: what it frames, and that nothing is lost through it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psutil
import pytest

from benchmarks.bare_relay import AgentPipe
from benchmarks.building import LoadTools
from benchmarks.installing import Shop
from benchmarks.peers import Stage
from benchmarks.peers.bare import BARE

LINES = [b"", b"{}", b"x" * 125, b"x" * 126, b"x" * 65535, b"x" * 65536]
FRAMES = (
    b"\x81\x00"
    + b"\x81\x02{}"
    + b"".join((b"\x81\x7d", LINES[2], b"\x81\x7e\x00\x7e", LINES[3]))
    + b"".join((b"\x81\x7e\xff\xff", LINES[4], b"\x81\x7f", (65536).to_bytes(8), LINES[5]))
)


@pytest.mark.parametrize("size", [1, 2, 100, 65536, 1_000_000])
def test_each_line_is_one_frame_however_the_pipe_is_read(size: int) -> None:
    written: list[bytes] = []
    pipe = AgentPipe(written.append)
    said = b"".join(line + b"\n" for line in LINES)
    for at in range(0, len(said), size):
        pipe.data_received(said[at : at + size])
    assert b"".join(written) == FRAMES


def test_one_read_is_one_write() -> None:
    written: list[bytes] = []
    pipe = AgentPipe(written.append)
    pipe.data_received(b"a\nb\nc")
    assert written == [b"\x81\x01a\x81\x01b"]


@pytest.mark.process
@pytest.mark.parametrize(
    "options",
    [
        ["stream", "--count", "20000"],
        ["stream", "--count", "20000", "--mixed"],
        ["stream", "--count", "10", "--size", "1000000"],
        ["stream", "--count", "1000", "--sessions", "3"],
        ["trips", "--count", "20"],
    ],
)
def test_nothing_is_lost_through_it_and_no_agent_is_left(
    options: list[str], tools: LoadTools, tmp_path: Path
) -> None:
    stage = Stage(tools=tools, folder=tmp_path)
    with BARE.start(BARE.install(Shop(tmp_path)), stage) as running:
        assert running.tree is not None
        said = subprocess.run(
            [tools.load, *running.reach(), "--limit-s", "20", *options],
            capture_output=True,
            timeout=30,
            check=True,
        )
        assert json.loads(said.stdout)["lost"] == 0
        agents = running.tree.children()
        assert psutil.wait_procs(agents, timeout=10)[1] == []
