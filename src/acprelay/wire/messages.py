"""Builds the JSON-RPC messages that the relay itself sends, and its stamp on those of others.

Ids, params and results are raw JSON here: the caller has them as bytes, or encodes them. This
module does not know what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

import msgspec

_encode = msgspec.json.Encoder().encode


def json_string(text: str) -> bytes:
    """Writes a string as JSON, with escapes for lone surrogates, which UTF-8 does not have."""
    return to_json(text)


_MOST_NAMES = 1024
_LONGEST_NAME = 256


def json_name(name: str) -> bytes:
    """Does as `json_string`, for what is written again and again: names, sessions' ids."""
    return _kept_name(name) if len(name) <= _LONGEST_NAME else to_json(name)


def request(
    id: bytes,  # noqa: A002  # JSON-RPC's name for it
    method: str,
    params_raw: bytes | None = None,
) -> bytes:
    """Builds a request.

    Args:
        id: Raw JSON.
        method: Its name.
        params_raw: Raw JSON, or None for a request without params.
    """
    name = json_name(method)
    return b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (id, name, _params(params_raw))


def notification(method: str, params_raw: bytes | None = None) -> bytes:
    """Builds a notification.

    Args:
        method: Its name.
        params_raw: Raw JSON, or None for a notification without params.
    """
    return b'{"jsonrpc":"2.0","method":%b%b}' % (json_name(method), _params(params_raw))


def session_notification(method: str, session_id: str, others_raw: bytes, *, stamp: bytes) -> bytes:
    """Builds a notification of a session, with the relay's stamp.

    Args:
        method: Its name.
        session_id: The session, which its params name first.
        others_raw: The other params, raw: `"name":value` with commas between them, or none.
        stamp: As `stamp` gives it.
    """
    head = _session_head(method, session_id)
    if not others_raw:
        return b'%b,"_meta":{"acprelay":%b}}}' % (head, stamp)
    return b'%b,%b,"_meta":{"acprelay":%b}}}' % (head, others_raw, stamp)


def response(id: bytes, result_raw: bytes) -> bytes:  # noqa: A002  # JSON-RPC's name for it
    """Builds a response with a result.

    Args:
        id: The request's, raw.
        result_raw: Raw JSON.
    """
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id, result_raw)


def error_response(
    id: bytes | None,  # noqa: A002  # JSON-RPC's name for it
    code: int,
    message: str,
    data: Mapping[str, object],
) -> bytes:
    """Builds a response with an error.

    Args:
        id: The request's, raw; None where it could not be read, which JSON-RPC writes as null.
        code: JSON-RPC's error code.
        message: One sentence.
        data: What a program needs to branch on.
    """
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b,"data":%b}}' % (
        b"null" if id is None else id,
        code,
        json_string(message),
        to_json(dict(data)),
    )


def stamp(
    generation: str, seq: int, agent_session_id: str | None = None, *, out_of_turn: bool = False
) -> bytes:
    """Builds the raw value of `params._meta.acprelay`: an entry's position in its public log.

    Args:
        generation: The log's generation.
        seq: The entry's number in it.
        agent_session_id: What the agent called the session, where that is not its own session's id.
        out_of_turn: Whether the entry came while no turn was running.
    """
    before, after = stamp_around_seq(generation, agent_session_id, out_of_turn=out_of_turn)
    return b"%b%d%b" % (before, seq, after)


def stamp_around_seq(
    generation: str, agent_session_id: str | None = None, *, out_of_turn: bool = False
) -> tuple[bytes, bytes]:
    """Gives what stands before and after the number in a stamp: the same for many entries."""
    after = b',"outOfTurn":true' if out_of_turn else b""
    if agent_session_id is not None:
        after += b',"agentSessionId":' + json_string(agent_session_id)
    return b'{"generation":%b,"seq":' % json_string(generation), after + b"}"


def _params(params_raw: bytes | None) -> bytes:
    return b"" if params_raw is None else b',"params":' + params_raw


@lru_cache(maxsize=_MOST_NAMES)
def _session_head(method: str, session_id: str) -> bytes:
    """What such a notification begins with: up to its session."""
    names = to_json(method), to_json(session_id)
    return b'{"jsonrpc":"2.0","method":%b,"params":{"sessionId":%b' % names


def to_json(value: object) -> bytes:
    """Writes a value as JSON, with escapes for lone surrogates, which UTF-8 does not have."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


_kept_name = lru_cache(maxsize=_MOST_NAMES)(to_json)
