"""A client's connection: what it says goes where the rules send it.

A message is dealt with when it arrives, in order. Only what has to wait for an agent's process runs
beside that: `initialize`, authentication, opening and closing a session. Each of those answers its
request itself, whatever happens.

It knows no WebSocket and no HTTP: whoever has a socket gives an `Outlet` and calls `receive`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from acprelay.errors import RelayError, RemoteProtocolError, RequestCancelled
from acprelay.routing.attachment import Attachment
from acprelay.routing.destinations import Destination, destination
from acprelay.routing.frames import error_reply, result_reply
from acprelay.runtime.agent_access import AgentAccess
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.background import Background
from acprelay.runtime.client_sessions import ClientSessions, Place
from acprelay.runtime.opening import Opening, read_cwd
from acprelay.runtime.outbox import Outbox
from acprelay.runtime.ports import Outlet
from acprelay.runtime.session_driver import SessionDriver
from acprelay.runtime.session_host import SessionHost
from acprelay.session.models import SessionSpec
from acprelay.wire import Envelope, MessageKind, peek, peek_refused

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a connection's address chooses.

    Attributes:
        agent: Which agent its sessions get.
        role: Which role they have.
        session_id: The group they belong to; None lets the relay mint one for each.
    """

    agent: str
    role: str
    session_id: str | None


