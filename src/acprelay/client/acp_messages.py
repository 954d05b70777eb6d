"""The few ACP messages that a client of one turn reads, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from acprelay.client.refusals import restored
from acprelay.errors import RelayError, RemoteProtocolError

JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PermissionOption:
    """One of the answers that a permission request offers."""

    option_id: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class PermissionRequest:
    """What an agent asks permission for: the tool call as its JSON object, and the answers."""

    tool_call: JsonObject
    options: tuple[PermissionOption, ...]

    @property
    def title(self) -> str:
        """What the tool call calls itself: the agent's claim."""
        return str(self.tool_call.get("title") or "a tool call")


def as_object(value: object) -> JsonObject:
    """Gives a JSON value as an object; what is none has no members."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Gives a JSON value as an array; what is none has no elements."""
    return value if isinstance(value, list) else []


def update_of(method: str, params: JsonObject) -> JsonObject | None:
    """Gives the update that a notification is; None where it is none."""
    return as_object(params.get("update")) if method == "session/update" else None


def own_member(value: JsonObject, name: str) -> JsonObject:
    """Gives an object that the relay has put into `_meta.acprelay`; empty where there is none."""
    return as_object(as_object(as_object(value.get("_meta")).get("acprelay")).get(name))


def decode(frame: bytes) -> JsonObject:
    """Reads a message; JSON that is no object has no members.

    Raises:
        RemoteProtocolError: It is not JSON.
    """
    try:
        message: object = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(
            f"cannot read what the relay sent: {error}", hint="check that the address is a relay's"
        ) from None
    return as_object(message)


_DEEDS = {
    "initialize": "use the agent",
    "session/new": "open a session",
    "session/prompt": "finish the turn",
    "session/list": "list sessions",
    "session/close": "stop the session",
    "session/delete": "remove the session",
    "_acprelay/open_group": "open the group",
    "_acprelay/close_group": "stop the group",
    "_acprelay/run": "show the session",
}


def refusal(method: str, error: JsonObject) -> RelayError:
    """Gives the error that a response's `error` member stands for."""
    reason = str(error.get("message", "no reason is given"))
    message = f"cannot {_DEEDS.get(method, method)}: {reason}"
    return restored(message, as_object(error.get("data")))


def permission_request(params: JsonObject) -> PermissionRequest:
    """Reads the params of `session/request_permission`."""
    options = params.get("options")
    return PermissionRequest(
        tool_call=as_object(params.get("toolCall")),
        options=tuple(
            PermissionOption(
                option_id=str(option.get("optionId")),
                name=str(option.get("name")),
                kind=str(option.get("kind")),
            )
            for option in map(as_object, options if isinstance(options, list) else ())
        ),
    )


def identity(request_id: object) -> str:
    """Gives what tells request ids apart: 1, 1.0 and "1" differ."""
    return json.dumps(request_id)
