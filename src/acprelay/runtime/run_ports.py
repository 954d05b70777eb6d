"""What a run of an agent and those who have to do with it need of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from acprelay.errors import RelayError
from acprelay.routing.snapshot import Snapshot
from acprelay.wire import Envelope, OversizedFrame

if TYPE_CHECKING:  # both need this
    from acprelay.runtime.agent_run import AgentRun
    from acprelay.runtime.conversation_driver import ConversationDriver


class RunSink(Protocol):
    """Whoever receives what the agent of a run says, once its session is open."""

    def lines_received(
        self, run: AgentRun, lines: list[bytes], oversized: Sequence[OversizedFrame]
    ) -> None:
        """Takes one batch of the agent's output."""
        ...

    def run_over(self, run: AgentRun, error: RelayError) -> None:
        """Takes note that nothing more comes, and why; of several calls the first one counts."""
        ...


class Purpose(Protocol):
    """What a run is begun for: a new session, or one that an earlier run has left."""

    @property
    def agent(self) -> str:
        """The agent's name in the catalog."""
        ...

    @property
    def on_lost(self) -> Callable[[AgentRun, str], None]:
        """Takes note that the run cannot go on, and why: above all, its agent has exited."""
        ...

    @property
    def credentials(self) -> bytes | None:
        """The params of the `authenticate` that its process must have seen, if any."""
        ...

    @property
    def agent_session_id(self) -> str | None:
        """What the agent calls the session; None where it is new."""
        ...

    @property
    def snapshot(self) -> Snapshot | None:
        """Takes note of what the agent replays; None where what it says is news."""
        ...

    async def prepare(self) -> None:
        """Sees to it that there is a directory to work in; comes before the agent.

        Cancelling is safe.

        Raises:
            RelayError: There is none.
        """
        ...

    def request(self, initialize_result: bytes, request_id: bytes) -> tuple[str, bytes]:
        """Gives the method and the frame of the request that opens the agent's session.

        Raises:
            NotRestorable: The agent cannot do that.
        """
        ...

    def asked(self) -> None:
        """Does what can be done while the agent works on that request.

        Raises:
            RelayError: It cannot be done.
        """
        ...

    def opened(self, run: AgentRun, answer: Envelope, *, last_id: int) -> RunSink:
        """Takes the agent's answer, which is no error; gives who takes what follows it.

        Raises:
            RelayError: The session cannot be used.
        """
        ...

    async def kept(self) -> None:
        """Returns once what was opened outlives the relay; comes before the session is active.

        Cancelling is safe.

        Raises:
            RelayError: It cannot be stored.
        """
        ...


class Runs(Protocol):
    """Whoever begins and ends runs."""

    def begin_run(self, driver: ConversationDriver) -> AgentRun:
        """Begins a run for a conversation that has none; `run_opened` or `run_over` follows."""
        ...

    def abandon(self, run: AgentRun, reason: str) -> None:
        """Begins to end a run that its conversation has let go of. Idempotent."""
        ...
