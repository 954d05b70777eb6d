"""Reads recorded permission requests, each with the tool call as its updates had left it.

A recording has one JSON object a line: a frame, or one whose `msg` is a frame, as recorders write
that also note the direction and the time. A file may also be one frame, on however many lines. This
module knows nothing of policies.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from acprelay.client.acp_messages import JsonObject, as_object, identity
from acprelay.errors import ConfigError
from acprelay.routing.tool_calls import ToolCall, ToolCalls

_HINT = "give a session/request_permission message, or a recording with one JSON object a line"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A permission request of a recording.

    Attributes:
        source: The recording's name, and the number of the line in it.
        tool_call: As merged from its updates before the request, and the request itself.
        options: The raw JSON of the answers that it offers; None where it offers none.
        cwd: The session's directory, where the recording tells it.
    """

    source: str
    tool_call: ToolCall
    options: bytes | None
    cwd: str | None


def read_requests(name: str, recording: bytes) -> list[RecordedRequest]:
    """Reads a recording's permission requests, in order.

    Args:
        name: What errors and results call the recording.
        recording: Its content.

    Raises:
        ConfigError: A line is no JSON object, or there is no permission request.
    """
    sessions = _Sessions()
    requests: list[RecordedRequest] = []
    for number, frame in _frames(name, recording):
        params = as_object(frame.get("params"))
        if frame.get("method") == "session/request_permission":
            requests.append(sessions.request(f"{name}:{number}", params))
        else:
            sessions.observe(frame, params)
    if not requests:
        raise ConfigError(f"cannot find a permission request in {name!r}", hint=_HINT)
    return requests


@dataclass(slots=True)
class _Sessions:
    """What is known of a recording's sessions so far."""

    tool_calls: defaultdict[str, ToolCalls] = field(default_factory=lambda: defaultdict(ToolCalls))
    cwds: dict[str, object] = field(default_factory=dict)
    opening: dict[str, object] = field(default_factory=dict)

    def observe(self, frame: JsonObject, params: JsonObject) -> None:
        match frame.get("method"):
            case "session/update":
                update = json.dumps(params.get("update")).encode()
                self.tool_calls[_session_id(params)].observe(update)
            case "session/new":
                self.opening[identity(frame.get("id"))] = params.get("cwd")
            case "session/load" | "session/resume":
                self.cwds[_session_id(params)] = params.get("cwd")
            case None:
                result = as_object(frame.get("result"))
                request_id = identity(frame.get("id"))
                if "sessionId" in result and request_id in self.opening:
                    self.cwds[_session_id(result)] = self.opening.pop(request_id)

    def request(self, source: str, params: JsonObject) -> RecordedRequest:
        session_id = _session_id(params)
        cwd = self.cwds.get(session_id)
        return RecordedRequest(
            source=source,
            tool_call=self.tool_calls[session_id].merged(_raw(params, "toolCall")),
            options=_raw(params, "options"),
            cwd=cwd if isinstance(cwd, str) else None,
        )


def _frames(name: str, recording: bytes) -> Iterator[tuple[int, JsonObject]]:
    """Yields the frames of a recording, each with the number of its line."""
    try:
        text = recording.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read {name!r}: it is not UTF-8", hint=_HINT) from None
    single = _parse(text)
    if single is not None:
        yield from _frame(1, single)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            entry = _parse(line)
            if entry is None:
                raise ConfigError(
                    f"cannot read line {number} of {name!r}: it is no JSON object", hint=_HINT
                )
            yield from _frame(number, entry)


def _frame(number: int, entry: JsonObject) -> Iterator[tuple[int, JsonObject]]:
    """Yields the frame of an entry, unless it is about something else, such as a log line."""
    frame = entry.get("msg", entry)
    if isinstance(frame, dict):
        yield number, frame


def _parse(text: str) -> JsonObject | None:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _session_id(holder: JsonObject) -> str:
    return identity(holder.get("sessionId"))


def _raw(params: JsonObject, name: str) -> bytes | None:
    return json.dumps(params[name]).encode() if name in params else None
