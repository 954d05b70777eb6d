"""The sessions of one client: those that it has asked for, and those that it is in.

It finds them; it knows no socket, and neither opens nor ends any.
"""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.errors import InvalidParams, InvalidRequest, MethodNotFound, SessionNotFound
from acprelay.routing.attachment import Attachment
from acprelay.runtime.opening import Opening
from acprelay.runtime.session_driver import SessionDriver
from acprelay.wire import Envelope, lookup


@dataclass(frozen=True, slots=True)
class Place:
    """A client's place in a session.

    Attributes:
        driver: Drives the session.
        attachment: The client's presence there.
    """

    driver: SessionDriver
    attachment: Attachment


class ClientSessions:
    """What one connection keeps of its sessions.

    Requests are known by their raw ids, sessions by their public ones. An entry leaves as soon as
    its request is answered or its session has ended: what is here is under way.
    """

    def __init__(self) -> None:
        self._awaited: dict[bytes, Opening] = {}
        self._places: dict[str, Place] = {}

    @property
    def drivers(self) -> list[SessionDriver]:
        """Those of all sessions that are under way."""
        starting = [opening.driver for opening in self._awaited.values()]
        drivers = [*(place.driver for place in self._places.values()), *starting]
        return [driver for driver in drivers if driver is not None]

    # -- sessions that are asked for

    def expect(self, opening: Opening) -> None:
        """Takes note of a `session/new`.

        Raises:
            InvalidRequest: Another one with its id has no answer yet.
        """
        if opening.request_id in self._awaited:
            raise InvalidRequest(
                "cannot take a second session/new with the same id",
                hint="choose an id that no request in flight has",
            )
        self._awaited[opening.request_id] = opening

    def withdraw(self, request_id: bytes) -> Opening | None:
        """Lets the `session/new` with an id go: its client no longer wants it."""
        return self._awaited.pop(request_id, None)

    def begin(self, driver: SessionDriver) -> bool:
        """Takes note of who serves a `session/new`; tells whether its answer is still awaited."""
        driver.opening.driver = driver
        return self._awaits(driver.opening)

    def settle(self, opening: Opening) -> bool:
        """Lets a `session/new` go, as it is answered; tells whether its answer was awaited."""
        awaited = self._awaits(opening)
        if awaited:
            del self._awaited[opening.request_id]
        return awaited

    def _awaits(self, opening: Opening) -> bool:
        # A client may use the id of a request again once that is answered.
        return self._awaited.get(opening.request_id) is opening

    # -- sessions that the client is in

    def enter(self, place: Place) -> None:
        """Takes note of an open session."""
        self._places[str(place.driver.key)] = place

    def leave(self, driver: SessionDriver) -> Place | None:
        """Gives up the client's place in a session, where it still has one."""
        return self._places.pop(str(driver.key), None)

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
        raise InvalidParams(
            f"cannot tell which session {method!r} is for",
            hint="name it in params.sessionId, a string",
        )

    def answer_ask(self, envelope: Envelope) -> bool:
        """Gives an answer to the session that asked; tells whether one did."""
        return any(
            place.driver.receive_ask_answer(place.attachment.id, envelope)
            for place in self._places.values()
        )

    def cancel_request(self, request_id: bytes) -> bool:
        """Cancels a request in the session that serves it; tells whether one does."""
        return any(
            place.driver.cancel_client_request(place.attachment.id, request_id)
            for place in self._places.values()
        )
