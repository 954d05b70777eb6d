"""What a relay needs of its agents, however they are reached.

The runtime depends on these alone. They speak of lines, not of JSON: what a line means is decided
by whoever receives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acprelay.agents.models import AgentExit, Usage
from acprelay.wire.framing import OversizedFrame


class AgentSink(Protocol):
    """Whoever receives what an agent says.

    Both methods are called on the event loop and must not block.
    """

    def lines_received(self, lines: list[bytes], oversized: list[OversizedFrame]) -> None:
        """Takes what one read of the agent's output completed, in order.

        Args:
            lines: Whole lines as `LineSplitter` gives them; JSON or not.
            oversized: Lines over the limit, which were skipped; `index` tells where in `lines`.
        """
        ...

    def agent_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the word for it; nobody exits here
        """Takes note that the agent has ended; called once for each sink, after the last line."""
        ...


class AgentConnection(Protocol):
    """One agent at work."""

    @property
    def name(self) -> str:
        """The agent's name in the catalog."""
        ...

    @property
    def pid(self) -> int | None:
        """The number of the agent's process; None where that runs on another machine."""
        ...

    @property
    def exit(self) -> AgentExit | None:
        """How the agent ended; None while it lives."""
        ...

    @property
    def stderr_tail(self) -> str:
        """The last lines that the agent wrote to its standard error."""
        ...

    @property
    def waiting_since(self) -> float | None:
        """Since when the agent has taken nothing of what waits for it; None where nothing waits.

        The event loop's time.
        """
        ...

    @property
    def received_bytes(self) -> int:
        """How much it has written to its standard output."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """How much of what was written to it it has not taken."""
        ...

    async def measure(self) -> Usage | None:
        """Tells what the agent's processes use; None where they are not on this machine.

        Cancelling is safe. Callers at about the same time share one reading of the process table.
        """
        ...

    def attach(self, sink: AgentSink | None) -> None:
        """Chooses who receives what the agent says from now on.

        What it says while nobody is attached stays in its pipe, which makes the agent wait, and
        goes to the next sink. A sink attached to an agent that has ended is told so before this
        returns, after the last lines if nobody had them yet.
        """
        ...

    def send(self, data: bytes, *, is_owed: bool = False) -> None:
        """Writes one or more whole lines, newlines included, to the agent, after all earlier ones.

        Never blocks; what the agent does not read yet waits in memory, within a limit. While
        nothing waits, any one call is taken, whatever its length. What is sent to an agent that has
        closed its input is lost, and the agent's exit follows.

        Args:
            data: The lines.
            is_owed: Whether they are taken beyond the limit: answers that the agent waits for, and
                the word to stop. They have a limit of their own, which an agent reaches that asks
                on and on and does not read: there is no more to be had from it.

        Raises:
            AgentExited: The agent has ended.
            AgentBackedUp: Too much waits for it already; nothing of `data` was written.
            AgentError: It is being ended; nothing was written either.
        """
        ...

    def pause_reading(self) -> None:
        """Stops `lines_received` and `agent_exited` until `resume_reading`. Idempotent.

        The agent's output stays in its pipe, so the agent waits once the pipe is full. `exit` tells
        of its end all the same.
        """
        ...

    def resume_reading(self) -> None:
        """Takes `pause_reading` back. Idempotent."""
        ...

    async def end(self) -> AgentExit:
        """Ends the agent and every process it has left behind.

        Idempotent: however many callers, the agent is ended once, and all get the same answer.
        Cancelling a caller does not stop the ending. Lines keep arriving until the agent is gone.

        Raises:
            AgentError: A process survives; the next call tries again.
        """
        ...


class AgentLauncher(Protocol):
    """Starts agents."""

    @property
    def names(self) -> Sequence[str]:
        """The agents that can be started, the default one first."""
        ...

    async def launch(self, name: str) -> AgentConnection:
        """Starts an agent; it belongs to the caller, who ends it.

        Cancelling at any instant leaves no process: the cancelled call returns once they are gone.

        Raises:
            AgentError: No agent has that name.
            SpawnFailed: Its program cannot be started; the hint says what to do.
        """
        ...
