"""Where a client's message goes: the rules of a connection, as one pure function.

ACP, "Remote transport": the first message is `initialize`. The relay answers what concerns it
alone; everything else belongs to the agent of one session.
"""

from __future__ import annotations

from enum import Enum, auto

from acprelay.errors import InvalidRequest, MethodNotFound
from acprelay.wire import Envelope, MessageKind
from acprelay.wire.methods import METHODS, Scope, Sender, Server


class Destination(Enum):
    """Who deals with a client's message."""

    INITIALIZE = auto()
    OPEN_SESSION = auto()
    LIST_SESSIONS = auto()
    LOAD_SESSION = auto()
    RESUME_SESSION = auto()
    ATTACH = auto()
    """Like load and resume, for clients that know the relay's extensions."""
    CLOSE_SESSION = auto()
    DELETE_SESSION = auto()
    DESCRIBE_TURNS = auto()
    CANCEL_TURN = auto()
    OPEN_GROUP = auto()
    CLOSE_GROUP = auto()
    DESCRIBE_RUN = auto()
    INVITE = auto()
    REVOKE_INVITATIONS = auto()
    AGENT_PROCESS = auto()
    """An agent before it has a session: authentication."""
    SESSION = auto()
    ASK = auto()
    """The message answers an ask of an agent."""
    CANCEL_REQUEST = auto()
    NOWHERE = auto()
    """JSON-RPC says to be silent about it."""


_REQUESTS = {
    "initialize": Destination.INITIALIZE,
    "session/new": Destination.OPEN_SESSION,
    "session/list": Destination.LIST_SESSIONS,
    "session/load": Destination.LOAD_SESSION,
    "session/resume": Destination.RESUME_SESSION,
    "session/close": Destination.CLOSE_SESSION,
    "session/delete": Destination.DELETE_SESSION,
    "_acprelay/attach": Destination.ATTACH,
    "_acprelay/turns": Destination.DESCRIBE_TURNS,
    "_acprelay/cancel_turn": Destination.CANCEL_TURN,
    "_acprelay/open_group": Destination.OPEN_GROUP,
    "_acprelay/close_group": Destination.CLOSE_GROUP,
    "_acprelay/run": Destination.DESCRIBE_RUN,
    "_acprelay/invite": Destination.INVITE,
    "_acprelay/revoke_invitations": Destination.REVOKE_INVITATIONS,
    "authenticate": Destination.AGENT_PROCESS,
    "logout": Destination.AGENT_PROCESS,
}

_ANSWERED_TO_CONNECTION = frozenset(
    {
        *("initialize", "session/new", "session/list", "session/load", "session/resume"),
        *("session/fork", "_acprelay/attach"),
    }
)

_ELSEWHERE = frozenset(
    method.name
    for method in METHODS.values()
    if method.sender is Sender.AGENT
    or method.served_by is not Server.AGENT
    or method.scope is Scope.CONNECTION
)
"""Those of ACP's methods that no session's agent deals with."""

_SESSION = Destination.SESSION  # a class is slower to ask for its members
_, _NOTIFICATION, _RESPONSE = MessageKind

_WITHOUT_AGENT = frozenset({"_acprelay/invite", "_acprelay/revoke_invitations"})
"""Served before `initialize` too, which would start an agent that these do not concern."""


def destination(envelope: Envelope, *, initialized: bool) -> Destination:
    """Tells who deals with a message of a client.

    Args:
        envelope: The message.
        initialized: Whether the connection's `initialize` has been answered.

    Raises:
        InvalidRequest: A request before `initialize`, or a second `initialize`.
        MethodNotFound: A request that nobody here serves.
    """
    if envelope.kind is _RESPONSE:
        return Destination.NOWHERE if envelope.id in (None, b"null") else Destination.ASK
    if envelope.kind is _NOTIFICATION:
        return _of_notification(envelope.method or "", initialized=initialized)
    return _of_request(envelope.method or "", initialized=initialized)


def answering_session(envelope: Envelope) -> str | None:
    """Tells to which session's stream the answer to a request belongs.

    ACP, "Remote transport": what brings a client into a session is answered on the connection's
    stream, as the client need not have the session's yet.

    Returns:
        The session's public id; None where the answer belongs to the connection.
    """
    return None if envelope.method in _ANSWERED_TO_CONNECTION else envelope.session_id


def _of_notification(method: str, *, initialized: bool) -> Destination:
    if not initialized:
        return Destination.NOWHERE
    if method == "$/cancel_request":
        return Destination.CANCEL_REQUEST
    if method in _REQUESTS or not _goes_to_a_session(method):
        return Destination.NOWHERE
    return _SESSION


def _of_request(method: str, *, initialized: bool) -> Destination:
    if not initialized and method != "initialize" and method not in _WITHOUT_AGENT:
        raise InvalidRequest(
            f"cannot serve {method[:120]!r} before initialize",
            hint="send initialize first, and wait for its answer",
        )
    if initialized and method == "initialize":
        raise InvalidRequest("cannot initialize a connection twice", hint="open another connection")
    if method in _REQUESTS:
        return _REQUESTS[method]
    if not _goes_to_a_session(method):
        raise MethodNotFound(method=method)
    return _SESSION


def _goes_to_a_session(method: str) -> bool:
    """Whether a session's agent deals with it, as with other methods that ACP does not name."""
    return method not in _ELSEWHERE and not method.startswith("_acprelay/")
