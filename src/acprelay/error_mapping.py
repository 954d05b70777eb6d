"""How errors look from outside: JSON-RPC codes and HTTP statuses.

The one place where `acprelay.errors` meets both. It knows no frame and no request: callers build
those from what it gives.

JSON-RPC keeps -32768 to -32000 for itself, and of these -32000 to -32099 for servers (JSON-RPC 2.0,
section 5.1). ACP uses -32000 for "authentication required", -32002 for "resource not found" and
-32800 for "request cancelled"; the relay's own start at -32010.
"""

from __future__ import annotations

from typing import NamedTuple

from acprelay import errors
from acprelay.errors import RelayError


class Outside(NamedTuple):
    """What a peer sees of an error class."""

    jsonrpc_code: int
    http_status: int


_OUTSIDE: dict[type[RelayError], Outside] = {
    errors.ParseFailed: Outside(-32700, 400),
    errors.InvalidRequest: Outside(-32600, 400),
    errors.MethodNotFound: Outside(-32601, 404),
    errors.InvalidParams: Outside(-32602, 400),
    errors.InvalidKey: Outside(-32602, 400),
    errors.SessionNotFound: Outside(-32002, 404),
    errors.SessionExists: Outside(-32010, 409),
    errors.InvalidTransition: Outside(-32011, 409),
    errors.SessionEnded: Outside(-32012, 410),
    errors.NotRestorable: Outside(-32013, 409),
    errors.RoleTaken: Outside(-32014, 409),
    errors.SpawnFailed: Outside(-32020, 502),
    errors.AgentExited: Outside(-32021, 502),
    errors.AgentUnresponsive: Outside(-32022, 504),
    errors.AgentRefused: Outside(-32023, 502),
    errors.AgentBackedUp: Outside(-32024, 503),
    errors.AgentAbsent: Outside(-32025, 503),
    errors.LinkGone: Outside(-32026, 410),
    errors.RequestCancelled: Outside(-32800, 409),
    errors.FrameTooLarge: Outside(-32030, 413),
    errors.UnsupportedMediaType: Outside(-32600, 415),
    errors.NotFound: Outside(-32002, 404),
    errors.Unauthorized: Outside(-32045, 401),
    errors.Forbidden: Outside(-32040, 403),
    errors.ConnectionNotFound: Outside(-32047, 404),
    errors.CursorExpired: Outside(-32043, 410),
    errors.LimitReached: Outside(-32044, 429),
    errors.RelayUnreachable: Outside(-32041, 502),
    errors.RequestRefused: Outside(-32042, 502),
    errors.Conflict: Outside(-32050, 409),
    errors.Unavailable: Outside(-32051, 503),
    errors.RelayDraining: Outside(-32052, 503),
    errors.ServiceError: Outside(-32080, 409),
    errors.FileMissing: Outside(-32002, 404),
    errors.WorkspaceError: Outside(-32070, 409),
    errors.ConfigError: Outside(-32060, 500),
    errors.LocalProtocolError: Outside(-32603, 500),
}

INTERNAL_ERROR = Outside(-32603, 500)


def outside(error: RelayError | type[RelayError]) -> Outside:
    """Gives what a peer sees of an error: the nearest mapped class decides.

    Args:
        error: An error, or a class of them.

    Returns:
        The JSON-RPC code and the HTTP status; those of an internal error where no class is mapped.
    """
    cls = error if isinstance(error, type) else type(error)
    for base in cls.__mro__:
        if base in _OUTSIDE:
            return _OUTSIDE[base]
    return INTERNAL_ERROR
