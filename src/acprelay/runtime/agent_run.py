"""One run of an agent: brings its process up, opens its session, and takes it down.

A run is what the session manager's handle holds as the session's agent. It comes up in the order
create → begin_spawn → worktree → process and `initialize` → attach_agent → the agent's
`session/new`, `session/resume` or `session/load` → record → activate, and `stop` takes down
whatever of that was reached. It decides nothing about the lifecycle, and knows no client: what the
agent says goes to whoever the run was begun for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from acprelay.agents.models import AgentExit, Usage
from acprelay.agents.ports import AgentConnection
from acprelay.config import Limits
from acprelay.errors import (
    AgentError,
    AgentExited,
    AgentUnresponsive,
    LocalProtocolError,
    RelayError,
    SessionEnded,
)
from acprelay.routing.opening import SessionOpening
from acprelay.routing.restoring import can_restore
from acprelay.runtime.agent_source import AgentSource
from acprelay.runtime.background import together
from acprelay.runtime.handshake import Handshake
from acprelay.runtime.measurements import Traffic
from acprelay.runtime.run_ports import Purpose, RunSink
from acprelay.runtime.service_desk import ServiceDesk
from acprelay.session.models import Handle, SessionKey
from acprelay.session.ports import SessionManager
from acprelay.wire import Envelope, OversizedFrame, to_line

logger = logging.getLogger(__name__)


class _Opening(NamedTuple):
    """What is of use until the agent's session is open.

    Attributes:
        opening: Reads what the agent says up to its answer.
        answered: Has the answer.
        purpose: What the run is begun for.
    """

    opening: SessionOpening
    answered: asyncio.Future[Envelope]
    purpose: Purpose


class AgentRun:
    """Drives one run.

    Args:
        key: The session.
        purpose: What it is begun for.
        manager: Is told how far it has come.
        pool: Gives the agent's process.
        limits: Bounds.
        desk: Serves the agent with files and terminals; the run's from now on.
        traffic: What has passed; the run adds to it.

    Attributes:
        desk: Where that is done.
        failure: Why nothing more comes of it, once that is so.
        can_restore: Whether its agent can take up what an earlier run has left.
        last_output_at: When its agent last said something; the event loop's time.
    """

    def __init__(
        self,
        *,
        key: SessionKey,
        purpose: Purpose,
        manager: SessionManager[AgentRun],
        pool: AgentSource,
        limits: Limits,
        desk: ServiceDesk,
        traffic: Traffic,
    ) -> None:
        self.key = key
        self.desk = desk
        self.failure: RelayError | None = None
        self.can_restore = False
        self.last_output_at = 0.0
        self._purpose: Purpose | None = purpose  # until it is started
        self._agent_name = purpose.agent
        self._on_lost = purpose.on_lost
        self._manager = manager
        self._pool = pool
        self._limits = limits
        self._agent: AgentConnection | None = None
        self._opening: _Opening | None = None
        self._loop: asyncio.AbstractEventLoop
        self._sink: RunSink | None = None
        self._last_id = 0
        self._stopping = False
        self._received = 0
        self._sent = 0
        self._traffic = traffic
        self._counted_bytes = 0

    # -- bringing it up

    async def start(self, handle: Handle[AgentRun, object]) -> Envelope:
        """Brings the run up. To be called once.

        Cancelling it leaves no process that nobody knows of: either there is none, or the session
        manager's handle has this run, and `stop` ends it.

        Args:
            handle: The session's; gets this task, for whoever ends the session to cancel.

        Returns:
            The agent's answer to the request that opens its session; the session is active, unless
            the answer is an error.

        Raises:
            WorkspaceError: There is no directory for it to work in.
            AgentError: The agent cannot be started, does not open a session, or ends right away.
            SessionError: The session was ended meanwhile, or cannot be restored.
            LocalProtocolError: It was started before.
        """
        purpose, self._purpose = self._purpose, None
        if purpose is None:
            raise LocalProtocolError("cannot start a run twice", hint="report this as a defect")
        handle.spawn_task = asyncio.current_task()
        await self._manager.begin_spawn(self.key)
        await purpose.prepare()
        handshake = await self._pool.take(
            purpose.agent, key=self.key, credentials=purpose.credentials
        )
        self._agent = handshake.agent
        try:
            await self._manager.attach_agent(self.key, self)
        except BaseException:
            await handshake.abandon()
            raise
        try:
            answer = await self._open(handshake, purpose)
        finally:
            # A session may be idle for days, and what only its beginning needs is large.
            self._opening = None
        if not answer.is_error:
            # Nothing is done beside: what is stored is waited for, and the interpreter is shared.
            await purpose.kept()
            await self._manager.activate(self.key)
            if self.failure is not None:
                raise self.failure
        return answer

    async def _open(self, handshake: Handshake, purpose: Purpose) -> Envelope:
        self._loop = asyncio.get_running_loop()
        answered: asyncio.Future[Envelope] = self._loop.create_future()
        self.can_restore = can_restore(handshake.initialize_result)
        self._last_id = handshake.last_id + 1
        request_id = str(self._last_id).encode()
        method, frame = purpose.request(handshake.initialize_result, request_id)
        opening = SessionOpening(
            agent=purpose.agent,
            request_id=request_id,
            method=method,
            own_session_id=purpose.agent_session_id,
            snapshot=purpose.snapshot,
            most_kept=self._limits.early_bytes,
        )
        self._opening = _Opening(opening, answered, purpose)
        self.lines_received(handshake.early, [])
        handshake.agent.attach(self)
        self.send(to_line(frame))
        purpose.asked()
        try:
            async with asyncio.timeout(self._limits.start_s):
                return await answered
        except TimeoutError:
            raise AgentUnresponsive(
                agent=purpose.agent,
                method=method,
                after_s=self._limits.start_s,
                stderr=handshake.agent.stderr_tail,
            ) from None

    @property
    def why_over(self) -> RelayError:
        """Why nothing more comes of it, or nothing came of it at all."""
        ended_early = SessionEnded(key=str(self.key), reason="it was ended while it started")
        return self.failure or ended_early

    # -- what the agent says

    def lines_received(self, lines: list[bytes], oversized: Sequence[OversizedFrame]) -> None:
        """Takes one batch of what the agent wrote."""
        count = len(lines)
        self._received += count
        flow = self._traffic.from_agents
        flow.messages += count
        if self._agent is not None:
            received_bytes = self._agent.received_bytes
            flow.size += received_bytes - self._counted_bytes
            self._counted_bytes = received_bytes
        self.last_output_at = self._loop.time()
        try:
            if self._sink is not None:
                self._sink.lines_received(self, lines, oversized)
            elif (coming := self._opening) is not None and self._is_awaited:
                self._receive_opening(coming, lines, oversized)
        except Exception:
            # What is lost may be an answer that somebody waits for: no session goes on like that.
            logger.exception("session %s: cannot deal with what its agent wrote", self.key)
            self._lose(RelayError("cannot go on with the session", hint="see the relay's log"))

    @property
    def _is_awaited(self) -> bool:
        """Whether the answer that opens the session is still of use to anybody."""
        return self._opening is not None and not (self._opening.answered.done() or self._stopping)

    def _receive_opening(
        self, coming: _Opening, lines: list[bytes], oversized: Sequence[OversizedFrame]
    ) -> None:
        opening = coming.opening
        opening.receive(lines, oversized)
        output = opening.take_agent_output()
        if output:
            # An agent that takes nothing any more needs no answer either.
            with suppress(AgentError):
                self.send(output)
        if opening.failure is not None:
            self._settle(opening.failure)
        elif opening.answer is not None:
            self._receive_answer(coming, opening.answer)

    def _receive_answer(self, coming: _Opening, answer: Envelope) -> None:
        if answer.is_error:
            self._settle(answer)
            return
        try:
            self._sink = coming.purpose.opened(self, answer, last_id=self._last_id)
        except RelayError as error:
            self._settle(error)
            return
        self._settle(answer)
        self._sink.lines_received(self, coming.opening.kept, coming.opening.skipped)

    def _settle(self, outcome: Envelope | RelayError) -> None:
        if self._opening is None or self._opening.answered.done():
            return
        answered = self._opening.answered
        if isinstance(outcome, RelayError):
            answered.set_exception(outcome)
            # Whoever waited may have been cancelled: then nobody asks for the exception.
            answered.exception()
        else:
            answered.set_result(outcome)

    def agent_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the sink's contract names it so
        """Takes note that the process has ended, after its last line."""
        if not self._stopping:
            status, stderr = exit.describe(), self._process().stderr_tail
            self._lose(AgentExited(agent=self._agent_name, status=status, stderr=stderr))

    def _lose(self, error: RelayError) -> None:
        # First, so that this is the reason of the session's end, and not what follows from it.
        self._on_lost(self, error.message)
        self._end(error)

    def _end(self, error: RelayError) -> None:
        self.failure = self.failure or error
        self._settle(error)
        if self._sink is not None:
            self._sink.run_over(self, error)

    # -- what it is told

    def send(self, lines: bytes, *, is_owed: bool = False) -> None:
        """Writes whole lines to the agent.

        Args:
            lines: The lines.
            is_owed: Whether they have to be taken, however much waits for the agent.

        Raises:
            AgentError: The agent cannot take them.
        """
        self._process().send(lines, is_owed=is_owed)
        count = lines.count(b"\n")
        self._sent += count
        self._traffic.to_agents.messages += count
        self._traffic.to_agents.size += len(lines)

    def pause_reading(self) -> None:
        """Leaves the agent's output in its pipe. Idempotent."""
        self._process().pause_reading()

    def resume_reading(self) -> None:
        """Takes `pause_reading` back. Idempotent."""
        self._process().resume_reading()

    def take_activity(self) -> tuple[int, int]:
        """Counts the messages from the agent, and those to it, since the last call."""
        activity = self._received, self._sent
        self._received = self._sent = 0
        return activity

    # -- what there is to see of it

    @property
    def pid(self) -> int | None:
        """The number of its agent's process, once there is one and if it is on this machine."""
        return None if self._agent is None else self._agent.pid

    @property
    def input_waits_since(self) -> float | None:
        """Since when its agent has taken nothing of what waits for it; None if nothing waits."""
        return None if self._agent is None else self._agent.waiting_since

    @property
    def input_waiting_bytes(self) -> int:
        """How much waits for its agent to read it."""
        return 0 if self._agent is None else self._agent.waiting_bytes

    async def measure(self) -> Usage | None:
        """Tells what its agent's processes use, where they can be seen. Cancelling is safe."""
        return None if self._agent is None else await self._agent.measure()

    # -- taking it down

    async def stop(self, reason: str) -> None:
        """Ends the agent's process tree and its terminals; what waits for an answer gets an error.

        Idempotent. Cancelling it does not stop the ending of the process.

        Raises:
            AgentError: A process survives.
        """
        self._stopping = True
        self._end(SessionEnded(key=str(self.key), reason=reason))
        await together(self._end_agent(), self.desk.aclose())

    async def _end_agent(self) -> None:
        await self._process().end()

    def _process(self) -> AgentConnection:
        if self._agent is None:
            raise LocalProtocolError(
                "cannot use an agent before it is there", hint="report this as a defect"
            )
        return self._agent
