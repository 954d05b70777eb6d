"""A client's `session/new` on its way to a session, and what becomes of it for the client.

It knows what was asked and who waits; how a session comes to be is not its business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from acprelay.errors import RelayError
from acprelay.routing.choosing import Choice
from acprelay.routing.frames import error_reply
from acprelay.session.models import SessionKey, SessionSpec
from acprelay.wire import Envelope

if TYPE_CHECKING:  # drivers are made from openings
    from acprelay.runtime.conversation_driver import ConversationDriver


class Founder(Protocol):
    """The connection of a client that opens a session."""

    def wants_session(self, opening: Opening) -> bool:
        """Tells whether it is there, and waits for the answer."""
        ...

    def session_opened(
        self, opening: Opening, driver: ConversationDriver, answer: Envelope
    ) -> None:
        """Tells it that its session is there, with the agent's answer."""
        ...

    def session_refused(self, opening: Opening, reply: bytes) -> None:
        """Gives it the error that answers its `session/new`; the first such answer counts."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Opening:
    """A client's `session/new`.

    Attributes:
        client: Who asked.
        request: The request.
        choice: What the session is to be.
        cwd: The directory that the client names.
        sponsor: The id of the principal that it is for.
        credentials: The params of an `authenticate` that the client made before, if any.
        key: The session that is on its way, once there is one.
    """

    client: Founder
    request: Envelope
    choice: Choice
    cwd: str
    sponsor: str
    credentials: bytes | None
    key: SessionKey | None = None

    @property
    def request_id(self) -> bytes:
        """The client's own id of the request, raw."""
        return self.request.id or b"null"

    @property
    def spec(self) -> SessionSpec:
        """The session, as its lifecycle needs to know it."""
        return SessionSpec(
            session_id=self.choice.group,
            role=self.choice.role,
            agent=self.choice.agent,
            cwd=self.cwd,
        )

    def refuse(self, error: RelayError) -> None:
        """Answers with an error, unless there is an answer already."""
        self.client.session_refused(self, error_reply(self.request_id, error))
