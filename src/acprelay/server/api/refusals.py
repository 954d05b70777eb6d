"""Errors of JSON-RPC as what they were before: errors of the relay, with the same code."""

from __future__ import annotations

from typing import Any

import msgspec

from acprelay.errors import AgentError, RelayError, class_of, told


class _Error(msgspec.Struct):
    message: str = "cannot open a session: its agent refused"
    data: Any = None


def refusal_of(raw: bytes) -> RelayError:
    """Reads an error object of JSON-RPC.

    Args:
        raw: The object: the relay's own, or one that an agent wrote, which has no code of ours.
    """
    try:
        error = msgspec.json.decode(raw, type=_Error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = _Error()
    data = error.data if isinstance(error.data, dict) else {}
    cls = class_of(data.get("code"))
    if cls is not None:
        return told(cls, error.message, data)
    return AgentError(
        f"cannot open a session: its agent says {error.message!r}",
        hint="see what the agent needs, with the operation that probes it",
    )
