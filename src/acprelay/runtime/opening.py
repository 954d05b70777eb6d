"""A client's `session/new` on its way to a session, and what the session tells the client.

It knows what was asked and who waits; how a session comes to be is its driver's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from acprelay.errors import InvalidParams, RelayError
from acprelay.routing.attachment import Attachment
from acprelay.routing.frames import error_reply
from acprelay.wire import Envelope

if TYPE_CHECKING:  # drivers are made from openings
    from acprelay.runtime.session_driver import SessionDriver


class Client(Protocol):
    """The connection of the client that opened the session."""

    def flush(self) -> None:
        """Writes what is due to it."""
        ...

    def session_starting(self, driver: SessionDriver) -> bool:
        """Tells it that its session is on its way; tells whether it still wants it."""
        ...

    def session_opened(self, driver: SessionDriver, attachment: Attachment) -> None:
        """Tells it that its session is there, before its reply is due."""
        ...

    def session_refused(self, opening: Opening, reply: bytes) -> None:
        """Gives it the error that answers its `session/new`; the first such answer counts."""
        ...

    def session_ended(self, driver: SessionDriver) -> None:
        """Tells it that nothing further will be due from the session."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Opening:
    """A client's `session/new`.

    Attributes:
        client: Who asked.
        request: The request.
        attachment_id: The client's presence in the session to be.
        agent: Which agent.
        credentials: The params of an `authenticate` that the client made before, if any.
        driver: Who serves it, once somebody does.
    """

    client: Client
    request: Envelope
    attachment_id: str
    agent: str
    credentials: bytes | None
    driver: SessionDriver | None = None

    @property
    def request_id(self) -> bytes:
        """The client's own id of the request, raw."""
        return self.request.id or b"null"

    def refuse(self, error: RelayError) -> None:
        """Answers with an error, unless there is an answer already."""
        self.client.session_refused(self, error_reply(self.request_id, error))


class _NewSession(msgspec.Struct, rename="camel"):
    cwd: str


def read_cwd(params: bytes | None) -> str:
    """Reads the one member of `session/new` that the relay itself keeps.

    Args:
        params: The raw JSON value; None where there is none.

    Raises:
        InvalidParams: There is no such member, or the params are no object.
    """
    try:
        return msgspec.json.decode(params or b"null", type=_NewSession).cwd
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot open a session: {error}",
            hint="session/new needs params.cwd, an absolute path, and params.mcpServers",
        ) from error
