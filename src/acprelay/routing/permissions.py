"""What `session/request_permission` asks, and what may answer it (ACP, "Requesting Permission").

This module reads and writes messages. It does not know who is asked, nor who decides.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache

import msgspec

from acprelay.errors import InvalidParams, RemoteProtocolError
from acprelay.routing.frames import result_reply
from acprelay.wire import Envelope, json_string
from acprelay.wire.objects import read_members

_decode = msgspec.json.Decoder().decode

_NOWHERE = (0, 0)

# An agent offers the same options again and again, and few outcomes are possible.
_MOST_KNOWN = 64
_LONGEST_KNOWN = 1024

_HINT = "answer with the outcome selected and the optionId of an offered option, or with cancelled"


class PermissionRequest(msgspec.Struct, frozen=True, gc=False):
    """What an agent asks permission for.

    Attributes:
        tool_call: The raw value of `toolCall`; None where there is none.
        tool_call_id: The raw JSON string in it; None where there is none.
        options: The raw value of `options`; None where there is none.
        option_ids: The ids of the options.
    """

    tool_call: bytes | None
    tool_call_id: bytes | None
    options: bytes | None
    option_ids: frozenset[str]


def read_request(envelope: Envelope) -> PermissionRequest:
    """Reads a permission request; never raises, whatever an agent has written."""
    options = envelope.member("params", "options")
    tool_call = envelope.member("params", "toolCall")
    return PermissionRequest(tool_call, _tool_call_id(tool_call), options, _option_ids(options))


def read_outcome(answer: Envelope, option_ids: Collection[str]) -> str | None:
    """Reads a client's answer.

    Args:
        answer: A response with a result.
        option_ids: The ids of the options that were offered.

    Returns:
        The chosen option's id; None for `cancelled`.

    Raises:
        InvalidParams: It is neither, or the option was not offered.
    """
    try:
        outcome, option_id = _outcome(answer.member("result", "outcome") or b"null")
    except RemoteProtocolError as error:
        raise InvalidParams(f"cannot read an answer: {error.message}", hint=_HINT) from error
    if outcome == "cancelled":
        return None
    if outcome != "selected":
        raise InvalidParams("cannot read the outcome of a permission request", hint=_HINT)
    if option_id is None or option_id not in option_ids:
        shown = repr(option_id)[:80]
        raise InvalidParams(f"cannot choose option {shown}: it was not offered", hint=_HINT)
    return option_id


def outcome_reply(request_id: bytes, option_id: str | None) -> bytes:
    """Writes an answer to a permission request.

    Args:
        request_id: The raw id of the request.
        option_id: The chosen option's id; None for `cancelled`.
    """
    outcome: dict[str, object] = {"outcome": "cancelled"}
    if option_id is not None:
        outcome = {"outcome": "selected", "optionId": msgspec.Raw(json_string(option_id))}
    return result_reply(request_id, {"outcome": outcome})


def _read_outcome(raw: bytes) -> tuple[str | None, str | None]:
    if not raw.startswith(b"{"):
        return None, None
    members = read_members(raw)
    names = ("outcome", "optionId")
    outcome, option_id = (_text(raw[slice(*members.get(name, _NOWHERE))]) for name in names)
    return outcome, option_id


def _tool_call_id(tool_call: bytes | None) -> bytes | None:
    if tool_call is None or not tool_call.startswith(b"{"):
        return None
    try:
        raw = tool_call[slice(*read_members(tool_call).get("toolCallId", _NOWHERE))]
    except RemoteProtocolError:
        return None
    return raw if raw.startswith(b'"') else None


def _read_option_ids(raw: bytes) -> frozenset[str]:
    options = _value(raw)
    ids = [
        option.get("optionId")
        for option in (options if isinstance(options, list) else ())
        if isinstance(option, dict)
    ]
    return frozenset(option_id for option_id in ids if isinstance(option_id, str))


def _text(raw: bytes) -> str | None:
    value = _value(raw)
    return value if isinstance(value, str) else None


def _value(raw: bytes) -> object:
    """Reads JSON with all its escapes, lone surrogates included."""
    text = raw or b"null"
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass  # an escape of a lone surrogate, if not worse
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_known_outcome = lru_cache(maxsize=_MOST_KNOWN)(_read_outcome)
_known_option_ids = lru_cache(maxsize=_MOST_KNOWN)(_read_option_ids)


def _outcome(raw: bytes) -> tuple[str | None, str | None]:
    return _known_outcome(raw) if len(raw) <= _LONGEST_KNOWN else _read_outcome(raw)


def _option_ids(raw: bytes | None) -> frozenset[str]:
    if raw is None:
        return frozenset()
    return _known_option_ids(raw) if len(raw) <= _LONGEST_KNOWN else _read_option_ids(raw)
