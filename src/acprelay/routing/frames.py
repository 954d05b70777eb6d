"""The frames that the relay itself authors.

Everything else on the wire is a peer's frame with a few members replaced. What stands here follows
JSON-RPC 2.0 and ACP version 1; names that begin with `_acprelay/` are the relay's extensions (ACP,
"Extensibility").
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from acprelay.error_mapping import outside
from acprelay.errors import RelayError
from acprelay.wire import (
    error_response,
    json_string,
    notification,
    response,
    session_notification,
    to_json,
)

NOTICE = "_acprelay/notice"
ATTACHED = "_acprelay/attached"
TURN_STARTED = "_acprelay/turn_started"
TURN_ENDED = "_acprelay/turn_ended"
RUN_RESTARTED = "_acprelay/run_restarted"
PERMISSION_SETTLED = "_acprelay/permission_settled"

PERMISSION_ASKED = "_acprelay/permission_asked"
"""No marker: clients get the request itself. It is what a relay's events call it."""


def error_reply(request_id: bytes, error: RelayError) -> bytes:
    """A JSON-RPC error response whose `data` has the code, whether to retry, and the hint."""
    return error_response(request_id, outside(error).jsonrpc_code, error.message, error.data)


def result_reply(request_id: bytes, result: object) -> bytes:
    """A JSON-RPC response with a result that the relay made."""
    return response(request_id, msgspec.json.encode(result))


def marker(method: str, public_id: str, fields: Mapping[str, object], *, stamp: bytes) -> bytes:
    """A notification that tells every client of a session something, in the order of its log.

    Args:
        method: Its name.
        public_id: The session.
        fields: The other params.
        stamp: The relay's `_meta` of this entry.
    """
    return session_notification(method, public_id, to_json(fields)[1:-1], stamp=stamp)


def loss_notice(public_id: str, generation: str, error: RelayError) -> bytes:
    """Tells one client that it cannot be given what it should be given next.

    Args:
        public_id: The session.
        generation: The log's.
        error: Why.
    """
    mark = msgspec.json.encode({"generation": generation})
    return marker(NOTICE, public_id, error_fields(error), stamp=mark)


def attached(public_id: str, generation: str) -> bytes:
    """Tells a client on its connection's stream that a session's stream has something for it.

    Args:
        public_id: The session.
        generation: That of its log.
    """
    return marker(ATTACHED, public_id, {}, stamp=msgspec.json.encode({"generation": generation}))


def session_update(public_id: str, update: bytes, *, stamp: bytes) -> bytes:
    """`session/update` with an update that the relay made, or gives again.

    Args:
        public_id: The session.
        update: The raw JSON value of `update`.
        stamp: The relay's `_meta`.
    """
    return session_notification("session/update", public_id, b'"update":' + update, stamp=stamp)


def error_fields(error: RelayError) -> dict[str, object]:
    """What a notice says of an error: its data and its message."""
    return {**error.data, "message": error.message}


def cancel_request(request_id: bytes) -> bytes:
    """`$/cancel_request`: the sender no longer waits for the answer to its request."""
    return notification("$/cancel_request", b'{"requestId":' + request_id + b"}")


def cancel_session(session_id: str) -> bytes:
    """`session/cancel`: the agent is to stop the turn of a session.

    Args:
        session_id: The agent's own id of it.
    """
    return notification("session/cancel", b'{"sessionId":' + json_string(session_id) + b"}")
