"""An agent that has dialled in without a socket: both ends of its link are in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from acprelay.agents import AgentExit, StdioLauncher
from acprelay.agents.dialled import DialledAgent
from acprelay.agents.joiner import Joiner, Outcome
from acprelay.agents.link_connection import LinkConnection
from acprelay.agents.program import Program
from acprelay.errors import LinkGone, RelayUnreachable
from acprelay.wire.link import LinkEnd
from acprelay.wire.link_greeting import Claim, Greeting, write

PATIENCE_S = 30.0


async def turns_until(condition: Callable[[], bool]) -> None:
    """Lets the event loop go round until something holds that nobody tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)


class FakeObserver:
    """Writes down what people are told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.complaints = b""
        self.changed = asyncio.Event()

    def waiting(self, reason: str) -> None:
        assert reason.startswith("cannot ")
        self._tell("waiting")

    def joined(self) -> None:
        self._tell("joined")

    def link_lost(self, reason: str) -> None:
        assert reason.startswith("cannot ")
        self._tell("lost")

    def link_resumed(self) -> None:
        self._tell("resumed")

    def complained(self, data: bytes) -> None:
        self.complaints += data

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, what: str, *, times: int = 1) -> None:
        """Returns once something was told so many times."""
        async with asyncio.timeout(PATIENCE_S):
            while self.told.count(what) < times:
                self.changed.clear()
                await self.changed.wait()


class CableSocket:
    """The joiner's socket, whose other end is the connection itself."""

    def __init__(self, greeting: Greeting, connection: LinkConnection, cable: Cable) -> None:
        self._inbox = deque([write(greeting)])
        self._connection = connection
        self._cable = cable

    async def send(self, message: bytes) -> None:
        self._check()
        self._connection.receive(message)
        await asyncio.sleep(0)

    async def receive(self) -> bytes | None:
        if not self._inbox:
            loop = asyncio.get_running_loop()
            cut = loop.create_task(self._cable.cut_event.wait())
            outgoing = loop.create_task(self._connection.outgoing())
            try:
                await asyncio.wait({cut, outgoing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                cut.cancel()
                outgoing.cancel()
            self._check()
            self._inbox.extend(outgoing.result())
        return self._inbox.popleft() if self._inbox else None

    def _check(self) -> None:
        if self._cable.is_cut:
            raise RelayUnreachable("cannot go on: the cable is cut", hint="mend it")


class Cable:
    """Connects a joiner and an agent whenever it is whole."""

    def __init__(self) -> None:
        self.agent: DialledAgent
        self.joiner: Joiner
        self.task: asyncio.Task[Outcome]
        self.observer = FakeObserver()
        self.cut_event = asyncio.Event()
        self.claims: list[Claim | None] = []
        self._connection: LinkConnection | None = None

    @property
    def is_cut(self) -> bool:
        return self.cut_event.is_set()

    def cut(self) -> None:
        """Loses the connection, and lets none be made until `mend`."""
        self.cut_event.set()
        if self._connection is not None:
            self._connection.lost()

    def mend(self) -> None:
        self.cut_event.clear()

    @asynccontextmanager
    async def dial(self, claim: Claim | None) -> AsyncIterator[CableSocket]:
        self.claims.append(claim)
        if self.is_cut:
            raise RelayUnreachable("cannot connect: the cable is cut", hint="mend it")
        if self.agent.is_gone:
            raise LinkGone
        connection = self._connection = self.agent.connect(claim.received if claim else 0)
        grace_s = PATIENCE_S
        greeting = Greeting(link="cable", secret="s", received=self.agent.received, grace_s=grace_s)
        try:
            yield CableSocket(greeting, connection, self)
        finally:
            connection.lost()

    async def unplug(self) -> Outcome:
        """Returns once the joiner has nothing to do any more."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.task


class CabledAgent(DialledAgent):
    """An agent over a cable, with a view of its program that no relay has."""

    cable: Cable
    _program: Program

    @property
    def run(self) -> str:
        return self._program.run

    @property
    def pid(self) -> int:  # type: ignore[override]  # it is on this machine
        return self._program.pid

    def close_stdin(self) -> None:
        self._program.close_stdin()

    async def wait_exited(self) -> AgentExit:
        """Returns once the exit is known here, too."""
        await turns_until(lambda: self.exit is not None)
        assert self.exit is not None
        return self.exit


async def dial_in(launcher: StdioLauncher, *, grace_s: float = PATIENCE_S) -> CabledAgent:
    """Starts an agent at the other end of a cable."""
    cable = Cable()
    limits = launcher._limits
    agent = CabledAgent(name="test", end=LinkEnd(), limits=limits, grace_s=grace_s)
    cable.agent = agent
    agent.cable = cable

    def start() -> Program:
        agent._program = launcher.start("test")
        return agent._program

    cable.joiner = Joiner(dial=cable.dial, start=start, observer=cable.observer, wait_s=PATIENCE_S)
    cable.task = asyncio.get_running_loop().create_task(cable.joiner.run())
    await cable.observer.until("joined")
    return agent
