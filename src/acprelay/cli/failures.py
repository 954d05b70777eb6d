"""What the command line can meet besides the relay's own errors."""

from __future__ import annotations

from acprelay.errors import FieldValue, RelayError


class RelayUnreachable(RelayError):
    """The relay cannot be reached, or the connection to it is lost."""

    code = "relay_unreachable"
    retryable = True


class RequestRefused(RelayError):
    """A request was answered with a JSON-RPC error.

    Args:
        method: What was asked.
        reason: The error's message.
        hint: What to do next, as the error says.
        fields: Other facts.
    """

    code = "request_refused"

    def __init__(self, *, method: str, reason: str, hint: str, **fields: FieldValue) -> None:
        super().__init__(f"cannot {_DEEDS.get(method, method)}: {reason}", hint=hint, **fields)


_DEEDS = {
    "initialize": "use the agent",
    "session/new": "open a session",
    "session/prompt": "finish the turn",
}
