"""Whom an ending signals, and what it does when that does not help; no process is touched."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence

import psutil
import pytest

from acprelay.agents.ending import Ending
from acprelay.agents.models import AgentExit, AgentLimits
from acprelay.agents.process_table import ProcessEntry, ProcessSurvey
from acprelay.errors import AgentError

GROUP = 100
LIMITS = AgentLimits(grace_s=0.03, kill_s=0.05)


class FakeHandle:
    """A process that dies of what it is told to, and records what it is sent."""

    def __init__(self, pid: int, *, dies_of: Sequence[int] = ()) -> None:
        self.pid = pid
        self.sent: list[int] = []
        self.state = psutil.STATUS_SLEEPING
        self.parent = 1
        self.refuses = False
        self._dies_of = dies_of

    def is_running(self) -> bool:
        return self.state != psutil.STATUS_DEAD

    def status(self) -> str:
        if self.state == psutil.STATUS_DEAD:
            raise psutil.NoSuchProcess(self.pid)
        return self.state

    def ppid(self) -> int:
        return self.parent

    def send_signal(self, sig: int, /) -> None:
        self.sent.append(sig)
        if self.refuses:
            raise psutil.AccessDenied(self.pid)
        if self.state == psutil.STATUS_DEAD:
            raise psutil.NoSuchProcess(self.pid)
        if sig in self._dies_of:
            self.state = psutil.STATUS_DEAD


class FakeProcess:
    """The agent's program."""

    name = "test"
    pid = GROUP
    run = "run"

    def __init__(self) -> None:
        self.handle = FakeHandle(GROUP)
        self.stdin_closed = False
        self._exited = asyncio.get_running_loop().create_future()

    @property
    def exit(self) -> AgentExit | None:
        return AgentExit(returncode=0) if self._exited.done() else None

    def close_stdin(self) -> None:
        self.stdin_closed = True

    async def wait_exited(self) -> AgentExit:
        await asyncio.shield(self._exited)
        return AgentExit(returncode=0)

    def dies(self) -> None:
        self.handle.state = psutil.STATUS_DEAD
        if not self._exited.done():
            self._exited.set_result(None)


class FakeSystem:
    """A process table, and the signals that groups were sent."""

    def __init__(self) -> None:
        self.table: list[ProcessEntry] = []
        self.group_signals: list[int] = []
        self.on_group_signal: Callable[[int], None] = lambda _: None
        self.reaped: list[int] = []
        self.failure: Exception | None = None

    def add(self, handle: FakeHandle, *, group: int = 1, run: str | None = "run") -> FakeHandle:
        self.table.append(
            ProcessEntry(handle=handle, pid=handle.pid, parent=1, group=group, run=run)
        )
        return handle

    def read(self) -> Sequence[ProcessEntry]:
        if self.failure is not None:
            raise self.failure
        return [entry for entry in self.table if entry.handle.is_running()]

    def killpg(self, group: int, number: int) -> None:
        assert group == GROUP
        self.group_signals.append(number)
        self.on_group_signal(number)

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        assert options == os.WNOHANG
        self.reaped.append(pid)
        raise ChildProcessError


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    system = FakeSystem()
    monkeypatch.setattr("acprelay.agents.ending.os.killpg", system.killpg)
    monkeypatch.setattr("acprelay.agents.ending.os.waitpid", system.waitpid)
    return system


@pytest.fixture
async def process(system: FakeSystem) -> FakeProcess:
    process = FakeProcess()
    system.add(process.handle, group=GROUP)
    return process


@pytest.fixture
async def ending(system: FakeSystem, process: FakeProcess) -> Ending:
    return Ending(process=process, survey=ProcessSurvey(read=system.read), limits=LIMITS)


