"""A child process and its pipes, apart from what they carry."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.agents import AgentExit
from acprelay.agents.child import Child

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink, Starter, Witness


@pytest.fixture(params=["no such function", "not permitted"])
def no_pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system where exits cannot be watched by the event loop."""

    def refuse(_: int) -> int:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "not permitted":
        monkeypatch.setattr("os.pidfd_open", refuse)
    else:
        monkeypatch.delattr("os.pidfd_open")


@pytest.mark.process
@pytest.mark.usefixtures("no_pidfd")
async def test_an_exit_is_noticed_by_a_thread_where_the_loop_cannot(
    start: Starter, sink: FakeSink, witness: Witness
) -> None:
    agent = await start(witness.step, "child=group", "tell=ready", "say=last", "exit=3")
    agent.attach(sink)
    await witness.hears("ready")
    assert await sink.exit() == AgentExit(returncode=3)
    assert sink.lines == [b"last"]
    await agent.end()
    assert witness.has_seen_the_end


class FakeProtocol(asyncio.SubprocessProtocol):
    """Records what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[int, bytes] | str] = []
        self.exited = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.events.append((fd, data))

    def process_exited(self) -> None:
        self.events.append("exited")
        self.exited.set()


def join_watch(child: Child) -> None:
    """Returns once the thread that waits for a child is done, if it is not done already."""
    for thread in threading.enumerate():
        if thread.name == f"child-{child.pid}":
            thread.join(timeout=30)


@pytest.mark.process
@pytest.mark.usefixtures("no_pidfd")
async def test_what_the_pipes_hold_at_the_exit_comes_before_the_notice(tmp_path: Path) -> None:
    protocol = FakeProtocol()
    child = Child.spawn(["sh", "-c", "echo out; echo err >&2"], env=os.environ, cwd=tmp_path)
    child.connect(protocol)
    join_watch(child)  # before the loop has had a turn, so nothing is read yet
    async with asyncio.timeout(30):
        await protocol.exited.wait()
    assert protocol.events == [(2, b"err\n"), (1, b"out\n"), "exited"]
    assert child.returncode == 0


@pytest.mark.process
@pytest.mark.usefixtures("no_pidfd")
def test_a_loop_that_closed_before_its_child_ended_does_not_hear_of_it(tmp_path: Path) -> None:
    async def leave_behind() -> Child:
        child = Child.spawn(["sleep", "60"], env=os.environ, cwd=tmp_path)
        child.connect(asyncio.SubprocessProtocol())
        return child

    with asyncio.Runner() as runner:
        child = runner.run(leave_behind())
    os.killpg(child.pid, signal.SIGKILL)
    join_watch(child)
    assert child.returncode == -signal.SIGKILL
    child._streams.close()
