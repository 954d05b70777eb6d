"""The sessions of one client: those that it has asked for, and those that it is in.

It finds them; it knows no socket, and neither opens nor ends any.
"""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.errors import (
    InvalidParams,
    InvalidRequest,
    LimitReached,
    MethodNotFound,
    SessionNotFound,
)
from acprelay.routing.attachment import Attachment
from acprelay.routing.lane import Meter
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.opening import Opening
from acprelay.session.models import SessionKey
from acprelay.wire import Envelope, lookup


@dataclass(frozen=True, slots=True)
class Place:
    """A client's place in a session.

    Attributes:
        driver: Drives the conversation.
        attachment: The client's presence there.
    """

    driver: ConversationDriver
    attachment: Attachment


class ClientSessions:
    """What one connection keeps of its sessions.

    Requests are known by their raw ids, sessions by their public ones.

    Args:
        most: How many sessions the client may be in, or wait for.

    Attributes:
        lanes: What waits in the client's lanes.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._awaited: dict[bytes, Opening] = {}
        self._places: dict[str, Place] = {}
        self._leaving: list[Place] = []
        self.lanes = Meter()

    @property
    def places(self) -> list[Place]:
        """Where the client is, and where it has not yet been given the last word."""
        return [*self._places.values(), *self._leaving]

    @property
    def starting(self) -> list[SessionKey]:
        """The sessions that are on their way."""
        return [opening.key for opening in self._awaited.values() if opening.key is not None]

    # -- sessions that are asked for

    def expect(self, opening: Opening) -> None:
        """Takes note of a `session/new`.

        Raises:
            InvalidRequest: Another one with its id has no answer yet.
            LimitReached: As many as may be are there, or on their way.
        """
        if opening.request_id in self._awaited:
            raise InvalidRequest(
                "cannot take a second session/new with the same id",
                hint="choose an id that no request in flight has",
            )
        self.check_room(None)
        self._awaited[opening.request_id] = opening

    def withdraw(self, request_id: bytes) -> Opening | None:
        """Lets the `session/new` with an id go: its client no longer wants it."""
        return self._awaited.pop(request_id, None)

    def awaits(self, opening: Opening) -> bool:
        """Tells whether a `session/new` has no answer yet, and is still wanted."""
        # A client may use the id of a request again once that is answered.
        return self._awaited.get(opening.request_id) is opening

    def settle(self, opening: Opening) -> bool:
        """Lets a `session/new` go, as it is answered; tells whether its answer was awaited."""
        awaited = self.awaits(opening)
        if awaited:
            del self._awaited[opening.request_id]
        return awaited

    # -- sessions that the client is in

    def check_room(self, public_id: str | None) -> None:
        """Makes sure that the client may enter a session.

        Args:
            public_id: The session's id; None for a new one.

        Raises:
            LimitReached: It is in as many others as it may be.
        """
        count = len(self._awaited) + len(self._places) + len(self._leaving)
        if count >= self._most and public_id not in self._places:
            raise LimitReached(
                limit="the sessions of a connection", most=self._most, setting="connection-sessions"
            )

    def enter(self, place: Place) -> None:
        """Takes note of where the client is; it has left where it was before in that session."""
        public_id = place.attachment.session_id
        before = self._places.get(public_id)
        if before is not None:
            before.attachment.count_out(self.lanes)
        self._places[public_id] = place
        place.attachment.count_in(self.lanes)

    def leave(self, public_id: str) -> Place | None:
        """Lets the client do nothing more in a session, where it is in it; `left` follows."""
        place = self._places.pop(public_id, None)
        if place is not None:
            self._leaving.append(place)
        return place

    def left(self, place: Place) -> bool:
        """Gives up a place that the client was leaving; tells whether it still had it."""
        still_had = place in self._leaving
        if still_had:
            self._leaving.remove(place)
            place.attachment.count_out(self.lanes)
        return still_had

    def forget(self, attachment: Attachment) -> None:
        """Gives up the place that an attachment was for. Idempotent."""
        place = self._places.get(attachment.session_id)
        if place is not None and place.attachment is attachment:
            del self._places[attachment.session_id]
        self._leaving = [place for place in self._leaving if place.attachment is not attachment]
        attachment.count_out(self.lanes)

    def place(self, public_id: str | None) -> Place | None:
        """The client's place in a session, where it has one."""
        return self._places.get(public_id or "")

    def find(self, envelope: Envelope) -> Place:
        """Finds the session that a request or notification is for.

        Raises:
            SessionNotFound: The client is in no such session.
            MethodNotFound: It names none, and ACP does not know the method.
            InvalidParams: It names none.
        """
        if envelope.session_id is not None:
            place = self._places.get(envelope.session_id)
            if place is None:
                raise SessionNotFound(key=envelope.session_id[:200])
            return place
        method = envelope.method or ""
        if len(self._places) == 1 and method.startswith("_"):
            return next(iter(self._places.values()))
        if lookup(method) is None:
            raise MethodNotFound(
                method=method, hint="if a session's agent has it, name that in params.sessionId"
            )
        raise unnamed(method)

    def answer_ask(self, envelope: Envelope) -> ConversationDriver | None:
        """Gives an answer to the session that asked, and names that; None where none did."""
        for place in self.places:
            if place.driver.receive_ask_answer(place.attachment.id, envelope):
                return place.driver
        return None

    def cancel_request(self, request_id: bytes) -> bool:
        """Cancels a request in the session that serves it; tells whether one does."""
        return any(
            place.driver.cancel_client_request(place.attachment.id, request_id)
            for place in self.places
        )


def unnamed(method: str) -> InvalidParams:
    """What a client is told that does not say which session it means."""
    return InvalidParams(
        f"cannot tell which session {method!r} is for",
        hint="name it in params.sessionId, a string",
    )