@pytest.mark.requirement("processes.ending-closes-stdin-and-terminates")
async def test_stdin_is_closed_before_the_group_is_told_to_end(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    def on_signal(number: int) -> None:
        assert process.stdin_closed
        assert number == signal.SIGTERM
        process.dies()

    system.on_group_signal = on_signal
    await ending.carry_out()
    assert system.group_signals == [signal.SIGTERM]


async def test_who_left_the_group_is_told_to_end_along_with_it(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    gone = system.add(FakeHandle(101, dies_of=[signal.SIGTERM]), group=101)
    member = system.add(FakeHandle(102), group=GROUP)

    def on_signal(_: int) -> None:
        process.dies()
        member.state = psutil.STATUS_DEAD

    system.on_group_signal = on_signal
    await ending.carry_out()
    assert gone.sent == [signal.SIGTERM]
    assert member.sent == []
    assert system.group_signals == [signal.SIGTERM]


@pytest.mark.requirement("processes.ending-kills-what-stays")
async def test_who_does_not_heed_is_killed(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    stubborn = system.add(FakeHandle(101, dies_of=[signal.SIGKILL]), group=101)
    system.on_group_signal = lambda number: process.dies() if number == signal.SIGKILL else None
    await ending.carry_out()
    assert stubborn.sent == [signal.SIGTERM, signal.SIGKILL]
    assert system.group_signals == [signal.SIGTERM, signal.SIGKILL]


async def test_a_group_whose_number_may_be_anothers_is_not_signalled(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    left = system.add(FakeHandle(101, dies_of=[signal.SIGTERM]), group=101)
    await ending.carry_out()
    assert left.sent == [signal.SIGTERM]
    assert system.group_signals == []


async def test_a_group_that_outlives_its_leader_is_signalled(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    member = system.add(FakeHandle(101), group=GROUP)
    system.on_group_signal = lambda _: setattr(member, "state", psutil.STATUS_DEAD)
    await ending.carry_out()
    assert system.group_signals == [signal.SIGTERM]


async def test_an_agent_that_left_nothing_is_not_signalled_at_all(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    await ending.carry_out()
    assert system.group_signals == []


async def test_survivors_are_named_and_the_next_attempt_may_succeed(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    immortal = system.add(FakeHandle(101), group=101)
    with pytest.raises(AgentError, match="processes 101 survive SIGKILL"):
        await ending.carry_out()
    immortal.state = psutil.STATUS_DEAD
    await ending.carry_out()


async def test_a_process_that_is_not_ours_to_signal_is_a_survivor(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    foreign = system.add(FakeHandle(101), group=101)
    foreign.refuses = True
    with pytest.raises(AgentError, match="101"):
        await ending.carry_out()
    assert foreign.sent[:2] == [signal.SIGTERM, signal.SIGKILL]


async def test_a_process_that_ends_between_two_looks_is_no_trouble(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    system.add(FakeHandle(101, dies_of=[signal.SIGTERM]), group=101)
    first = system.add(FakeHandle(102), group=102)

    def send_signal(_: int) -> None:
        first.state = psutil.STATUS_DEAD
        raise psutil.NoSuchProcess(102)

    first.send_signal = send_signal  # type: ignore[method-assign]
    await ending.carry_out()


async def test_a_process_that_vanishes_while_it_is_looked_at_is_gone(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    vanishing = system.add(FakeHandle(101), group=101)

    def status() -> str:
        vanishing.state = psutil.STATUS_DEAD
        raise psutil.NoSuchProcess(101)

    vanishing.status = status  # type: ignore[method-assign]
    await ending.carry_out()
    assert vanishing.sent == []


def leave_another(system: FakeSystem, handle: FakeHandle, *, endlessly: bool = False) -> None:
    """Has a process end as it is looked at, and have started another one of its group."""

    def status() -> str:
        handle.state = psutil.STATUS_DEAD
        child = system.add(FakeHandle(handle.pid + 1), group=GROUP)
        if endlessly:
            leave_another(system, child, endlessly=True)
        raise psutil.NoSuchProcess(handle.pid)

    handle.status = status  # type: ignore[method-assign]


@pytest.mark.requirement("supervision.trees-are-found-while-they-grow")
async def test_what_a_process_has_started_that_vanishes_while_it_is_looked_at_is_ended(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    leave_another(system, system.add(FakeHandle(101), group=GROUP))

    def on_signal(_: int) -> None:
        system.table[-1].handle.state = psutil.STATUS_DEAD  # type: ignore[attr-defined]

    system.on_group_signal = on_signal
    await ending.carry_out()
    assert system.table[-1].pid == 102
    assert system.group_signals == [signal.SIGTERM]


async def test_a_tree_that_goes_on_and_on_is_looked_at_for_a_bounded_time(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    process.dies()
    leave_another(system, system.add(FakeHandle(101), group=GROUP), endlessly=True)
    async with asyncio.timeout(30):
        await ending.carry_out()


@pytest.mark.parametrize(
    ("parent", "reaped"), [(os.getpid(), [101]), (1, [])], ids=["its own", "another one's"]
)
async def test_a_zombie_is_gone_and_is_reaped_where_the_relay_is_its_parent(
    system: FakeSystem, process: FakeProcess, ending: Ending, parent: int, reaped: list[int]
) -> None:
    process.dies()
    zombie = system.add(FakeHandle(101), group=GROUP)
    zombie.state, zombie.parent = psutil.STATUS_ZOMBIE, parent
    await ending.carry_out()
    assert system.reaped == reaped
    assert (zombie.sent, system.group_signals) == ([], [])


async def test_an_ending_that_is_cancelled_kills_the_group(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    told = asyncio.Event()
    system.on_group_signal = lambda _: told.set()
    task = asyncio.get_running_loop().create_task(ending.carry_out())
    async with asyncio.timeout(30):
        await told.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert system.group_signals == [signal.SIGTERM, signal.SIGKILL]
    process.dies()


async def test_an_ending_that_cannot_look_kills_the_group(
    system: FakeSystem, process: FakeProcess, ending: Ending
) -> None:
    system.failure = OSError("no process table")
    with pytest.raises(AgentError, match="no process table"):
        await ending.carry_out()
    assert system.group_signals == [signal.SIGKILL]
    process.dies()


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
async def test_a_group_that_cannot_be_signalled_is_no_trouble_by_itself(
    system: FakeSystem, process: FakeProcess, ending: Ending, error: type[OSError]
) -> None:
    def on_signal(_: int) -> None:
        process.dies()
        raise error

    system.on_group_signal = on_signal
    await ending.carry_out()
