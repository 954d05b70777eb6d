"""ACP's methods as data: who sends them, who deals with them, and where ids stand in them.

Version 1 of the protocol, with the unstable methods that are seen in use. This module decides
nothing: it is what routing decides by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto


class Sender(Enum):
    """Which side sends a method."""

    CLIENT = auto()
    AGENT = auto()
    BOTH = auto()


class MethodKind(Enum):
    """What a method is sent as."""

    REQUEST = auto()
    NOTIFICATION = auto()
    EITHER = auto()


class Scope(Enum):
    """What a method is about."""

    CONNECTION = auto()
    SESSION = auto()
    EITHER = auto()
    """A session, where its params name one; else the connection."""


class Server(Enum):
    """Who deals with a method that a client sends."""

    RELAY = auto()
    AGENT = auto()
    REFUSED = auto()
    """Nobody: it is answered with -32601, method not found."""


@dataclass(frozen=True, slots=True)
class Method:
    """What is known of a method.

    Attributes:
        name: As it stands in `method`.
        sender: Which side sends it.
        kind: What it is sent as.
        scope: What it is about.
        served_by: Who deals with it when a client sends it; None where only agents do.
        session_ids: Where session ids stand in the message and its answer: member names joined by
            dots, `[]` for every element of an array.
        request_ids: Likewise ids of requests that go the other way.
        is_stable: Whether it is part of the protocol's stable schema.
    """

    name: str
    sender: Sender
    kind: MethodKind
    scope: Scope
    served_by: Server | None
    session_ids: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    is_stable: bool = True

    @property
    def is_extension(self) -> bool:
        """Whether its name begins with the underscore that ACP sets aside for extensions."""
        return self.name.startswith("_")


_CLIENT, _AGENT, _BOTH = Sender
_REQUEST, _NOTIFICATION, _EITHER_KIND = MethodKind
_CONNECTION, _SESSION, _EITHER_SCOPE = Scope
_BY_RELAY, _BY_AGENT, _REFUSED = Server

_IN_PARAMS = ("params.sessionId",)
_IN_RESULT = ("result.sessionId",)
_IN_BOTH = _IN_PARAMS + _IN_RESULT
_REQUEST_ID = ("params.requestId",)

_STABLE = (
    Method("initialize", _CLIENT, _REQUEST, _CONNECTION, _BY_RELAY),
    Method("authenticate", _CLIENT, _REQUEST, _CONNECTION, _BY_AGENT),
    Method("logout", _CLIENT, _REQUEST, _CONNECTION, _BY_AGENT),
    Method("session/new", _CLIENT, _REQUEST, _CONNECTION, _BY_RELAY, _IN_RESULT),
    # The schema has no session id in the results of these two; a real agent sends one.
    Method("session/load", _CLIENT, _REQUEST, _SESSION, _BY_RELAY, _IN_BOTH),
    Method("session/resume", _CLIENT, _REQUEST, _SESSION, _BY_RELAY, _IN_BOTH),
    Method(
        "session/list", _CLIENT, _REQUEST, _CONNECTION, _BY_RELAY, ("result.sessions[].sessionId",)
    ),
    Method("session/close", _CLIENT, _REQUEST, _SESSION, _BY_RELAY, _IN_PARAMS),
    Method("session/delete", _CLIENT, _REQUEST, _SESSION, _BY_RELAY, _IN_PARAMS),
    Method("session/prompt", _CLIENT, _REQUEST, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("session/cancel", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("session/set_mode", _CLIENT, _REQUEST, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("session/set_config_option", _CLIENT, _REQUEST, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("session/update", _AGENT, _NOTIFICATION, _SESSION, None, _IN_PARAMS),
    Method("session/request_permission", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method("fs/read_text_file", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method("fs/write_text_file", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method("terminal/create", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method("terminal/output", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method("terminal/wait_for_exit", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method("terminal/kill", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method("terminal/release", _AGENT, _REQUEST, _SESSION, None, _IN_PARAMS),
    Method(
        "$/cancel_request", _BOTH, _NOTIFICATION, _CONNECTION, _BY_RELAY, request_ids=_REQUEST_ID
    ),
)

_UNSTABLE = (
    # Its result would name the agent's own id of the new session.
    Method("session/fork", _CLIENT, _REQUEST, _SESSION, _REFUSED, _IN_BOTH),
    Method("session/set_model", _CLIENT, _REQUEST, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("providers/list", _CLIENT, _REQUEST, _CONNECTION, _BY_AGENT),
    Method("providers/set", _CLIENT, _REQUEST, _CONNECTION, _BY_AGENT),
    Method("providers/disable", _CLIENT, _REQUEST, _CONNECTION, _BY_AGENT),
    Method("nes/start", _CLIENT, _REQUEST, _CONNECTION, _BY_AGENT, _IN_RESULT),
    Method("nes/suggest", _CLIENT, _REQUEST, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("nes/accept", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("nes/reject", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("nes/close", _CLIENT, _REQUEST, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("document/didOpen", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("document/didChange", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("document/didClose", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("document/didSave", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("document/didFocus", _CLIENT, _NOTIFICATION, _SESSION, _BY_AGENT, _IN_PARAMS),
    Method("mcp/connect", _AGENT, _REQUEST, _CONNECTION, None),
    Method("mcp/message", _BOTH, _EITHER_KIND, _CONNECTION, _BY_AGENT),
    Method("mcp/disconnect", _AGENT, _REQUEST, _CONNECTION, None),
    Method("elicitation/create", _AGENT, _REQUEST, _EITHER_SCOPE, None, _IN_PARAMS, _REQUEST_ID),
    Method("elicitation/complete", _AGENT, _NOTIFICATION, _CONNECTION, None),
)

METHODS = {
    method.name: method
    for method in (*_STABLE, *(replace(method, is_stable=False) for method in _UNSTABLE))
}
"""Every method that ACP names."""


def lookup(name: str) -> Method | None:
    """Finds a method of ACP; None for extensions, and whatever else ACP does not name."""
    return METHODS.get(name)


def describe(name: str) -> Method:
    """Describes any method.

    Returns:
        ACP's own, or what holds for all others: either side sends them, they pass through the relay
        to the other side, and session ids are taken to stand where ACP's methods have them.
    """
    return METHODS.get(name) or Method(
        name, _BOTH, _EITHER_KIND, _EITHER_SCOPE, _BY_AGENT, _IN_BOTH, is_stable=False
    )
