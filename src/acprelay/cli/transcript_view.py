"""A transcript as people read it. Pure: it takes messages, and gives lines."""

from __future__ import annotations

from collections.abc import Iterator

from acprelay.client.acp_messages import JsonObject, as_object, update_of

_SPEAKERS = {
    "user_message_chunk": "> ",
    "agent_message_chunk": "",
    "agent_thought_chunk": "[thought] ",
}


class TranscriptView:
    """Puts chunks of text together, and tells of the rest in a line each."""

    def __init__(self) -> None:
        self._speaker: str | None = None
        self._text = ""

    def lines(self, message: JsonObject) -> Iterator[str]:
        """Yields the lines that are whole once a message has come."""
        method, params = str(message.get("method")), as_object(message.get("params"))
        update = update_of(method, params) or {}
        kind = str(update.get("sessionUpdate"))
        if kind in _SPEAKERS:
            if kind != self._speaker:
                yield from self.rest()
            self._speaker = kind
            self._text += _said(as_object(update.get("content")))
            return
        told = _told(method, params, update)
        if told is not None:
            yield from self.rest()
            yield told

    def rest(self) -> Iterator[str]:
        """Yields what was held back because more of it might have come."""
        text, speaker = self._text, self._speaker
        self._text, self._speaker = "", None
        if speaker is not None and text.strip():
            first, *others = text.strip("\n").split("\n")
            mark = _SPEAKERS[speaker]
            yield mark + first
            yield from ((mark if speaker == "user_message_chunk" else "") + each for each in others)


def _said(content: JsonObject) -> str:
    if content.get("type") == "text":
        return str(content.get("text", ""))
    return f"[{content.get('type')}]"


def _told(method: str, params: JsonObject, update: JsonObject) -> str | None:
    """Gives a line about what is no text; None for what is not for reading."""
    match method, update.get("sessionUpdate"):
        case _, "tool_call":
            return f"[tool] {update.get('title')}"
        case _, "tool_call_update" if update.get("status") in ("completed", "failed"):
            return (
                f"[tool] {update.get('status')}: {update.get('title') or update.get('toolCallId')}"
            )
        case "_acprelay/turn_ended", _ if params.get("outcome") == "interrupted":
            return "[turn] interrupted: the relay ended in it, and its prompt is not sent again"
        case "_acprelay/turn_ended", _ if params.get("stopReason") != "end_turn":
            reason = params.get("stopReason") or as_object(params.get("error")).get("message")
            return f"[turn] {params.get('outcome')}: {reason or 'no reason is given'}"
        case "_acprelay/notice", _:
            return f"[notice] {params.get('message')}"
        case _:
            return None
