"""Reading the process table, and sharing the readings."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import psutil
import pytest

from acprelay.agents.process_table import ProcessEntry, ProcessSurvey, read_process_table

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
