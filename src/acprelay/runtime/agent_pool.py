"""Initialised agent processes: one kept warm per agent that somebody is about to use.

A client's `initialize` needs the capabilities of its agent before there is a session. The process
that tells them then serves the first session. The pool knows no session and no client: it counts
holds, and ends what is warm when the last hold on an agent is released. Processes that somebody
else keeps ready beside it are taken before one is started.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acprelay.agents.ports import AgentLauncher
from acprelay.errors import LimitReached
from acprelay.routing.service_modes import NOT_SERVED, Services
from acprelay.runtime.handshake import Handshake
from acprelay.runtime.ready_processes import ReadyProcesses
from acprelay.wire import Envelope


class AgentPool:
    """Starts and initialises agents.

    Args:
        launcher: Starts processes.
        deadline_s: How long an agent may take to answer each request of the handshake.
        authenticate_s: How long it may take to answer `authenticate`.
        services: What agents are promised.

    Attributes:
        ready: Processes that wait for a session; given away before another one is started, and
            ended where there is no room for one that somebody needs.
    """

    def __init__(
        self,
        *,
        launcher: AgentLauncher,
        deadline_s: float,
        authenticate_s: float = 600.0,
        services: Services = NOT_SERVED,
    ) -> None:
        self._launcher = launcher
        self._deadline_s = deadline_s
        self._authenticate_s = authenticate_s
        self.ready = ReadyProcesses()
        self._services = services
        self._warm: dict[str, Handshake] = {}
        self._described: dict[str, bytes] = {}
        self._holds: Counter[str] = Counter()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def names(self) -> tuple[str, ...]:
        """The agents that can be started, the default one first."""
        return tuple(self._launcher.names)

    def known(self, name: str) -> bytes | None:
        """Gives an agent's latest answer to `initialize`, raw; None before one was started."""
        return self._described.get(name)

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Lets an agent's process stay warm for as long as the context lasts.

        Leaving the last hold on an agent ends its warm process.
        """
        self._holds[name] += 1
        try:
            yield
        finally:
            self._holds[name] -= 1
            await self._discard_unheld(name)

    async def describe(self, name: str) -> bytes:
        """Gives an agent's answer to `initialize`, from memory or from a process that stays warm.

        Cancelling is safe and leaves no process behind. Idempotent.

        Returns:
            The raw JSON result.

        Raises:
            AgentError: The agent cannot be started or initialised.
        """
        if name not in self._described:
            async with self._warmed(name):
                pass
        return self._described[name]

    async def authenticate(self, name: str, params: bytes) -> Envelope:
        """Passes a client's `authenticate` to the process that will serve its next session.

        Raises:
            AgentError: The agent cannot be started, or did not answer.
        """
        async with self._warmed(name) as warm:
            return await warm.authenticate(params)

    async def logout(self, name: str, params: bytes) -> Envelope:
        """Passes a client's `logout` to that process.

        Raises:
            AgentError: The agent cannot be started, or did not answer.
        """
        async with self._warmed(name) as warm:
            return await warm.logout(params)

    async def take(self, name: str, *, credentials: bytes | None) -> Handshake:
        """Gives an initialised process to its caller, who ends it.

        It is the warm one, unless that is in use or has seen the credentials of somebody else; so
        nobody waits for another's authentication. Else it is one that is ready, and only where none
        is a new one. Cancelling is safe and leaves no process behind.

        Args:
            name: Which agent.
            credentials: The params of the `authenticate` that the process must have seen, if any.

        Raises:
            AgentError: The agent cannot be started or initialised.
            LimitReached: As many processes live as may.
        """
        taken = self._take_warm(name, credentials) or await self._obtain(name)
        try:
            if taken.credentials != credentials and credentials is not None:
                await taken.authenticate(credentials)
        except BaseException:
            await taken.abandon()
            raise
        return taken

    async def aclose(self) -> None:
        """Ends every warm process, held or not, and every one that is ready. Idempotent."""
        waiting = [*self._warm.values(), *self.ready.take_all()]
        self._warm.clear()
        await asyncio.gather(*(handshake.abandon() for handshake in waiting))

    async def _discard_unheld(self, name: str) -> None:
        # A process in use is discarded by its user.
        if not self._holds[name] and not self._locks[name].locked():
            warm = self._warm.pop(name, None)
            if warm is not None:
                await warm.abandon()

    @asynccontextmanager
    async def _warmed(self, name: str) -> AsyncIterator[Handshake]:
        """Lends the warm process to one user at a time."""
        try:
            async with self._locks[name]:
                warm = self._warm.get(name)
                if warm is None or warm.agent.exit is not None:
                    warm = self._warm[name] = await self._obtain(name)
                yield warm
        finally:
            await self._discard_unheld(name)

    def _take_warm(self, name: str, credentials: bytes | None) -> Handshake | None:
        warm = self._warm.get(name)
        if (
            warm is None
            or self._locks[name].locked()
            or warm.agent.exit is not None
            or warm.credentials not in (None, credentials)
        ):
            return None
        return self._warm.pop(name)

    async def _obtain(self, name: str) -> Handshake:
        while (ready := self.ready.take(name)) is None:
            try:
                return await self.start(name)
            except LimitReached:
                # Whoever waits comes before what is kept for whoever may come.
                spare = self.ready.take_any()
                if spare is None:
                    raise
                await spare.abandon()
        return ready

    async def start(self, name: str) -> Handshake:
        """Starts and initialises a process for its caller, who ends it.

        Cancelling is safe and leaves no process behind.

        Raises:
            AgentError: The agent cannot be started or initialised.
            LimitReached: As many processes live as may.
        """
        agent = await self._launcher.launch(name)
        handshake = Handshake(
            agent=agent,
            deadline_s=self._deadline_s,
            authenticate_s=self._authenticate_s,
            services=self._services,
        )
        try:
            agent.attach(handshake)
            await handshake.initialize()
        except BaseException:
            await handshake.abandon()
            raise
        self._described[name] = handshake.initialize_result
        return handshake
