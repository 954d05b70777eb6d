"""Errors of JSON-RPC as what they were before: errors of the relay, with the same code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from acprelay.errors import AgentError, RelayError


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
    classes = {each.code: each for each in _tree(RelayError)}
    cls = classes.get(str(data.get("code")))
    if cls is None:
        hint = "see what the agent needs, with the operation that probes it"
        return AgentError(f"cannot open a session: its agent says {error.message!r}", hint=hint)
    made = cls.__new__(cls)
    RelayError.__init__(made, error.message, hint=str(data.get("hint", "")))
    return made


def _tree(cls: type[RelayError]) -> Iterator[type[RelayError]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _tree(each)
