"""One agent as a child process: lines in, lines out, and its end.

Its exit is learned from the operating system, not from the end of its stdout, which any process it
left behind may hold open. It is reported after the last line, and then whatever else is left of its
tree is ended. This module knows no JSON and no catalog.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import psutil

from acprelay.agents.child import Child
from acprelay.agents.ending import Ending
from acprelay.agents.models import AgentExit, AgentLimits, Usage
from acprelay.agents.ports import AgentSink
from acprelay.agents.process_table import ProcessHandle, ProcessSurvey
from acprelay.agents.process_tree import belonging
from acprelay.agents.stderr_tail import StderrTail
from acprelay.agents.usage import measure
from acprelay.errors import AgentBackedUp, AgentError, AgentExited, LocalProtocolError
from acprelay.wire.framing import LineSplitter, OversizedFrame

_STDERR_LINES = 20


class StdioAgent(asyncio.SubprocessProtocol):
    """An `AgentConnection` over a child's standard streams.

    Args:
        name: The agent's name in the catalog.
        run: The value of the marker in the child's environment.
        child: The process; it is to be connected to this object next.
        survey: Finds what the agent leaves behind.
        limits: Bounds.
    """

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
        self._stderr_tail = StderrTail(limit=limits.max_stderr_bytes)
        self._splitter = LineSplitter(max_frame=limits.max_frame)
        self._sink: AgentSink | None = None
        self._told = False  # the sink knows of the exit
        self._paused = False
        self._unsaid: deque[tuple[list[bytes], list[OversizedFrame]]] = deque()
        self._exited: asyncio.Future[AgentExit] = self._loop.create_future()
        self._ending: asyncio.Task[AgentExit] | None = None
        self._deaf = False  # nobody reads what it is sent
        self._last_moments: asyncio.TimerHandle | None = None

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
        return None if returncode is None else AgentExit.from_returncode(returncode)

    @property
    def stderr_tail(self) -> str:
        """The last lines that the agent wrote to its standard error."""
        return self._stderr_tail.text(lines=_STDERR_LINES)

    @property
    def waiting_since(self) -> float | None:
        """Since when the agent has taken nothing of what waits for it; None if nothing waits."""
        return self._child.stdin.waiting_since

    async def measure(self) -> Usage:
        """Tells what the agent's processes use; see `AgentConnection.measure`."""
        table = await self._survey.take()
        tree = belonging(table, group=self.pid, leader=self._handle, run=self._run, known=())
        return await asyncio.to_thread(measure, tree)

    def attach(self, sink: AgentSink | None) -> None:
        """Chooses who receives what the agent says from now on; see `AgentConnection.attach`."""
        if sink is not self._sink:
            self._sink = sink
            self._told = False
        self._regulate()

    def pause_reading(self) -> None:
        """Stops calls to the sink until `resume_reading`. Idempotent."""
        self._paused = True
        self._regulate()

    def resume_reading(self) -> None:
        """Takes `pause_reading` back. Idempotent."""
        self._paused = False
        self._regulate()

    def send(self, data: bytes, *, is_owed: bool = False) -> None:
        """Writes one or more whole lines to the agent; see `AgentConnection.send`.

        Raises:
            AgentExited: The agent has ended.
            AgentBackedUp: Too much waits for it already.
            AgentError: It is being ended.
            LocalProtocolError: The last line has no newline.
        """
        if (ended := self.exit) is not None:
            raise AgentExited(agent=self._name, status=ended.describe(), stderr=self.stderr_tail)
        if not data.endswith(b"\n"):
            raise LocalProtocolError(
                f"cannot send part of a line to agent {self._name!r}", hint="end it with a newline"
            )
        stdin = self._child.stdin
        is_full = stdin.waiting and stdin.waiting + len(data) > self._limits.max_stdin_bytes
        if is_full and not is_owed:
            raise AgentBackedUp(
                agent=self._name, waiting=stdin.waiting, limit=self._limits.max_stdin_bytes
            )
        if not stdin.write(data) and not self._deaf:
            raise AgentError(
                f"cannot send to agent {self._name!r}: it is being ended",
                hint="open a new session",
                agent=self._name,
            )

    async def end(self) -> AgentExit:
        """Ends the agent and every process it has left behind; see `AgentConnection.end`.

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
            self._stderr_tail.append(data)
        else:
            self._hand_on(self._splitter.feed(data))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Takes note that nothing more can come from a living child, or reach it.

        Most often it is about to exit, and its exit will say why. One that has closed its stdin or
        stdout and lives on can never answer again, so it is ended.
        """
        if fd == 0:
            self._deaf = True
        if fd == 1:
            self._hand_on(self._splitter.finish())
        if fd in (0, 1) and self._last_moments is None:
            self._last_moments = self._loop.call_later(self._limits.grace_s, self._begin_ending)

    def process_exited(self) -> None:
        """Takes note that the child has ended, though others may hold its pipes."""
        if self._last_moments is not None:
            self._last_moments.cancel()
        self._exited.set_result(AgentExit.from_returncode(cast("int", self._child.returncode)))
        self._begin_ending()
        self._hand_on(self._splitter.finish())

    def _hand_on(self, lines: list[bytes]) -> None:
        oversized = self._splitter.take_oversized()
        if lines or oversized:
            self._unsaid.append((lines, oversized))
        self._deliver()

    def _regulate(self) -> None:
        if self._sink is None or self._paused:
            self._child.stdout.pause()
        else:
            self._child.stdout.resume()
            self._deliver()

    def _deliver(self) -> None:
        if self._sink is None or self._paused:
            return
        if self._unsaid:
            try:
                self._sink.lines_received(*self._unsaid.popleft())
            finally:  # a sink that fails still learns what follows
                self._deliver()
        elif self._exited.done() and not self._told:
            self._told = True
            self._sink.agent_exited(self._exited.result())

    def _begin_ending(self) -> asyncio.Task[AgentExit]:
        if self._ending is None or _failed(self._ending):
            self._ending = self._loop.create_task(self._end())
        return self._ending

    async def _end(self) -> AgentExit:
        await self._tree.carry_out()
        return await self.wait_exited()


def _failed(task: asyncio.Task[AgentExit]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
