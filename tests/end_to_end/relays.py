"""Relays as programs, the agents of these tests, and proof that processes are gone."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil
import pytest
from tests.server.peers import PATIENCE_S
from tests.server.relays import count_sessions

from acprelay.agents.models import AgentSpec

AGENTS = Path(__file__).parent / "agents"
SDK_EXAMPLES = Path(sysconfig.get_path("data")) / "share" / "sdk-examples"
"""Where `make install` puts the examples of the SDK's source distribution."""
TAG = "END_TO_END_TEST"
"""A variable in the environment of the agents of one test, and of all that they start."""


def sdk_agent(name: str) -> AgentSpec:
    """One of the agents that are written with the SDK."""
    return AgentSpec(name=name, argv=(sys.executable, str(AGENTS / "sdk_agents.py"), name))


def raw_agent(program: str, *arguments: str, name: str = "", tag: str = "") -> AgentSpec:
    """One of the agents that are written without.

    Args:
        program: Which.
        arguments: What it is to do.
        name: Its name in the catalog, if that is another one.
        tag: Marks its processes.
    """
    argv = (sys.executable, str(AGENTS / "raw_agents.py"), program, *arguments)
    return AgentSpec(name=name or program, argv=("env", f"{TAG}={tag}", *argv))


def tagged(tag: str) -> list[psutil.Process]:
    """Finds the processes of a test's agents, and all that those have started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TAG) == tag:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def until_gone(processes: list[psutil.Process]) -> None:
    """Returns once processes have ended; they must not be children of this one."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=PATIENCE_S)
    assert alive == []


async def until_no_session_is_left(base_url: str, *, but: int = 0) -> None:
    """Returns once a relay counts no session, or so many."""
    async with asyncio.timeout(PATIENCE_S):
        while await count_sessions(base_url) != but:
            pass


def pass_time(monkeypatch: pytest.MonkeyPatch, by_s: float) -> None:
    """Has it be so much later at once, by the clock of the event loop, which must be asyncio's."""
    loop = asyncio.get_running_loop()
    former = loop.time
    monkeypatch.setattr(loop, "time", lambda: former() + by_s)


class RelayProcess:
    """`acprelay serve`, to be used as a context.

    Leaving it tells the relay to end if it still runs, and fails if it leaves processes behind or
    has logged a traceback. Turns get no time then, unless the options say otherwise.

    Args:
        agents: What it offers; none offers the demo agent.
        log: Where its standard error goes; relays with the same one have the same state.
        port: The port; 0 lets the system choose.
        options: Further options of the command.

    Attributes:
        url: Where its clients connect.
        base_url: The address of its HTTP server.
        state_dir: Where it keeps what it stores.
        worktree_dir: Where it makes worktrees.
        prefix: What stands before the command that starts it.
    """

    def __init__(
        self, *agents: AgentSpec, log: Path, port: int = 0, options: tuple[str, ...] = ()
    ) -> None:
        self._agents = agents
        self._port = port
        self._options = options
        self._log_path = log
        self.state_dir = log.parent / f"{log.stem}.state"
        self.worktree_dir = log.parent / f"{log.stem}.worktrees"
        self.prefix: tuple[str, ...] = ()
        self._status = 0
        self.url = ""
        self.base_url = ""

    def __enter__(self) -> Self:
        self._log: IO[bytes] = self._log_path.open("wb")
        self._popen = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # What it leaves for other commands is not for those of whoever runs the tests.
            env={**os.environ, "XDG_STATE_HOME": str(self.state_dir.with_suffix(".found"))},
        )
        greeting = self._output.readline()
        found = re.search(r"ws(://\S+)/acp", greeting)
        assert found, greeting
        self.url, self.base_url = found[0], "http" + found[1]
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        left = self.tree() if self._popen.poll() is None else []
        try:
            self._popen.terminate()
            assert self._popen.wait(PATIENCE_S) == self._status
            # A zombie is gone too, once whoever inherited it has reaped it.
            assert psutil.wait_procs(left, timeout=PATIENCE_S)[1] == []
        finally:
            self._popen.kill()
            self._popen.wait()
            self._output.close()
            self._log.close()
        logged = self._log_path.read_text()
        assert "Traceback" not in logged, logged

    @property
    def command(self) -> list[str | Path]:
        """What starts it."""
        program = Path(sysconfig.get_path("scripts")) / "acprelay"
        options = [f"--agent={agent.name}={shlex.join(agent.argv)}" for agent in self._agents]
        return [
            *self.prefix,
            *(program, "serve", "--no-config", "--no-auth", "--port", str(self._port)),
            *("--state-dir", self.state_dir, "--worktree-dir", self.worktree_dir),
            *("--drain", "0"),
            *options,
            *self._options,
        ]

    @property
    def token(self) -> str:
        """What its owner shows it, where it is told to ask."""
        return (self.state_dir / "owner-token").read_text().strip()

    @property
    def _output(self) -> IO[str]:
        assert self._popen.stdout is not None
        return self._popen.stdout

    @property
    def process(self) -> psutil.Process:
        """The relay itself."""
        return psutil.Process(self._popen.pid)

    def tree(self) -> list[psutil.Process]:
        """What it has started, and what those have."""
        return self.process.children(recursive=True)

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """Has the relay, and none of its agents, do nothing for as long as the context lasts."""
        self.process.suspend()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await asyncio.to_thread(self._stands_still):
                    pass
            yield
        finally:
            self.process.resume()

    def _stands_still(self) -> bool:
        states = {psutil.Process(thread.id).status() for thread in self.process.threads()}
        return states == {psutil.STATUS_STOPPED}

    async def kill(self) -> None:
        """Kills the relay alone, without a chance to end its agents or to write anything."""
        self._status = -signal.SIGKILL
        await self.stop(signal.SIGKILL)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal, and gives the exit status."""
        self._popen.send_signal(number)
        return await asyncio.to_thread(self._popen.wait, PATIENCE_S)


class Witness:
    """A Unix socket that agents and their children hold: its end proves that they are gone.

    Args:
        path: Where it listens.
    """

    def __init__(self, path: Path) -> None:
        self.step = f"hold={path}"
        self._path = path
        self._server: asyncio.Server | None = None
        self._accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue(maxsize=100)
        )

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(
            lambda *streams: self._accepted.put_nowait(streams), path=self._path
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        while not self._accepted.empty():
            self._accepted.get_nowait()[1].close()

    async def hears(self, *texts: str) -> Held:
        """Takes the next connection, and returns once these lines came over it."""
        async with asyncio.timeout(PATIENCE_S):
            held = Held(*await self._accepted.get())
            for text in texts:
                await held.hears(text)
            return held


class Held:
    """One connection to a witness."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def hears(self, text: str) -> None:
        """Returns once the next line came, which must be this one."""
        async with asyncio.timeout(PATIENCE_S):
            assert await self._reader.readline() == f"{text}\n".encode()

    async def say(self, text: str) -> None:
        """Sends a line to whoever reads the other end."""
        self._writer.write(f"{text}\n".encode())
        await self._writer.drain()

    async def sees_the_end(self) -> None:
        """Returns once no process holds the connection any more."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reader.read()
        self._writer.close()
