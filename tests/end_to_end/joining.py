"""Agents that join a relay by `acprelay join`, a program of its own, for tests of either kind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sysconfig
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

import psutil
from tests.end_to_end.relays import RelayProcess
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S, connect
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.compose import DEMO_AGENT, RunningRelay
from acprelay.config import RelayConfig

PROGRAM = Path(sysconfig.get_path("scripts")) / "acprelay"


async def invite(url: str, session: str, role: str = "main", **params: object) -> str:
    """Gets a token from a relay."""
    peer = await connect(url)
    try:
        asked = {"group": session, "role": role, **params}
        result = await AcpClient(peer).result("_acprelay/invite", asked)
        return str(result["token"])
    finally:
        peer.abort()


class JoinProcess:
    """`acprelay join`, to be used as a context that tells it to end, where it has not by then.

    Args:
        url: The relay's address.
        session: The session id.
        argv: The agent's command.
        role: The role.
        token: Lets it in.
        options: Further options.

    Attributes:
        token: What let it in.
    """

    def __init__(
        self,
        url: str,
        session: str,
        argv: Sequence[str],
        *options: str,
        token: str,
        role: str = "main",
    ) -> None:
        join = ("join", "--url", url, "--session", session, "--role", role, *options)
        self._command: list[str | Path] = [PROGRAM, *join, "--", *argv]
        self.token = token
        self._environment = {**os.environ, "ACPRELAY_TOKEN": token}
        self._told: list[str] = []
        self._changed = threading.Condition()

    async def __aenter__(self) -> Self:
        self._popen = subprocess.Popen(  # noqa: ASYNC220 - it is there at once
            self._command, env=self._environment, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._popen.terminate()
        try:
            await self.wait()
        finally:
            self._popen.kill()
            self._popen.wait()
            self._reader.join(PATIENCE_S)
            assert self._popen.stderr is not None
            self._popen.stderr.close()
        assert "Traceback" not in self.told, self.told

    @property
    def told(self) -> str:
        """What it has written to its standard error."""
        return "".join(self._told)

    @property
    def process(self) -> psutil.Process:
        """Itself."""
        return psutil.Process(self._popen.pid)

    @property
    def agents(self) -> list[psutil.Process]:
        """The processes of the agent that it runs at this moment."""
        return self.process.children(recursive=True)

    async def tells(self, text: str, *, times: int = 1) -> None:
        """Returns once it has written something to its standard error, so many times."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(
                    lambda: self.told.count(text) >= times or not self._reader.is_alive(),
                    PATIENCE_S,
                )

        await asyncio.to_thread(wait)
        assert self.told.count(text) >= times, self.told

    def kill(self) -> None:
        """Kills it without a chance to say or end anything."""
        self._popen.kill()

    def interrupt(self, number: int) -> None:
        """Sends it a signal."""
        self._popen.send_signal(number)

    async def wait(self) -> int:
        """Gives its exit status, once it has ended and all that it has told is known."""
        status = await asyncio.to_thread(self._popen.wait, PATIENCE_S)
        await asyncio.to_thread(self._reader.join, PATIENCE_S)
        return status

    def _read(self) -> None:
        assert self._popen.stderr is not None
        for line in self._popen.stderr:
            with self._changed:
                self._told.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


class JoinedDialler(Dialler):
    """Opens WebSockets to a relay whose agents are not its own: each joins one session of a test.

    A client that names an agent is connected to the session that the agent has joined, and whoever
    comes first may open it.

    Args:
        url: The relay's address.
        agents: The agents that may be named, the default one first.
    """

    def __init__(self, url: str, *agents: AgentSpec) -> None:
        super().__init__(url)
        self.joined: dict[str, JoinProcess] = {}
        self._agents = {agent.name: agent for agent in agents}
        self._sessions: dict[str, str] = {}

    async def address(self, query: str = "") -> str:
        """Where clients of an agent connect, which joins first."""
        chosen = dict(parse_qsl(query.removeprefix("?")))
        name = chosen.get("agent", next(iter(self._agents)))
        if name not in self.joined:
            await self._join(name)
        return f"{self.url}?agent=joined&session={self._sessions[name]}"

    async def _join(self, name: str) -> None:
        session = self._sessions[name] = uuid.uuid4().hex
        token = await invite(self.url, session)
        argv = self._agents[name].argv
        process = JoinProcess(self.url, session, argv, "--again", token=token)
        self.joined[name] = await self._processes.enter_async_context(process)
        await process.tells("joined")

    @asynccontextmanager
    async def staying(self) -> AsyncIterator[Self]:
        """Hangs up, and has every agent leave, when the context is left."""
        with self:
            async with AsyncExitStack() as self._processes:
                yield self


Serve = Callable[[RelayConfig], AbstractAsyncContextManager[tuple[RunningRelay, Dialler]]]
"""Runs a relay in this process."""


@asynccontextmanager
async def serve_joined(config: RelayConfig) -> AsyncIterator[tuple[RunningRelay, Dialler]]:
    """Runs a relay in this process whose agents are not its own."""
    async with serve(config) as (relay, _):
        agents = config.agents or (DEMO_AGENT,)
        async with JoinedDialler(relay.url, *agents).staying() as dial:
            yield relay, dial


class JoinedRelay:
    """A relay whose demo agent has joined one session, as tests see the one that starts its own.

    Attributes:
        url: Where clients of that session connect.
        base_url: The address of the relay's HTTP server.
    """

    def __init__(self, *, url: str, base_url: str, joined: JoinProcess) -> None:
        self.url = url
        self.base_url = base_url
        self._joined = joined

    def tree(self) -> list[psutil.Process]:
        """The agent's processes."""
        return self._joined.agents


AnyRelay = RelayProcess | JoinedRelay
"""A relay with the demo agent, wherever that runs."""
