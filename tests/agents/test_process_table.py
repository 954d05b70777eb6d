"""Reading the process table, and sharing the readings."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from acprelay.agents.process_table import (
    ProcessEntry,
    ProcessSurvey,
    _has_no_environment,
    _marker_of,
    read_process_table,
)

if TYPE_CHECKING:
    from tests.agents.conftest import Starter, Witness


def own_entry() -> ProcessEntry:
    (entry,) = (entry for entry in read_process_table() if entry.pid == os.getpid())
    return entry


def test_a_process_is_told_with_parent_and_group() -> None:
    entry = own_entry()
    assert (entry.parent, entry.group) == (os.getppid(), os.getpgrp())
    assert entry.handle == psutil.Process()


@pytest.mark.process
async def test_the_marker_of_an_agents_process_is_read(start: Starter, witness: Witness) -> None:
    agent = await start(witness.step, "tell=ready", "linger")
    await witness.hears("ready")
    table = await asyncio.to_thread(read_process_table)
    assert [entry.pid for entry in table if entry.run == agent.run] == [agent.pid]


@pytest.mark.parametrize("error", [psutil.AccessDenied(1), psutil.ZombieProcess(1)])
def test_a_process_whose_environment_cannot_be_read_has_no_marker(
    monkeypatch: pytest.MonkeyPatch, error: psutil.Error
) -> None:
    def environ(_: psutil.Process) -> dict[str, str]:
        raise error

    monkeypatch.setattr(psutil.Process, "environ", environ)
    assert own_entry().run is None


@pytest.mark.parametrize("error", [psutil.NoSuchProcess(1), ProcessLookupError()])
def test_a_process_that_ends_meanwhile_is_left_out(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def vanish(*_: object) -> int:
        raise error

    monkeypatch.setattr("acprelay.agents.process_table.os.getpgid", vanish)
    assert read_process_table() == []


PATIENCE_S = 30.0
LEAVES_A_CHILD = "read line; sleep 600 & exit"


@pytest.mark.process
@pytest.mark.requirement("supervision.trees-are-found-while-they-grow")
def test_what_a_process_starts_that_ends_meanwhile_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = subprocess.Popen(
        ["/bin/sh", "-c", LEAVES_A_CHILD], stdin=subprocess.PIPE, start_new_session=True
    )
    listings = []

    def list_and_go_on() -> list[int]:
        listings.append(list_pids())
        if parent.returncode is None:  # it is listed, and gone before it is read
            parent.communicate(b"go on\n", timeout=PATIENCE_S)
        return listings[-1]

    list_pids = psutil.pids
    monkeypatch.setattr(psutil, "pids", list_and_go_on)
    try:
        (child,) = (entry for entry in read_process_table() if entry.group == parent.pid)
        assert parent.pid in listings[0]
        assert child.pid not in listings[0]
        assert len(listings) >= 3  # the last one has shown nothing new
    finally:
        os.killpg(parent.pid, signal.SIGKILL)


def test_a_machine_that_starts_processes_without_end_is_read_to_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pids = itertools.count(os.getpid())
    monkeypatch.setattr(psutil, "pids", lambda: [next(pids)])
    assert own_entry().pid == os.getpid()
    assert next(pids) < os.getpid() + 1000


SPINNING = """\
#!/bin/sh
exec "$0"
"""


@pytest.mark.process
@pytest.mark.requirement("supervision.trees-are-found-during-exec")
async def test_the_marker_of_a_process_in_the_middle_of_an_execve_is_read(
    start: Starter, tmp_path: Path
) -> None:
    program = tmp_path / "spinning"
    program.write_text(SPINNING)
    program.chmod(0o700)
    agent = await start.program(str(program))
    process = psutil.Process(agent.pid)

    def read() -> set[str | None]:
        # A few in a hundred fall into the instant in which the system shows no environment.
        return {_marker_of(process) for _ in range(3000)}

    assert await asyncio.to_thread(read) == {agent.run}


@pytest.mark.process
@pytest.mark.parametrize("kind", ["bare", "zombie", "wiped"])
def test_a_process_without_an_environment_is_no_riddle(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []
    monkeypatch.setattr("acprelay.agents.process_table.time.sleep", tries.append)
    code = "import sys; sys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    environment = {"ACPRELAY_RUNNER": "x"} if kind == "wiped" else {}
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"x"
        if kind == "wiped":
            monkeypatch.setattr(psutil.Process, "environ", lambda _: {})
        if kind == "zombie":
            process.kill()
            assert process.stdout.read() == b""
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert _marker_of(psutil.Process(process.pid)) is None
    assert tries == []


def test_a_kernel_thread_has_no_environment_and_no_execve_to_wait_for() -> None:
    fields = [b"0"] * 50
    fields[0], fields[6] = b"S", str(0x00200040).encode()
    assert _has_no_environment(b"2 (k (thread)) " + b" ".join(fields))
    fields[6] = b"0"
    assert not _has_no_environment(b"3 (a program) " + b" ".join(fields))


@pytest.mark.parametrize(("code", "is_bare"), [(b"0", False), (b"4096", True)])
def test_a_process_whose_environment_is_being_counted_in_an_execve_has_one(
    code: bytes, is_bare: bool
) -> None:
    fields = [b"0"] * 50
    fields[0], fields[23], fields[47], fields[48] = b"R", code, b"8192", b"8192"
    assert _has_no_environment(b"3 (a program) " + b" ".join(fields)) is is_bare


def test_an_execve_that_does_not_end_is_waited_for_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[float] = []
    monkeypatch.setattr("acprelay.agents.process_table.time.sleep", tries.append)
    monkeypatch.setattr("acprelay.agents.process_table._has_no_environment", lambda _: False)
    monkeypatch.setattr("acprelay.agents.process_table.Path.read_bytes", lambda _: b"")
    monkeypatch.setattr(psutil.Process, "environ", lambda _: {})
    assert _marker_of(psutil.Process()) is None
    assert 0 < sum(tries) < 0.1


def test_a_process_that_is_gone_when_it_is_looked_at_again_has_no_marker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def vanish(_: Path) -> bytes:
        raise ProcessLookupError

    monkeypatch.setattr("acprelay.agents.process_table.Path.read_bytes", vanish)
    monkeypatch.setattr(psutil.Process, "environ", lambda _: {})
    assert _marker_of(psutil.Process()) is None


class FakeReading:
    """A reading of the process table that lasts until it is let go."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self) -> Sequence[ProcessEntry]:
        self.count += 1
        self.begun.release()
        assert self.go.acquire(timeout=30)
        return []


