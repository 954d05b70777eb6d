"""One run of an agent for one session: feeds the conversation, and carries out what it decides.

The driver is what the session manager's handle holds as the session's agent. It brings the run up
in the order create → begin_spawn → process and `initialize` → attach_agent → the agent's
`session/new` → activate → the client's reply, and `stop` takes down whatever of that was reached.
It decides nothing about the lifecycle: it tells the manager what happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from acprelay.agents.models import AgentExit
from acprelay.agents.ports import AgentConnection
from acprelay.config import Limits
from acprelay.errors import (
    AgentError,
    AgentExited,
    AgentUnresponsive,
    InvalidTransition,
    LocalProtocolError,
    RelayError,
    SessionEnded,
    SessionNotFound,
)
from acprelay.routing.attachment import Attachment
from acprelay.routing.conversation import Conversation
from acprelay.routing.events import OpeningRefused, SessionOpened
from acprelay.routing.log import PublicLog
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import AskLedger, RequestLedger
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.handshake import Handshake
from acprelay.runtime.opening import Opening
from acprelay.session.models import Handle, SessionKey
from acprelay.session.ports import SessionManager
from acprelay.wire import Envelope, OversizedFrame

logger = logging.getLogger(__name__)


class SessionDriver:
    """Drives one session.

    Args:
        key: The session.
        generation: Names the session's public log, and its asks; unique over all runs of the relay.
        opening: What it was opened with.
        manager: Is told how far the run has come.
        pool: Gives the agent's process.
        limits: Bounds.
        on_lost: Called when the run cannot go on, with the reason: above all, its agent has exited.
    """

    def __init__(
        self,
        *,
        key: SessionKey,
        generation: str,
        opening: Opening,
        manager: SessionManager[SessionDriver],
        pool: AgentPool,
        limits: Limits,
        on_lost: Callable[[SessionDriver, str], None],
    ) -> None:
        self.key = key
        self.opening = opening
        self._received = 0
        self._sent = 0
        self._manager = manager
        self._pool = pool
        self._limits = limits
        self._on_lost = on_lost
        self._agent: AgentConnection | None = None
        self._reading_paused = False
        self._stopping = False
        self._opened: asyncio.Future[SessionOpened | OpeningRefused] | None = None
        log = PublicLog(generation=generation, history_bytes=limits.history_bytes)
        self.attachment = Attachment(id=opening.attachment_id, log=log, cursor=0)
        self._publisher = Publisher(public_id=str(key), log=log)
        self._requests = RequestLedger()
        self._conversation = Conversation(
            agent_name=opening.agent,
            publisher=self._publisher,
            asks=AskLedger(prefix=generation),
            requests=self._requests,
            max_frame=limits.max_frame,
        )
        self._conversation.attach(self.attachment)

    # -- bringing the run up

    async def start(self, handle: Handle[SessionDriver, Attachment]) -> None:
        """Brings the run up and answers the client, or ends what it began and tells the client why.

        Cancelling it leaves no process behind, and answers the client too. To be called once.

        Args:
            handle: The session's; gets this task, for whoever ends the session to cancel.
        """
        # Not earlier: a task that is cancelled before its first step would answer nobody.
        handle.spawn_task = asyncio.current_task()
        handle.attachments[self.attachment.id] = self.attachment
        try:
            await self._bring_up()
        except asyncio.CancelledError:
            self._refuse_as_ended()
            raise
        except (InvalidTransition, SessionNotFound):
            # Whoever has ended the session is about to cancel this, or came before it began.
            self._refuse_as_ended()
        except RelayError as error:
            self.opening.refuse(error)
            await self._give_up(error.message)
        except Exception:
            self.opening.refuse(RelayError("cannot start the session", hint="see the relay's log"))
            await self._give_up("the relay failed")
            raise

    async def _bring_up(self) -> None:
        if not self.opening.client.session_starting(self):
            self._refuse_as_ended()
            await self._give_up("its client no longer wants it")
            return
        await self._manager.begin_spawn(self.key)
        handshake = await self._pool.take(self.opening.agent, credentials=self.opening.credentials)
        self._agent = handshake.agent
        try:
            await self._manager.attach_agent(self.key, self)
        except BaseException:
            await handshake.abandon()
            raise
        outcome = await self._open_session(handshake)
        if isinstance(outcome, OpeningRefused):
            self.opening.client.session_refused(self.opening, outcome.reply)
            await self._give_up("the agent refused session/new")
            return
        await self._manager.activate(self.key)
        self.attachment.admit(outcome.reply)
        self.opening.client.session_opened(self, self.attachment)
        self.opening.client.flush()

    async def _open_session(self, handshake: Handshake) -> SessionOpened | OpeningRefused:
        self._opened = asyncio.get_running_loop().create_future()
        self._requests.skip_to(handshake.last_id)
        self.lines_received(handshake.early, [])
        handshake.agent.attach(self)
        self.receive(self.opening.attachment_id, self.opening.request)
        try:
            async with asyncio.timeout(self._limits.start_s):
                return await self._opened
        except TimeoutError:
            raise AgentUnresponsive(
                agent=self.opening.agent,
                method="session/new",
                after_s=self._limits.start_s,
                stderr=handshake.agent.stderr_tail,
            ) from None

    def _refuse_as_ended(self) -> None:
        reason = "it was ended while it started"
        self.opening.refuse(SessionEnded(key=str(self.key), reason=reason))

    async def _give_up(self, reason: str) -> None:
        # Whoever ended the session first may have finished.
        with suppress(SessionNotFound):
            await self._manager.mark_terminating(self.key, reason=reason)

    # -- the agent's side

    def lines_received(self, lines: list[bytes], oversized: Sequence[OversizedFrame]) -> None:
        """Takes one batch of what the agent wrote, and writes what is due to clients."""
        self._received += len(lines)
        try:
            self._conversation.receive_agent(lines, oversized)
        except Exception:
            # What is lost may be an answer that somebody waits for: no session goes on like that.
            logger.exception("session %s: cannot deal with what its agent wrote", self.key)
            self._lose(RelayError("cannot go on with the session", hint="see the relay's log"))
        self._carry_out()
        if not self._reading_paused and self._unread_bytes > self._limits.unread_bytes:
            self._reading_paused = True
            self._process().pause_reading()

    def agent_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the sink's contract names it so
        """Takes note that the process has ended, after its last line."""
        if self._stopping:
            return
        self._lose(
            AgentExited(
                agent=self.opening.agent,
                status=exit.describe(),
                stderr=self._process().stderr_tail,
            )
        )
        self._carry_out()

    def _lose(self, error: RelayError) -> None:
        # First, so that this is the reason of the session's end, and not what follows from it.
        self._on_lost(self, error.message)
        self.opening.refuse(error)
        self._conversation.fail(error)

    def output_taken(self) -> None:
        """Takes note that the client was written something: the agent may go on."""
        self._publisher.trim()
        if self._reading_paused and self._unread_bytes <= self._limits.unread_bytes // 2:
            self._reading_paused = False
            self._process().resume_reading()

    def take_activity(self) -> tuple[int, int]:
        """Counts the messages from the agent, and those to it, since the last call."""
        activity = self._received, self._sent
        self._received = self._sent = 0
        return activity

    @property
    def _unread_bytes(self) -> int:
        return self._conversation.unread_bytes

    # -- the client's side

    def receive(self, attachment_id: str, envelope: Envelope) -> None:
        """Takes a client's request or notification for the agent.

        Raises:
            InvalidRequest: The client still waits for a request with this id.
            SessionEnded: The session is being ended.
            AgentError: The agent cannot take it.
        """
        self._conversation.receive_client(attachment_id, envelope)
        try:
            self._write_agent()
        except Exception:
            self._conversation.forget_request(attachment_id, envelope)
            raise

    def receive_ask_answer(self, attachment_id: str, envelope: Envelope) -> bool:
        """Takes a client's answer to an ask; tells whether it was one of this session's."""
        taken = self._conversation.receive_ask_answer(attachment_id, envelope)
        self._carry_out()
        return taken

    def cancel_client_request(self, attachment_id: str, request_id: bytes) -> bool:
        """Takes a client's `$/cancel_request`; tells whether that request is in flight here."""
        taken = self._conversation.cancel_client_request(attachment_id, request_id)
        self._carry_out()
        return taken

    def cancel_turns(self) -> None:
        """Answers every prompt in flight with `cancelled`: its client closes the session."""
        self._conversation.cancel_turns()
        self._carry_out()

    # -- taking the run down

    async def stop(self, reason: str) -> None:
        """Ends the agent's process tree; whoever still waits for an answer gets an error.

        Idempotent. Cancelling it does not stop the ending of the process.
        """
        if not self._stopping and self._conversation.oddities:
            logger.warning("session %s: %s", self.key, self._conversation.oddities.describe())
        self._stopping = True
        self._conversation.fail(SessionEnded(key=str(self.key), reason=reason))
        self._carry_out()
        await self._process().end()
        self.opening.client.session_ended(self)

    def _carry_out(self) -> None:
        """Does what the conversation has decided, clients last."""
        for event in self._conversation.take_events():
            if self._opened is not None and not self._opened.done():
                self._opened.set_result(event)
        try:
            self._write_agent()
        except AgentError as error:
            # Nobody waits for the outcome of these: they are answers to the agent's own requests.
            logger.warning("session %s: %s", self.key, error.message)
        self.opening.client.flush()

    def _write_agent(self) -> None:
        output = self._conversation.take_agent_output()
        if output:
            self._process().send(output)
            self._sent += output.count(b"\n")

    def _process(self) -> AgentConnection:
        if self._agent is None:
            raise LocalProtocolError(
                "cannot use an agent before it is there", hint="report this as a defect"
            )
        return self._agent