class ClientConnection:
    """One client, from its first message until it has left.

    To be used as a context: leaving it ends the sessions that it opened, as nobody else is attached
    to them.

    Args:
        id: The connection's id; begins the ids of its attachments.
        choice: What its address chooses.
        outlet: Its socket.
        host: Opens and ends sessions.
        pool: Gives agents.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the glossary's word
        choice: Choice,
        outlet: Outlet,
        host: SessionHost,
        pool: AgentPool,
    ) -> None:
        self.id = id
        self._choice = choice
        self._host = host
        self._pool = pool
        self._access = AgentAccess(agent=choice.agent, pool=pool)
        self._outbox = Outbox(outlet=outlet)
        self._tasks = Background()
        self._exit = AsyncExitStack()
        self._sessions = ClientSessions()
        self._attached = 0
        self._closed = False

    async def __aenter__(self) -> Self:
        """Begins to write, and lets the chosen agent's process stay warm."""
        await self._exit.enter_async_context(self._pool.hold(self._choice.agent))
        await self._exit.enter_async_context(self._tasks)
        self._exit.callback(self._leave)
        self._tasks.start(self._write(), name=f"writer of connection {self.id}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends what the client leaves behind; returns once that is on its way."""
        await self._exit.aclose()

    def _leave(self) -> None:
        self._closed = True
        self._outbox.close()
        for driver in self._sessions.drivers:
            self._host.begin_termination(driver.key, reason="its client left")

    @property
    def backlog_bytes(self) -> int:
        """How much of what belongs to no session waits to be written."""
        return self._outbox.lane_bytes

    # -- what the client says

    def receive(self, frame: bytes) -> None:
        """Takes one message of the client; never raises for what is in it."""
        try:
            envelope = peek(frame)
        except RemoteProtocolError as error:
            refused = peek_refused(frame)
            if refused.kind is not MessageKind.RESPONSE:
                self.say(error_reply(refused.id or b"null", error))
            return
        try:
            self._route(envelope)
        except RelayError as error:
            self._refuse(envelope, error)
        except Exception:
            logger.exception("connection %s: cannot deal with %r", self.id, envelope)
            self._refuse(envelope, _defect(envelope))

    def _refuse(self, envelope: Envelope, error: RelayError) -> None:
        if envelope.kind is MessageKind.REQUEST:
            self.say(error_reply(envelope.id or b"null", error))

    def _route(self, envelope: Envelope) -> None:
        match destination(envelope, initialized=self._access.initialized):
            case Destination.SESSION:
                place = self._sessions.find(envelope)
                place.driver.receive(place.attachment.id, envelope)
            case Destination.ASK:
                self._sessions.answer_ask(envelope)
            case Destination.CANCEL_REQUEST:
                self._cancel_request(envelope.request_id or b"")
            case Destination.INITIALIZE:
                self._access.begin_greeting()
                self._tasks.start(self._answer(envelope, self._access.greet), name="initialize")
            case Destination.OPEN_SESSION:
                self._open(envelope)
            case Destination.CLOSE_SESSION:
                self._close(envelope, self._sessions.find(envelope))
            case Destination.AGENT_PROCESS:
                self._tasks.start(
                    self._answer(envelope, self._access.pass_on), name=envelope.method or ""
                )
            case Destination.NOWHERE:
                pass

    def _cancel_request(self, request_id: bytes) -> None:
        opening = self._sessions.withdraw(request_id)
        if opening is None:
            self._sessions.cancel_request(request_id)
            return
        self.say(error_reply(request_id, RequestCancelled(method="session/new")))
        if opening.driver is not None:
            key = opening.driver.key
            self._host.begin_termination(key, reason="its client cancelled session/new")

    def _open(self, envelope: Envelope) -> None:
        cwd = read_cwd(envelope.member("params"))
        self._attached += 1
        opening = Opening(
            client=self,
            request=envelope,
            attachment_id=f"{self.id}/{self._attached}",
            agent=self._choice.agent,
            credentials=self._access.credentials,
        )
        spec = SessionSpec(
            session_id=self._choice.session_id,
            role=self._choice.role,
            agent=self._choice.agent,
            cwd=cwd,
        )
        self._sessions.expect(opening)
        self._host.open(opening, spec)

    def _close(self, envelope: Envelope, place: Place) -> None:
        """ACP, "Session close": what is running is cancelled, and what it held is freed."""
        self._sessions.leave(place.driver)
        place.driver.cancel_turns()

        async def ended(envelope: Envelope) -> bytes:
            await self._host.end(place.driver.key, reason="its client closed it")
            return result_reply(envelope.id or b"null", {})

        def last_word(reply: bytes) -> None:
            place.attachment.push(reply)
            self._outbox.retire(place.attachment)

        self._host.background.start(
            self._answer(envelope, ended, last_word), name=f"closing of {place.driver.key}"
        )

    async def _answer(
        self,
        envelope: Envelope,
        work: Callable[[Envelope], Awaitable[bytes]],
        say: Callable[[bytes], None] | None = None,
    ) -> None:
        """Does what a request asks, and answers it whatever happens."""
        say = say or self.say
        request_id = envelope.id or b"null"
        try:
            reply = await work(envelope)
        except RelayError as error:
            reply = error_reply(request_id, error)
        except Exception:
            say(error_reply(request_id, _defect(envelope)))
            raise
        say(reply)

    # -- what the relay says

    def say(self, message: bytes) -> None:
        """Gives the client a message that belongs to no session."""
        self._outbox.say(message)

    def flush(self) -> None:
        """Writes what is due to the client, as far as its socket takes it."""
        self._outbox.flush()

    def session_starting(self, driver: SessionDriver) -> bool:
        """Takes note of a session that is on its way; tells whether its client still wants it."""
        return self._sessions.begin(driver) and not self._closed

    def session_opened(self, driver: SessionDriver, attachment: Attachment) -> None:
        """Takes up a session whose reply is due, unless its client has been answered already."""
        if self._sessions.settle(driver.opening):
            self._sessions.enter(Place(driver, attachment))
            self._outbox.add(attachment, on_taken=driver.output_taken)

    def session_refused(self, opening: Opening, reply: bytes) -> None:
        """Answers a `session/new` with an error; the first answer counts."""
        if self._sessions.settle(opening):
            self.say(reply)

    def session_ended(self, driver: SessionDriver) -> None:
        """Lets a session go once what it holds for the client is written."""
        place = self._sessions.leave(driver)
        if place is not None:
            self._outbox.retire(place.attachment)

    async def _write(self) -> None:
        try:
            await self._outbox.run()
        except ConnectionError:
            # The reader of the same socket sees its end, and leaves the context.
            logger.debug("connection %s is lost", self.id)


def _defect(envelope: Envelope) -> RelayError:
    """What a peer is told of a defect of the relay: nothing that it could use, but an answer."""
    return RelayError(f"cannot serve {(envelope.method or '')[:120]!r}", hint="see the relay's log")
