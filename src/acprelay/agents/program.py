"""One agent's program as a child process: bytes in, bytes out, and its end.

Its exit is learned from the operating system, not from the end of its stdout, which any process it
left behind may hold open. It is reported after the last output, and then whatever else is left of
its tree is ended. This module knows no line, no JSON and no catalog.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import psutil

from acprelay.agents.child import Child
from acprelay.agents.ending import Ending
from acprelay.agents.models import AgentExit, AgentLimits, Usage
from acprelay.agents.pipes import ReadPipe, WritePipe
from acprelay.agents.process_table import ProcessHandle, ProcessSurvey
from acprelay.agents.process_tree import belonging
from acprelay.agents.usage import measure
from acprelay.wire.link_greeting import Stream


class ProgramOwner(Protocol):
    """Whoever a program was started for. All methods are called on the event loop."""

    def output_received(self, data: bytes) -> None:
        """Takes what one read of its stdout brought, while that is resumed."""
        ...

    def complaint_received(self, data: bytes) -> None:
        """Takes what one read of its stderr brought."""
        ...

    def output_ended(self) -> None:
        """Takes note that nothing more comes from its stdout."""
        ...

    def program_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the word for it; nobody exits here
        """Takes note of its end, once, after everything that it wrote."""
        ...


class Program(asyncio.SubprocessProtocol):
    """A child process that leads a group, with all that it starts.

    Args:
        name: The agent's name in the catalog.
        run: The value of the marker in the child's environment.
        child: The process; it is to be connected to this object next.
        survey: Finds what the program leaves behind.
        limits: Bounds.

    Attributes:
        owner: Whom it tells; to be set before anything is awaited.
    """

    owner: ProgramOwner

    def __init__(
        self, *, name: str, run: str, child: Child, survey: ProcessSurvey, limits: AgentLimits
    ) -> None:
        self._name = name
        self._run = run
        self._child = child
        self._handle = psutil.Process(child.pid)
        self._survey = survey
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._tree = Ending(process=self, survey=survey, limits=limits)
        self._exited: asyncio.Future[AgentExit] = self._loop.create_future()
        self._ending: asyncio.Task[AgentExit] | None = None
        self._deaf = False  # nobody reads what it is sent
        self._last_moments: asyncio.TimerHandle | None = None
        self._closed: Stream | None = None  # what it is ended for

    @property
    def name(self) -> str:
        """The agent's name in the catalog."""
        return self._name

    @property
    def run(self) -> str:
        """The value of the marker in the environment of the agent's processes."""
        return self._run

    @property
    def pid(self) -> int:
        """The number of the agent's process, and of the group it leads."""
        return self._child.pid

    @property
    def handle(self) -> ProcessHandle:
        """The agent's process."""
        return self._handle

    @property
    def exit(self) -> AgentExit | None:
        """How the agent ended; None while it lives."""
        returncode = self._child.returncode
        if returncode is None:
            return None
        return AgentExit.from_returncode(returncode, closed=self._closed)

    @property
    def limits(self) -> AgentLimits:
        """Its bounds."""
        return self._limits

    @property
    def stdin(self) -> WritePipe:
        """What it reads."""
        return self._child.stdin

    @property
    def stdout(self) -> ReadPipe:
        """What it writes; paused at first."""
        return self._child.stdout

    @property
    def is_deaf(self) -> bool:
        """Whether it has closed its input: what it is sent is lost, and its exit follows."""
        return self._deaf

    async def measure(self) -> Usage:
        """Tells what its processes use, and all that it has started. Cancelling is safe."""
        table = await self._survey.take()
        tree = belonging(table, group=self.pid, leader=self._handle, run=self._run, known=())
        return await asyncio.to_thread(measure, tree)

    async def end(self) -> AgentExit:
        """Ends the agent and every process it has left behind.

        Idempotent: all callers get the same answer. Cancelling one does not stop the ending.

        Raises:
            AgentError: A process survives; the next call tries again.
        """
        return await asyncio.shield(self._begin_ending())

    def close_stdin(self) -> None:
        """Closes the agent's standard input, once it has taken what waits."""
        self._child.stdin.close()

    async def wait_exited(self) -> AgentExit:
        """Gives how the agent ended, once it did or was made to. Cancelling is safe."""
        return await asyncio.shield(self._exited)

    # The child's events.

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Takes what the child wrote."""
        if fd == 2:  # noqa: PLR2004 - stderr
            self.owner.complaint_received(data)
        else:
            self.owner.output_received(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Takes note that nothing more can come from a living child, or reach it.

        Most often it is about to exit, and its exit will say why. One that has closed its stdin or
        stdout and lives on can never answer again, so it is ended.
        """
        if fd == 0:
            self._deaf = True
        if fd == 1:
            self.owner.output_ended()
        if fd in (0, 1) and self._last_moments is None:
            self._last_moments = self._loop.call_later(self._limits.grace_s, self._end_for, fd)

    def process_exited(self) -> None:
        """Takes note that the child has ended, though others may hold its pipes."""
        if self._last_moments is not None:
            self._last_moments.cancel()
        how = cast("AgentExit", self.exit)
        self._exited.set_result(how)
        self._begin_ending()
        self.owner.program_exited(how)

    def _end_for(self, fd: int) -> None:
        """Ends a child for having closed one of its standard streams."""
        if self._ending is None:
            self._closed = "output" if fd else "input"
        self._begin_ending()

    def _begin_ending(self) -> asyncio.Task[AgentExit]:
        if self._ending is None or _failed(self._ending):
            self._ending = self._loop.create_task(self._end())
        return self._ending

    async def _end(self) -> AgentExit:
        await self._tree.carry_out()
        return await self.wait_exited()


def _failed(task: asyncio.Task[AgentExit]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
