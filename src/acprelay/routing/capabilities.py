"""What the relay promises in the handshake, on both of its sides (ACP, "Initialization").

To an agent the relay is a client that serves files and terminals as far as it was told to, itself
or through its clients. To a client it is the agent, less what the relay would have to keep and does
not, plus what it serves from what it keeps, whatever the agent can: a capability is a promise.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from acprelay import __version__
from acprelay.errors import AgentRefused, InvalidParams
from acprelay.routing.service_modes import ServiceMode, Services

PROTOCOL_VERSION = 1

# What clients could only use through methods that the relay answers itself.
_NOT_KEPT = ("providers", "nes")
_KEPT_SESSION_CAPABILITIES = ("additionalDirectories", "systemPrompt")
_SERVED_SESSION_CAPABILITIES = ("list", "resume", "close", "delete")

_OWN_INFO = {"name": "acprelay", "title": "acprelay", "version": __version__}


class _ClientInitialize(msgspec.Struct, rename="camel"):
    # The schema has a number; there are clients that write it as text, and agents that take that.
    protocol_version: int | Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,5}\Z")]


class _AgentCapabilities(msgspec.Struct, rename="camel"):
    session_capabilities: dict[str, Any] | None = None


class _AgentInitialized(msgspec.Struct, rename="camel"):
    protocol_version: int
    agent_capabilities: _AgentCapabilities | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


def initialize_params(services: Services) -> bytes:
    """The params of the `initialize` that the relay sends to an agent.

    Args:
        services: What is served to it, and so promised.
    """
    serves_files = services.fs is not ServiceMode.OFF
    return msgspec.json.encode(
        {
            "protocolVersion": PROTOCOL_VERSION,
            "clientCapabilities": {
                "fs": {"readTextFile": serves_files, "writeTextFile": serves_files},
                "terminal": services.terminal is not ServiceMode.OFF,
            },
            "clientInfo": _OWN_INFO,
        }
    )


def relay_result() -> bytes:
    """What the relay answers to `initialize` where it speaks for itself, and for no agent."""
    return msgspec.json.encode(
        {
            "protocolVersion": PROTOCOL_VERSION,
            "agentCapabilities": {},
            "agentInfo": _OWN_INFO,
            "authMethods": [],
        }
    )


def check_client(params: bytes | None) -> None:
    """Checks the params of a client's `initialize`.

    Args:
        params: The raw JSON value; None where there is none.

    Raises:
        InvalidParams: They are malformed, or ask for a version older than the relay speaks.
    """
    try:
        asked = msgspec.json.decode(params or b"null", type=_ClientInitialize)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot initialize: {error}", hint="initialize needs params.protocolVersion, a number"
        ) from error
    wanted = int(asked.protocol_version)
    if wanted < PROTOCOL_VERSION:
        raise InvalidParams(
            f"cannot speak ACP version {wanted}: this relay speaks {PROTOCOL_VERSION}",
            hint=f"ask for protocolVersion {PROTOCOL_VERSION}",
            supported=PROTOCOL_VERSION,
        )


def check_agent(agent: str, result: bytes) -> None:
    """Checks an agent's answer to `initialize`.

    Raises:
        AgentRefused: It is malformed, or the agent speaks another version.
    """
    try:
        version = msgspec.json.decode(result, type=_AgentInitialized).protocol_version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AgentRefused(
            agent=agent, method="initialize", reason=f"a malformed result ({error})"
        ) from error
    if version != PROTOCOL_VERSION:
        reason = f"ACP version {version}, and this relay speaks {PROTOCOL_VERSION}"
        raise AgentRefused(agent=agent, method="initialize", reason=reason)


def client_result(agent_result: bytes) -> dict[str, Any]:
    """The answer to a client's `initialize`: the agent's, as far as the relay keeps it.

    Args:
        agent_result: The agent's own answer, as `check_agent` has let it pass.
    """
    result: dict[str, Any] = msgspec.json.decode(agent_result)
    capabilities = dict(result.get("agentCapabilities") or {})
    for name in _NOT_KEPT:
        capabilities.pop(name, None)
    session = capabilities.get("sessionCapabilities") or {}
    capabilities["loadSession"] = True
    capabilities["sessionCapabilities"] = {
        **{name: session[name] for name in _KEPT_SESSION_CAPABILITIES if name in session},
        **{name: {} for name in _SERVED_SESSION_CAPABILITIES},
    }
    own_meta = {"version": __version__, "attach": True}
    meta = {**(result.get("_meta") or {}), "acprelay": own_meta}
    return {
        **result,
        "protocolVersion": PROTOCOL_VERSION,
        "agentCapabilities": capabilities,
        "_meta": meta,
    }
