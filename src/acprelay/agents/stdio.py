"""One agent as a child process: lines in, lines out, and its end.

How it is ended is `acprelay.agents.program`'s business. This module knows no JSON and no catalog.
"""

from __future__ import annotations

from acprelay.agents.allowance import Allowance
from acprelay.agents.delivery import Delivery
from acprelay.agents.models import AgentExit, Usage
from acprelay.agents.ports import AgentSink
from acprelay.agents.process_table import ProcessHandle
from acprelay.agents.program import Program
from acprelay.agents.refusals import being_ended, check_whole
from acprelay.agents.stderr_tail import STDERR_LINES, StderrTail
from acprelay.errors import AgentExited
from acprelay.wire.framing import LineSplitter


class StdioAgent:
    """An `AgentConnection` over a child's standard streams.

    Args:
        program: The child, which tells this object from now on.
    """

    def __init__(self, *, program: Program) -> None:
        self._program = program
        limits = program.limits
        self._allowance = Allowance(agent=program.name, limit=limits.max_stdin_bytes)
        self._stderr_tail = StderrTail(limit=limits.max_stderr_bytes)
        self._splitter = LineSplitter(max_frame=limits.max_frame)
        self._delivery = Delivery()
        self.received_bytes = 0
        program.owner = self

    @property
    def name(self) -> str:
        """The agent's name in the catalog."""
        return self._program.name

    @property
    def run(self) -> str:
        """The value of the marker in the environment of the agent's processes."""
        return self._program.run

    @property
    def pid(self) -> int:
        """The number of the agent's process, and of the group it leads."""
        return self._program.pid

    @property
    def handle(self) -> ProcessHandle:
        """The agent's process."""
        return self._program.handle

    @property
    def exit(self) -> AgentExit | None:
        """How the agent ended; None while it lives."""
        return self._program.exit

    @property
    def stderr_tail(self) -> str:
        """The last lines that the agent wrote to its standard error."""
        return self._stderr_tail.text(lines=STDERR_LINES)

    @property
    def waiting_since(self) -> float | None:
        """Since when the agent has taken nothing of what waits for it; None if nothing waits."""
        return self._program.stdin.waiting_since

    @property
    def waiting_bytes(self) -> int:
        """How much of what was written to the agent it has not taken."""
        return self._program.stdin.waiting

    async def measure(self) -> Usage:
        """Tells what the agent's processes use; see `AgentConnection.measure`."""
        return await self._program.measure()

    def attach(self, sink: AgentSink | None) -> None:
        """Chooses who receives what the agent says from now on; see `AgentConnection.attach`."""
        self._delivery.attach(sink)
        self._regulate()

    def pause_reading(self) -> None:
        """Stops calls to the sink until `resume_reading`. Idempotent."""
        self._delivery.pause()
        self._regulate()

    def resume_reading(self) -> None:
        """Takes `pause_reading` back. Idempotent."""
        self._delivery.resume()
        self._regulate()

    def send(self, data: bytes, *, is_owed: bool = False) -> None:
        """Writes one or more whole lines to the agent; see `AgentConnection.send`.

        Raises:
            AgentExited: The agent has ended.
            AgentBackedUp: Too much waits for it already.
            AgentError: It is being ended.
            LocalProtocolError: The last line has no newline.
        """
        program = self._program
        if (ended := program.exit) is not None:
            raise AgentExited(agent=self.name, status=ended.describe(), stderr=self.stderr_tail)
        check_whole(program.name, data)
        stdin = program.stdin
        self._allowance.check(len(data), waiting=stdin.waiting, is_owed=is_owed)
        if not stdin.write(data) and not program.is_deaf:
            raise being_ended(self.name)

    async def end(self) -> AgentExit:
        """Ends the agent and every process it has left behind; see `AgentConnection.end`.

        Raises:
            AgentError: A process survives; the next call tries again.
        """
        return await self._program.end()

    def close_stdin(self) -> None:
        """Closes the agent's standard input, once it has taken what waits."""
        self._program.close_stdin()

    async def wait_exited(self) -> AgentExit:
        """Gives how the agent ended, once it did or was made to. Cancelling is safe."""
        return await self._program.wait_exited()

    # The program's events.

    def output_received(self, data: bytes) -> None:
        """Takes what the agent wrote."""
        self.received_bytes += len(data)
        self._hand_on(self._splitter.feed(data))

    def complaint_received(self, data: bytes) -> None:
        """Takes what it wrote to its standard error."""
        self._stderr_tail.append(data)

    def output_ended(self) -> None:
        """Takes the end of what it wrote, be that in the middle of a line."""
        self._hand_on(self._splitter.finish())

    def program_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the word for it; nobody exits here
        """Takes note that the program has ended."""
        self._delivery.close(exit)
        self._hand_on(self._splitter.finish())

    def _hand_on(self, lines: list[bytes]) -> None:
        self._delivery.pass_on(lines, self._splitter.take_oversized())

    def _regulate(self) -> None:
        if self._delivery.flows:
            self._program.stdout.resume()
            self._delivery.deliver()
        else:
            self._program.stdout.pause()
