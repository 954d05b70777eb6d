"""Starts agents without processes; a test holds starts back, or lets them fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from acprelay.errors import AgentError
from acprelay.testing.agents import FakeAgent


class FakeLauncher:
    """An `AgentLauncher` of fake agents.

    Args:
        names: The agents that can be started, the default one first.
        make: Makes one, by its name.

    Attributes:
        launched: Every agent that it has made, in order.
    """

    def __init__(
        self,
        *names: str,
        make: Callable[[str], FakeAgent] = lambda name: FakeAgent(name=name),
    ) -> None:
        self.names = names or ("fake",)
        self.launched: list[FakeAgent] = []
        self._make = make
        self._failures: list[AgentError] = []
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def living(self) -> list[FakeAgent]:
        """Those that have not ended."""
        return [agent for agent in self.launched if agent.exit is None]

    def fail_with(self, *errors: AgentError) -> None:
        """Fails the next launches."""
        self._failures.extend(errors)

    def hold(self) -> None:
        """Lets launches wait until `release`."""
        self._gate.clear()

    def release(self) -> None:
        """Lets waiting and later launches go on."""
        self._gate.set()

    async def launch(self, name: str) -> FakeAgent:
        """Starts an agent in a few steps; see `AgentLauncher.launch`."""
        if name not in self.names:
            raise AgentError(f"cannot find agent {name!r}", hint=f"there is {self.names}")
        await self._gate.wait()
        await asyncio.sleep(0)
        if self._failures:
            raise self._failures.pop(0)
        agent = self._make(name)
        self.launched.append(agent)
        try:
            await asyncio.sleep(0)  # it runs, and nobody has it yet
        except asyncio.CancelledError:
            await _end_for_certain(agent)
            raise
        return agent


async def _end_for_certain(agent: FakeAgent) -> None:
    """Ends an agent, however often that is cancelled; the caller raises the cancellation."""
    ending = asyncio.get_running_loop().create_task(agent.end())
    while not ending.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({ending})
