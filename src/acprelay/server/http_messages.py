"""Reads what clients send over HTTP: messages, and what their headers say of them."""

from __future__ import annotations

from aiohttp import web

from acprelay.errors import InvalidRequest
from acprelay.server.event_streams import EVENT_STREAM
from acprelay.wire import Envelope, MessageKind, Scope, lookup, peek

_BATCH = b"["
_SPACE = b" \t\r\n"


def is_json(request: web.Request) -> bool:
    """Tells whether the body is said to be JSON."""
    return request.content_type == "application/json"


def accepts_events(request: web.Request) -> bool:
    """Tells whether the client says that it takes server-sent events."""
    accepted = ",".join(request.headers.getall("Accept", ())).lower().split(",")
    kinds = {kind.partition(";")[0].strip() for kind in accepted}
    return not kinds.isdisjoint({EVENT_STREAM, "text/*", "*/*"})


def is_batch(body: bytes) -> bool:
    """Tells whether a body is an array, which JSON-RPC calls a batch."""
    return body.lstrip(_SPACE)[:1] == _BATCH


def read_message(body: bytes, *, session_id: str | None) -> Envelope:
    """Reads a message, and holds it to the header that names its session.

    Where there is no such header the body says which session it is, or the request that it answers
    does: published clients leave it out.

    Args:
        body: The message.
        session_id: What `Acp-Session-Id` says; None without.

    Raises:
        ParseFailed: It is no JSON.
        InvalidRequest: It is no message, names another session than the header, or names none and
            has to.
    """
    envelope = peek(body)
    named = None if envelope.kind is MessageKind.RESPONSE else envelope.session_id
    if session_id is not None and named not in (None, session_id):
        raise InvalidRequest(
            "cannot take a message whose Acp-Session-Id is not the session that it names",
            hint="let the header say the same as params.sessionId",
        )
    method = lookup(envelope.method or "")
    if (
        method is not None
        and method.scope is Scope.SESSION
        and session_id is None
        and named is None
    ):
        raise InvalidRequest(
            f"cannot tell which session {method.name!r} is for",
            hint="name it in Acp-Session-Id and in params.sessionId",
        )
    return envelope