@pytest.fixture
def reading() -> FakeReading:
    return FakeReading()


async def begun(reading: FakeReading) -> None:
    assert await asyncio.to_thread(reading.begun.acquire, timeout=30)


async def test_whoever_asks_at_once_shares_one_reading(reading: FakeReading) -> None:
    survey = ProcessSurvey(read=reading)
    reading.go.release()
    await asyncio.gather(*(survey.take() for _ in range(100)))
    assert reading.count == 1


async def test_whoever_asks_during_a_reading_shares_the_next_one(reading: FakeReading) -> None:
    survey = ProcessSurvey(read=reading)
    async with asyncio.TaskGroup() as group:
        group.create_task(survey.take())
        await begun(reading)
        late = [group.create_task(survey.take()) for _ in range(100)]
        await asyncio.sleep(0)
        reading.go.release()
        await begun(reading)
        assert not any(task.done() for task in late)
        reading.go.release()
    assert reading.count == 2


async def test_whoever_asks_after_a_reading_gets_a_new_one(reading: FakeReading) -> None:
    survey = ProcessSurvey(read=reading)
    reading.go.release(2)
    await survey.take()
    await survey.take()
    assert reading.count == 2


async def test_a_cancelled_caller_takes_nothing_from_the_others(reading: FakeReading) -> None:
    survey = ProcessSurvey(read=reading)
    loop = asyncio.get_running_loop()
    impatient, patient = loop.create_task(survey.take()), loop.create_task(survey.take())
    await begun(reading)
    impatient.cancel()
    reading.go.release()
    assert await patient == []
    assert impatient.cancelled()


async def test_a_reading_that_fails_fails_those_who_wait_for_it_alone() -> None:
    failures = [OSError("no process table")]

    def read() -> Sequence[ProcessEntry]:
        if failures:
            raise failures.pop()
        return []

    survey = ProcessSurvey(read=read)
    with pytest.raises(OSError, match="no process table"):
        await survey.take()
    assert await survey.take() == []


async def test_a_reading_that_was_cancelled_while_it_waited_is_replaced(
    reading: FakeReading,
) -> None:
    survey = ProcessSurvey(read=reading)
    loop = asyncio.get_running_loop()
    first = loop.create_task(survey.take())
    await begun(reading)
    before = asyncio.all_tasks()
    second = loop.create_task(survey.take())
    await asyncio.sleep(0)
    (waiting,) = asyncio.all_tasks() - before - {second}
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    reading.go.release(2)
    assert await first == []
    assert await survey.take() == []
    assert reading.count == 2
