"""The frames that the relay itself authors.

Everything else on the wire is a peer's frame with a few members replaced. What stands here follows
JSON-RPC 2.0 and ACP version 1; names that begin with `_acprelay/` are the relay's extensions (ACP,
"Extensibility").
"""

from __future__ import annotations

import msgspec

from acprelay.error_mapping import outside
from acprelay.errors import RelayError
from acprelay.wire import error_response, json_string, notification, response

NOTICE_METHOD = "_acprelay/notice"


def error_reply(request_id: bytes, error: RelayError) -> bytes:
    """A JSON-RPC error response whose `data` has the code, whether to retry, and the hint."""
    return error_response(request_id, outside(error).jsonrpc_code, error.message, error.data)


def result_reply(request_id: bytes, result: object) -> bytes:
    """A JSON-RPC response with a result that the relay made."""
    return response(request_id, msgspec.json.encode(result))


def notice(public_id: str, error: RelayError, *, stamp: bytes) -> bytes:
    """Tells every client of a session what went wrong in it, in the order of its log.

    Args:
        public_id: The session.
        error: What went wrong.
        stamp: The relay's `_meta` of this entry.
    """
    params = {
        "sessionId": public_id,
        **error.data,
        "message": error.message,
        "_meta": {"acprelay": msgspec.Raw(stamp)},
    }
    return notification(NOTICE_METHOD, msgspec.json.encode(params))


def cancel_request(request_id: bytes) -> bytes:
    """`$/cancel_request`: the sender no longer waits for the answer to its request."""
    return notification("$/cancel_request", b'{"requestId":' + request_id + b"}")


def string_id(text: str) -> bytes:
    """A JSON-RPC id that is a string."""
    return json_string(text)
