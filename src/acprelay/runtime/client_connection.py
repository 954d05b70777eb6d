"""A client's connection: what it says goes where the rules send it.

A message is dealt with when it arrives, in order. Only what has to wait for an agent's process runs
beside that: `initialize`, authentication, opening and closing a session. Each of those answers its
request itself, whatever happens.

It knows no WebSocket and no HTTP: whoever has a socket gives a `ClientWriter` and calls `receive`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from acprelay.config import Limits
from acprelay.errors import LimitReached, RelayError, RemoteProtocolError, RequestCancelled
from acprelay.routing.access import Principal
from acprelay.routing.access_rules import (
    check_anything,
    check_opening,
    rule_for,
    seen,
    starts_agents,
    within,
)
from acprelay.routing.attachment import Attachment
from acprelay.routing.choosing import Choice, choose
from acprelay.routing.destinations import Destination, answering_session, destination
from acprelay.routing.frames import error_reply
from acprelay.routing.message_rate import MessageRates
from acprelay.routing.opening_rules import read_new_session
from acprelay.runtime.agent_access import AgentAccess
from acprelay.runtime.agent_source import AgentSource
from acprelay.runtime.background import Background
from acprelay.runtime.client_sessions import ClientSessions
from acprelay.runtime.clients import ConnectedClients
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.group_requests import GroupRequests
from acprelay.runtime.groups import Groups
from acprelay.runtime.invitation_requests import InvitationRequests
from acprelay.runtime.log_context import also, bound
from acprelay.runtime.measurements import Measures
from acprelay.runtime.opening import Opening
from acprelay.runtime.ports import ClientWriter
from acprelay.runtime.rate_gate import RateGate
from acprelay.runtime.session_requests import SessionRequests, answer, defect
from acprelay.wire import Envelope, MessageKind, peek, peek_refused

logger = logging.getLogger(__name__)

_SESSION, _ASK = Destination.SESSION, Destination.ASK  # a class is slower to ask

Work = Callable[[Envelope], Awaitable[bytes]]
"""Gives the reply to a request, some time later."""


class ClientConnection:
    """One client, from its first message until it has left.

    To be used as a context: leaving it lets the client's attachments wait for it to come back, and
    changes nothing for the agents.

    Args:
        id: The connection's id; begins the ids of its attachments.
        principal: Who the client is.
        choice: What its address chooses.
        outbox: Writes to it.
        limits: Bounds.
        host: Opens and ends sessions.
        pool: Gives agents.
        groups: Opens and ends groups.
        invitations: Serves what concerns agents that are to join.
        clients: Everybody who is connected.
        measures: What has passed, and how long it took; the connection adds to it.
        rates: How many messages principals may send.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the glossary's word
        principal: Principal,
        choice: Choice,
        outbox: ClientWriter,
        limits: Limits,
        host: ConversationHost,
        pool: AgentSource,
        groups: Groups,
        invitations: InvitationRequests,
        clients: ConnectedClients,
        measures: Measures,
        rates: MessageRates,
    ) -> None:
        self.id = id
        self.principal = principal
        self._choice = choice = within(choice, principal.scope)
        self._most_requests = limits.requests
        self._host = host
        self._clients = clients
        self._received = measures.traffic.from_clients
        self._pool = pool
        self._rate = RateGate(rates=rates, principal=principal.id)
        self._access = AgentAccess(
            agent=choice.agent,
            key=seen(principal, choice.key),
            pool=pool,
            may_start=starts_agents(principal),
        )
        self._groups = GroupRequests(groups=groups, principal=principal)
        self._works: Mapping[Destination, Work] = {
            Destination.OPEN_GROUP: self._groups.open,
            Destination.INVITE: partial(invitations.invite, principal=principal),
            Destination.REVOKE_INVITATIONS: partial(invitations.revoke, principal=principal),
        }
        self._outbox = outbox
        self._tasks = Background()
        self._exit = AsyncExitStack()
        self._sessions = ClientSessions(most=limits.connection_sessions)
        self._requests = SessionRequests(
            connection_id=id,
            client=self,
            sessions=self._sessions,
            outbox=outbox,
            host=host,
            principal=principal,
        )
        self._answered: set[ConversationDriver] = set()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        """Begins to write, and lets the chosen agent's process stay warm."""
        self._loop = asyncio.get_running_loop()
        if starts_agents(self.principal):
            await self._exit.enter_async_context(self._pool.hold(self._choice.agent))
        with bound(connection=self.id, principal=self.principal.id):
            await self._exit.enter_async_context(self._tasks)
            logger.info("connection %s opened", self.id)
        self._exit.callback(self._leave)
        self._exit.enter_context(self._clients.including(self))
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
        fields = also(connection=self.id, principal=self.principal.id)
        logger.info("connection %s closed", self.id, extra=fields)

    def _leave(self) -> None:
        self._closed = True
        if self._rate.dropped:
            count = self._rate.dropped
            logger.warning("connection %s: dropped %d notifications over its rate", self.id, count)
        self._outbox.close()
        for key in self._sessions.starting:
            self._host.runs.begin_termination(key, reason="its client left")
        now = self._loop.time()
        for place in self._sessions.places:
            self._sessions.forget(place.attachment)
            place.driver.attendance.lose(place.attachment, now=now)

    @property
    def is_begun(self) -> bool:
        """Whether the client has begun as ACP says, with `initialize`."""
        return self._access.is_begun

    @property
    def backlog_bytes(self) -> int:
        """How much waits for the client alone."""
        return self._outbox.lane_bytes + self._sessions.lanes.size

    @property
    def serves(self) -> frozenset[str]:
        """Which of the methods for files and terminals the client has said that it serves."""
        return self._access.serves

    # -- what the client says

    def receive(self, frame: bytes) -> None:
        """Takes one message of the client; never raises for what is in it."""
        self._received.messages += 1
        self._received.size += len(frame)
        try:
            envelope = peek(frame)
        except RemoteProtocolError as error:
            refused = peek_refused(frame)
            if refused.kind is not MessageKind.RESPONSE:
                self.say(error_reply(refused.id or b"null", error))
            return
        self.deal_with(envelope)

    def deal_with(self, envelope: Envelope) -> None:
        """Takes one message that was read already; never raises for what is in it."""
        try:
            if self._rate.admits(envelope, self._loop.time()):
                self._route(envelope)
        except RelayError as error:
            self._refuse(envelope, error)
        except Exception:
            logger.exception("connection %s: cannot deal with %r", self.id, envelope)
            self._refuse(envelope, defect(envelope))

    def _refuse(self, envelope: Envelope, error: RelayError) -> None:
        method = (envelope.method or "")[:120]
        logger.info("refused %s: %s", method, error.code, extra=also(code=error.code))
        if envelope.kind is MessageKind.REQUEST:
            reply = error_reply(envelope.id or b"null", error)
            self._outbox.say(reply, session_id=answering_session(envelope))

    def _route(self, envelope: Envelope) -> None:
        where = destination(envelope, initialized=self._access.initialized)
        if where is _SESSION:
            place = self._sessions.find(envelope)
            place.driver.receive(place.attachment.id, envelope)
        elif where is _ASK:
            self._take_answer(envelope)
        else:
            self._route_seldom(where, envelope)

    def _route_seldom(self, where: Destination, envelope: Envelope) -> None:
        match where:
            case Destination.CANCEL_REQUEST:
                self._cancel_request(envelope.request_id or b"")
            case Destination.INITIALIZE:
                self._greet(envelope)
            case Destination.OPEN_SESSION:
                self._open(envelope)
            case Destination.AGENT_PROCESS:
                check_anything(self.principal, rule_for(envelope.method or "").grant)
                self._serve(envelope, self._access.pass_on)
            case Destination.CLOSE_GROUP:
                # Who asked may leave: what was begun is carried through.
                self._host.background.start(
                    answer(envelope, self._groups.close, self.say), name="close_group"
                )
            case Destination.NOWHERE:
                pass
            case other if other in self._works:
                self._serve(envelope, self._works[other])
            case other:
                self._requests.serve(other, envelope)

    def _take_answer(self, envelope: Envelope) -> None:
        driver = self._sessions.answer_ask(envelope)
        if driver is not None and driver not in self._answered:
            # What the client says in one breath is carried out as one, once all of it is taken.
            self._answered.add(driver)
            self._loop.call_soon(self._answers_received, driver)

    def _answers_received(self, driver: ConversationDriver) -> None:
        self._answered.discard(driver)
        driver.answers_received()

    def _greet(self, envelope: Envelope) -> None:
        self._check_room()
        self._access.begin_greeting()
        reply = self._access.greet_at_once(envelope)
        if reply is None:
            self._serve(envelope, self._access.greet)
        else:
            self.say(reply)

    def _serve(self, envelope: Envelope, work: Work) -> None:
        """Serves a request beside what else the client says."""
        self._check_room()
        self._tasks.start(answer(envelope, work, self.say), name=envelope.method or "")

    def _check_room(self) -> None:
        if self._tasks.count > self._most_requests:  # one of them writes
            raise LimitReached(
                limit="a client's unanswered requests", most=self._most_requests, setting="requests"
            )

    def _cancel_request(self, request_id: bytes) -> None:
        opening = self._sessions.withdraw(request_id)
        if opening is None:
            self._sessions.cancel_request(request_id)
            return
        self.say(error_reply(request_id, RequestCancelled(method="session/new")))
        if opening.key is not None:
            self._host.runs.begin_termination(
                opening.key, reason="its client cancelled session/new"
            )

    def _open(self, envelope: Envelope) -> None:
        choice = choose(self._choice, envelope, agents=self._pool.names)
        check_opening(self.principal, choice)
        opening = Opening(
            client=self,
            request=envelope,
            choice=choice,
            cwd=read_new_session(envelope.member("params")).cwd,
            sponsor=self.principal.id,
            # What a client has shown to one agent is not for another one.
            credentials=self._access.credentials if choice.agent == self._choice.agent else None,
        )
        self._sessions.expect(opening)
        self._host.open(opening)

    # -- what the relay says

    def say(self, message: bytes) -> None:
        """Gives the client a message that belongs to no session."""
        self._outbox.say(message)

    def flush(self, attachment: Attachment) -> None:
        """Writes what is due to the client in a session, as far as its socket takes it."""
        self._outbox.flush(attachment)

    def sample(self, attachment: Attachment, read_at: float) -> None:
        """Measures how long it takes until the client has been written what a log holds now."""
        self._outbox.sample(attachment, read_at)

    def dispossess(self, attachment: Attachment) -> None:
        """Gives up an attachment at once: another connection has it."""
        self._outbox.remove(attachment)
        self._sessions.forget(attachment)

    def expel(self, attachment: Attachment) -> None:
        """Gives up an attachment whose conversation is gone, once its last words are written."""
        self._sessions.forget(attachment)
        self._outbox.retire(attachment)

    def wants_session(self, opening: Opening) -> bool:
        """Tells whether the client is there, and waits for the answer to a `session/new`."""
        return self._sessions.awaits(opening) and not self._closed

    def session_opened(
        self, opening: Opening, driver: ConversationDriver, answer: Envelope
    ) -> None:
        """Enters a session, unless the client has been answered already."""
        if self._sessions.settle(opening):
            self._requests.found(opening, driver, answer)

    def session_refused(self, opening: Opening, reply: bytes) -> None:
        """Answers a `session/new` with an error; the first answer counts."""
        if self._sessions.settle(opening):
            self.say(reply)

    async def _write(self) -> None:
        try:
            await self._outbox.run()
        except ConnectionError:
            # The reader of the same socket sees its end, and leaves the context.
            logger.debug("connection %s is lost", self.id)
