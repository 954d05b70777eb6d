"""What a relay that died has left is ended by the next one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from acprelay.agents import AgentLimits
from acprelay.agents.models import MARKER
from acprelay.agents.orphans import end_orphans
from acprelay.agents.process_table import ProcessEntry
from acprelay.compose import open_relay, parts
from acprelay.config import RelayConfig
from acprelay.errors import AgentError

if TYPE_CHECKING:
    from subprocess import Popen

pytestmark = pytest.mark.process

IMPATIENT = AgentLimits(grace_s=0.2, kill_s=5.0)

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["env", "-i", "sleep", "3600"])
print(child.pid, flush=True)
time.sleep(3600)
"""


@pytest.fixture
def owner() -> str:
    return f"owner{os.getpid()}"


@pytest.fixture
def stubborn(owner: str) -> Iterator[Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        env={**os.environ, MARKER: f"{owner}.run"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def test_orphans_that_heed_nothing_are_ended_with_their_children(
    owner: str, stubborn: Popen[str]
) -> None:
    assert stubborn.stdout is not None
    child = psutil.Process(int(stubborn.stdout.readline()))
    assert await end_orphans(owner, limits=IMPATIENT) == 2
    assert await asyncio.to_thread(stubborn.wait, 30) == -signal.SIGKILL
    assert psutil.wait_procs([child], timeout=30)[1] == []
    assert await end_orphans(owner, limits=IMPATIENT) == 0


@pytest.mark.requirement("lifecycle.others-agents-are-left-alone")
async def test_what_belongs_to_another_owner_is_left_alone(
    owner: str, stubborn: Popen[str]
) -> None:
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    assert await end_orphans(owner + "2", limits=IMPATIENT) == 0
    assert await end_orphans(owner[:-1], limits=IMPATIENT) == 0
    assert stubborn.poll() is None


class Immortal:
    """A process that no signal ends."""

    pid = 4711

    def is_running(self) -> bool:
        return True

    def status(self) -> str:
        return psutil.STATUS_DISK_SLEEP

    def ppid(self) -> int:
        return 1

    def send_signal(self, sig: int, /) -> None:  # noqa: ARG002 - the protocol's
        raise psutil.AccessDenied(self.pid)


async def meet_a_survivor(owner: str) -> int:
    """Does as `end_orphans`, where a process of the owner survives SIGKILL."""
    survivor = ProcessEntry(
        handle=Immortal(), pid=Immortal.pid, parent=1, group=1, run=f"{owner}.run"
    )
    limits = AgentLimits(grace_s=0.01, kill_s=0.01)
    return await end_orphans(owner, limits=limits, read=lambda: [survivor])


async def test_an_orphan_that_survives_is_an_error_that_names_it(owner: str) -> None:
    with pytest.raises(AgentError, match="4711") as caught:
        await meet_a_survivor(owner)
    assert "start the relay again" in caught.value.hint


async def test_no_relay_starts_before_an_orphan_that_survives_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = RelayConfig(port=0, state_dir=tmp_path / "state")
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(parts, "end_orphans", meet_a_survivor)
        with pytest.raises(AgentError, match="processes 4711 survive SIGKILL"):
            async with open_relay(config):
                pass
    async with open_relay(config) as relay:
        assert relay.owner_token
