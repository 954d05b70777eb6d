"""What an agent's processes use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from acprelay.agents.models import Usage
from acprelay.agents.process_table import ProcessEntry, read_process_table
from acprelay.agents.usage import measure

if TYPE_CHECKING:
    from tests.agents.conftest import Starter, Witness

NOTHING = Usage(cpu_s=0.0, memory_bytes=0, processes=0)


def own_entry() -> ProcessEntry:
    (entry,) = (entry for entry in read_process_table() if entry.pid == os.getpid())
    return entry


def test_a_process_has_cpu_time_and_memory() -> None:
    used = measure([own_entry()])
    assert used.cpu_s > 0
    assert used.memory_bytes > 1 << 20
    assert used.processes == 1


@pytest.mark.parametrize("error", [psutil.NoSuchProcess(1), psutil.AccessDenied(1)])
def test_processes_that_vanish_or_cannot_be_read_are_left_out(
    monkeypatch: pytest.MonkeyPatch, error: psutil.Error
) -> None:
    def fail(_: psutil.Process) -> None:
        raise error

    entry = own_entry()
    monkeypatch.setattr(psutil.Process, "oneshot", fail)
    assert measure([entry]) == NOTHING


def test_a_later_process_under_the_same_number_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = own_entry()
    monkeypatch.setattr(psutil.Process, "__eq__", lambda *_: False)
    assert measure([entry]) == NOTHING


@pytest.mark.process
def test_a_zombie_uses_nothing_and_has_used_cpu_time() -> None:
    code = "import time\nwhile time.process_time() < 0.1: pass"
    process = subprocess.Popen([sys.executable, "-I", "-c", code])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    (entry,) = (entry for entry in read_process_table() if entry.pid == process.pid)
    used = measure([entry])
    process.wait()
    assert used.cpu_s > 0
    assert (used.memory_bytes, used.processes) == (0, 0)


@pytest.mark.process
@pytest.mark.parametrize("start", ["stdio"], indirect=True)
@pytest.mark.requirement("supervision.usage-is-the-trees")
async def test_an_agents_use_is_that_of_its_whole_tree(start: Starter, witness: Witness) -> None:
    kinds = ("group", "own-group", "own-session", "orphan")
    steps = (f"child={kind}" for kind in kinds)
    agent = await start(witness.step, *steps, "tell=ready", "linger")
    await witness.hears("ready")
    used = await agent.measure()
    assert used is not None
    assert used.processes == 1 + len(kinds)
    alone = await asyncio.to_thread(lambda: psutil.Process(agent.pid).memory_info().rss)
    assert used.memory_bytes > alone
    assert used.cpu_s > 0
    await agent.end()
    left = await agent.measure()
    assert left is not None
    assert (left.memory_bytes, left.processes) == (0, 0)


@pytest.mark.process
@pytest.mark.parametrize("start", ["dialled"], indirect=True)
async def test_what_an_agent_uses_elsewhere_is_not_known(start: Starter) -> None:
    agent = await start("linger")
    assert await agent.measure() is None
