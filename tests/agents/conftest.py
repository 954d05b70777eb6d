"""What these tests share: both event loops, and real processes that misbehave."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import socket
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from tests.agents.cable import CabledAgent, dial_in

from acprelay.agents import AgentExit, AgentLimits, AgentSpec, Catalog, StdioAgent, StdioLauncher
from acprelay.agents.ending import Ending
from acprelay.agents.models import MARKER
from acprelay.wire.framing import OversizedFrame, bare

PATIENCE_S = 30.0


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs every asynchronous test here on both loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class FakeSink:
    """Records what an agent says; programmable to fail."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.lines: list[bytes] = []
        self.oversized: list[OversizedFrame] = []
        self.exits: list[AgentExit] = []
        self.failure: Exception | None = None
        self.on_lines: Callable[[], None] = lambda: None
        self.on_exit: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def lines_received(self, lines: list[bytes], oversized: list[OversizedFrame]) -> None:
        self.batches.append(lines)
        self.lines += map(bare, lines)
        self.oversized += oversized
        self._changed.set()
        self.on_lines()
        if self.failure is not None:
            raise self.failure

    def agent_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the protocol's word
        self.exits.append(exit)
        self.on_exit()
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def line_count(self, count: int) -> None:
        await self.until(lambda: len(self.lines) >= count)

    async def exit(self) -> AgentExit:
        await self.until(lambda: bool(self.exits))
        return self.exits[0]


class Witness:
    """A socket that processes hold: its end proves that all of them are gone."""

    def __init__(self, path: Path) -> None:
        self.step = f"hold={path}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)
        self._held: socket.socket | None = None

    async def hears(self, text: str) -> None:
        """Returns once a process that holds the socket said `text` over it."""
        said = b""
        async with asyncio.timeout(PATIENCE_S):
            while not said.endswith(b"\n"):
                said += await asyncio.get_running_loop().sock_recv(await self._socket(), 1)
        assert said == f"{text}\n".encode()

    async def sees_the_end(self) -> None:
        """Returns once no process holds the socket any more."""
        async with asyncio.timeout(PATIENCE_S):
            assert await asyncio.get_running_loop().sock_recv(await self._socket(), 1) == b""

    @property
    def has_seen_the_end(self) -> bool:
        """Whether no process holds the socket at this instant."""
        assert self._held is not None
        readable, _, _ = select.select([self._held], [], [], 0)
        return bool(readable) and self._held.recv(1, socket.MSG_PEEK) == b""

    def close(self) -> None:
        self._listener.close()
        if self._held is not None:
            self._held.close()

    async def _socket(self) -> socket.socket:
        if self._held is None:
            self._held, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        return self._held


class Starter:
    """Starts misbehaving agents; remembers them so that a test can end with none left.

    Args:
        cwd: Where they start.
        is_dialled: Whether they dial in, each over a cable of its own.
    """

    def __init__(self, cwd: Path, *, is_dialled: bool = False) -> None:
        self._cwd = cwd
        self._is_dialled = is_dialled
        self.agents: list[StdioAgent | CabledAgent] = []

    def launcher(self, *argv: str, limits: AgentLimits | None = None) -> StdioLauncher:
        return StdioLauncher(
            owner="test",
            catalog=Catalog([AgentSpec(name="test", argv=argv)]),
            environment=os.environ,
            cwd=self._cwd,
            limits=limits or AgentLimits(),
        )

    def misbehaving(self, *steps: str, limits: AgentLimits | None = None) -> StdioLauncher:
        program = (sys.executable, "-m", "acprelay.testing.misbehaving_agent")
        return self.launcher(*program, *steps, limits=limits)

    async def __call__(
        self, *steps: str, limits: AgentLimits | None = None
    ) -> StdioAgent | CabledAgent:
        return await self._launch(self.misbehaving(*steps, limits=limits))

    async def program(
        self, *argv: str, limits: AgentLimits | None = None
    ) -> StdioAgent | CabledAgent:
        return await self._launch(self.launcher(*argv, limits=limits))

    async def _launch(self, launcher: StdioLauncher) -> StdioAgent | CabledAgent:
        agent = await (dial_in(launcher) if self._is_dialled else launcher.launch("test"))
        self.agents.append(agent)
        return agent

    @staticmethod
    def marked_processes(run: str) -> list[int]:
        """Finds the processes that bear a marker, without any help of the code under test."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARKER) == run:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    @staticmethod
    def left_in_pipe(agent: StdioAgent | CabledAgent) -> int:
        """How many bytes the agent has written that nobody has read."""
        answer = fcntl.ioctl(agent._program.stdout._fd, termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder)


@asynccontextmanager
async def starting(cwd: Path, *, is_dialled: bool = False) -> AsyncIterator[Starter]:
    """Starts agents; nothing of them is left in the end."""
    starter = Starter(cwd, is_dialled=is_dialled)
    yield starter
    for agent in starter.agents:
        if isinstance(agent, CabledAgent):
            agent.cable.mend()
        await agent.end()
        if isinstance(agent, CabledAgent):
            await agent.cable.unplug()
        assert starter.marked_processes(agent.run) == []


@pytest.fixture(params=["stdio", "dialled"])
async def start(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Starter]:
    """Starts agents that are children, and agents that have dialled in."""
    async with starting(tmp_path, is_dialled=request.param == "dialled") as starter:
        yield starter


@pytest.fixture
def patient_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has agents killed only after a long time, however short the limits of a test are.

    What they are told to end with is known then, also where the machine is slow.
    """

    def patient(*, limits: AgentLimits, **others: Any) -> Ending:
        return Ending(limits=replace(limits, grace_s=PATIENCE_S), **others)

    monkeypatch.setattr("acprelay.agents.program.Ending", patient)


@pytest.fixture
async def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
async def heir() -> FakeSink:
    """A second sink."""
    return FakeSink()


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    witness = Witness(tmp_path / "witness")
    yield witness
    witness.close()
