"""How an agent takes up a session that an earlier process of it has left.

This module knows which of ACP's requests asks for that, and what its params are; not whether the
agent still has the session.
"""

from __future__ import annotations

from typing import Any

import msgspec

from acprelay.errors import NotRestorable
from acprelay.wire import json_string
from acprelay.wire.objects import read_members


class _Capabilities(msgspec.Struct, rename="camel"):
    load_session: Any = None
    session_capabilities: dict[str, Any] | None = None


class _Initialized(msgspec.Struct, rename="camel"):
    agent_capabilities: _Capabilities | None = None


def restore_request(
    *, initialize_result: bytes, key: str, agent: str, params: bytes, agent_session_id: str
) -> tuple[str, bytes]:
    """Chooses the request: `session/resume`, which replays nothing, before `session/load`.

    Args:
        initialize_result: The agent's raw result of `initialize`, as it has passed the handshake.
        key: The conversation, for the error.
        agent: The agent's name in the catalog, likewise.
        params: The raw params of the `session/new` that the conversation began with.
        agent_session_id: The session, as the agent calls it.

    Returns:
        The method and the raw params, which are those of the beginning, in every member, and the
        session id.

    Raises:
        NotRestorable: The agent has promised neither method.
    """
    method = _method(initialize_result)
    if method is None:
        raise NotRestorable(
            key=key, reason=f"agent {agent!r} offers neither session/resume nor session/load"
        )
    return method, _with_session_id(params, json_string(agent_session_id))


def can_restore(initialize_result: bytes) -> bool:
    """Whether an agent can take up a session of an earlier process of it, as it has promised.

    Args:
        initialize_result: The agent's raw result of `initialize`, as it has passed the handshake.
    """
    return _method(initialize_result) is not None


def _method(initialize_result: bytes) -> str | None:
    initialized = msgspec.json.decode(initialize_result, type=_Initialized)
    capabilities = initialized.agent_capabilities or _Capabilities()
    if isinstance((capabilities.session_capabilities or {}).get("resume"), dict):
        return "session/resume"
    return "session/load" if capabilities.load_session is True else None


def _with_session_id(params: bytes, session_id: bytes) -> bytes:
    members = read_members(params)
    if "sessionId" in members:
        start, stop = members["sessionId"]
        return params[:start] + session_id + params[stop:]
    end = params.rindex(b"}")
    comma = b"," if members else b""
    return b'%b%b"sessionId":%b%b' % (params[:end], comma, session_id, params[end:])
