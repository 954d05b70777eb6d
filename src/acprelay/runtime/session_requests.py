"""What the relay answers itself of a client's requests about sessions.

List, load, resume, close, delete, and the relay's own extensions. None of them starts an agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from acprelay.errors import InvalidRequest, RelayError
from acprelay.routing.access import Grant, Principal
from acprelay.routing.access_rules import check_visible, rule_for
from acprelay.routing.attach_params import read_attach, read_cancel_turn
from acprelay.routing.attachment import Attachment
from acprelay.routing.destinations import Destination
from acprelay.routing.frames import error_reply, result_reply
from acprelay.routing.listing import list_sessions
from acprelay.runtime.attendance import Client
from acprelay.runtime.client_sessions import ClientSessions, Place, unnamed
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.opening import Opening
from acprelay.runtime.ports import ClientWriter
from acprelay.runtime.run_inspection import inspect_run
from acprelay.wire import Envelope

_CLOSED = "a client closed it"

Way = Callable[[Client, Attachment | str, bytes], Attachment]


class SessionRequests:
    """Serves one client.

    Args:
        connection_id: Begins the ids of the client's attachments.
        client: Its connection.
        sessions: Where it is.
        outbox: Writes to it.
        host: Has the conversations.
        principal: Who the client is.
    """

    def __init__(
        self,
        *,
        connection_id: str,
        client: Client,
        sessions: ClientSessions,
        outbox: ClientWriter,
        host: ConversationHost,
        principal: Principal,
    ) -> None:
        self._connection_id = connection_id
        self._client = client
        self._sessions = sessions
        self._outbox = outbox
        self._host = host
        self._principal = principal
        self._attached = 0

    def found(self, opening: Opening, driver: ConversationDriver, answer: Envelope) -> None:
        """Enters the session that the client has opened.

        Args:
            opening: The client's request.
            driver: The conversation's.
            answer: The agent's answer to `session/new`.
        """
        attachment = driver.attendance.found(
            self._client,
            self._mint_attachment_id(),
            answer,
            opening.request_id,
            worktree=driver.record.worktree,
        )
        self._admit(driver, attachment, is_told=True)
        self._outbox.flush(attachment)

    def serve(self, what: Destination, envelope: Envelope) -> None:
        """Serves a request.

        Raises:
            RelayError: It cannot be served.
        """
        if what is Destination.LIST_SESSIONS:
            seen = partial(self._host.latest, partial(self._principal.may, Grant.OBSERVE))
            result = list_sessions(seen, envelope.member("params"))
            self._outbox.say(result_reply(envelope.id or b"null", result))
            return
        if envelope.session_id is None:
            raise unnamed(envelope.method or "")
        check_visible(self._principal, envelope.session_id)
        driver = self._host.find(envelope.session_id)
        self._principal.require(rule_for(envelope.method or "").grant, driver.key)
        match what:
            case Destination.LOAD_SESSION:
                self._enter(driver, driver.attendance.load, envelope)
            case Destination.RESUME_SESSION:
                self._enter(driver, driver.attendance.resume, envelope)
            case Destination.ATTACH:
                self._attach(driver, envelope)
            case Destination.CLOSE_SESSION:
                self._close(driver, envelope)
            case Destination.DELETE_SESSION:
                self._delete(driver, envelope)
            case Destination.DESCRIBE_TURNS:
                place = self._sessions.find(envelope)
                _reply(place, envelope, driver.control.turns(place.attachment.id))
            case Destination.DESCRIBE_RUN:
                self._describe_run(driver, envelope)
            case _:
                self._cancel_turn(driver, envelope)
        self._flush(envelope.session_id)

    def _flush(self, session_id: str) -> None:
        place = self._sessions.place(session_id)
        if place is not None:
            self._outbox.flush(place.attachment)

    def _enter(self, driver: ConversationDriver, way: Way, envelope: Envelope) -> None:
        self._sessions.check_room(envelope.session_id)
        place = self._sessions.place(envelope.session_id)
        present = place.attachment if place is not None else self._mint_attachment_id()
        request_id = envelope.id or b"null"
        self._admit(driver, way(self._client, present, request_id), request_id=request_id)

    def _attach(self, driver: ConversationDriver, envelope: Envelope) -> None:
        self._sessions.check_room(envelope.session_id)
        asked = read_attach(envelope.member("params"))
        request_id = envelope.id or b"null"
        place = self._sessions.place(asked.session_id)
        if place is not None and place.attachment.id != asked.attachment:
            raise InvalidRequest(
                "cannot attach to a session twice over one connection",
                hint="open another connection, or load the session for its whole history",
            )
        attendance = driver.attendance
        if asked.attachment is not None:
            attachment = attendance.adopt(
                self._client,
                asked.attachment,
                asked.secret or "",
                request_id,
                after=asked.after,
                pending=asked.pending_ids,
            )
        elif asked.after is not None:
            attachment_id = self._mint_attachment_id()
            attachment = attendance.attach(
                self._client, attachment_id, request_id, after=asked.after
            )
        else:
            attachment = attendance.resume(self._client, self._mint_attachment_id(), request_id)
        self._admit(driver, attachment)

    def _admit(
        self,
        driver: ConversationDriver,
        attachment: Attachment,
        *,
        request_id: bytes | None = None,
        is_told: bool = False,
    ) -> None:
        self._sessions.enter(Place(driver, attachment))
        self._outbox.add(attachment, request_id=request_id, is_told=is_told)

    def _mint_attachment_id(self) -> str:
        self._attached += 1
        return f"{self._connection_id}/{self._attached}"

    def _close(self, driver: ConversationDriver, envelope: Envelope) -> None:
        """ACP, "Session close": what is running is cancelled, and what it held is freed."""
        driver.end_session(_CLOSED)
        place = self._sessions.leave(str(driver.key))

        async def close(envelope: Envelope) -> bytes:
            await self._host.runs.end(driver.key, reason=_CLOSED)
            return result_reply(envelope.id or b"null", {})

        def last_word(reply: bytes) -> None:
            if place is None:
                self._outbox.say(reply)
            elif self._sessions.left(place):
                place.attachment.push(reply)
                leave = partial(driver.attendance.leave, place.attachment)
                self._outbox.retire(place.attachment, then=leave)
            elif not driver.attendance.reply(place.attachment, reply, envelope.id or b"null"):
                self._outbox.say(reply)

        self._host.background.start(
            answer(envelope, close, last_word), name=f"closing of {driver.key}"
        )

    def _delete(self, driver: ConversationDriver, envelope: Envelope) -> None:
        self._host.withdraw(driver)

        async def delete(envelope: Envelope) -> bytes:
            await self._host.remove(driver.key)
            return result_reply(envelope.id or b"null", {})

        self._host.background.start(
            answer(envelope, delete, self._outbox.say), name=f"deletion of {driver.key}"
        )

    def _describe_run(self, driver: ConversationDriver, envelope: Envelope) -> None:
        async def describe(envelope: Envelope) -> bytes:
            found = await inspect_run(driver, runs=self._host.runs, clock=self._host.clock)
            return result_reply(envelope.id or b"null", found)

        self._host.background.start(
            answer(envelope, describe, self._outbox.say), name=f"inspection of {driver.key}"
        )

    def _cancel_turn(self, driver: ConversationDriver, envelope: Envelope) -> None:
        place = self._sessions.find(envelope)
        asked = read_cancel_turn(envelope.member("params"))
        whose, grants = self._principal.id, self._principal.grants_for(driver.key)
        cancelled = driver.control.cancel_turn(asked.turn, principal=whose, grants=grants)
        _reply(place, envelope, {"cancelled": cancelled})


def _reply(place: Place, envelope: Envelope, result: Mapping[str, object]) -> None:
    """Answers behind what the client is given of the session."""
    request_id = envelope.id or b"null"
    place.attachment.expect_reply(request_id)
    place.attachment.push(result_reply(request_id, result), reply_to=request_id)


async def answer(
    envelope: Envelope,
    work: Callable[[Envelope], Awaitable[bytes]],
    say: Callable[[bytes], None],
) -> None:
    """Does what a request asks, and answers it whatever happens.

    Args:
        envelope: The request.
        work: Gives the reply.
        say: Takes it.
    """
    try:
        reply = await work(envelope)
    except RelayError as error:
        reply = error_reply(envelope.id or b"null", error)
    except Exception:
        say(error_reply(envelope.id or b"null", defect(envelope)))
        raise
    say(reply)


def defect(envelope: Envelope) -> RelayError:
    """What a peer is told of a defect of the relay: nothing that it could use, but an answer."""
    return RelayError(f"cannot serve {(envelope.method or '')[:120]!r}", hint="see the relay's log")
