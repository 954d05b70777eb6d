"""Showing a turn's updates on a screen."""

from __future__ import annotations

from collections import Counter

from acprelay.cli.screen import Screen
from acprelay.client.acp_messages import JsonObject, as_object, update_of

_ENDED = ("completed", "failed")


class TurnView:
    """Shows the agent's text as it comes, and the rest in a line each.

    Args:
        screen: Where to.
    """

    def __init__(self, *, screen: Screen) -> None:
        self._screen = screen
        self._thought = ""
        self._titles: dict[str, str] = {}

    async def notified(self, method: str, params: JsonObject) -> None:
        """Shows a notification, if it is an update. Raises as `show` does."""
        update = update_of(method, params)
        if update is not None:
            await self.show(update)

    async def show(self, update: JsonObject) -> None:
        """Shows an update; kinds that are not for reading are left out.

        Raises:
            BrokenPipeError: Nobody reads the answer any more.
        """
        kind = update.get("sessionUpdate")
        if kind == "agent_thought_chunk":
            self._thought += _text(update)
            return
        await self._end_thought()
        match kind:
            case "agent_message_chunk":
                await self._show_content(as_object(update.get("content")))
            case "plan":
                await self._screen.note("plan", _plan(update))
            case "tool_call" | "tool_call_update":
                await self._show_tool_call(update)

    async def finish(self) -> None:
        """Shows what was held back, and ends the last line.

        Raises:
            BrokenPipeError: Nobody reads the answer any more.
        """
        await self._end_thought()
        await self._screen.finish()

    async def _end_thought(self) -> None:
        """Shows a thought, whose chunks are fragments, as one line once it is whole."""
        if self._thought.strip():
            await self._screen.note("thought", self._thought)
        self._thought = ""

    async def _show_content(self, content: JsonObject) -> None:
        if content.get("type") == "text":
            await self._screen.say(str(content.get("text", "")))
        else:
            await self._screen.note("content", str(content.get("type")))

    async def _show_tool_call(self, update: JsonObject) -> None:
        """Shows a tool call when it begins and when it has ended; updates may have no title."""
        call_id = str(update.get("toolCallId"))
        began = call_id not in self._titles
        title = self._titles[call_id] = str(
            update.get("title") or self._titles.get(call_id) or "a tool call"
        )
        status = update.get("status")
        if status in _ENDED:
            await self._screen.note("tool", f"{title}: {status}")
        elif began:
            await self._screen.note("tool", title)


def _text(update: JsonObject) -> str:
    return str(as_object(update.get("content")).get("text", ""))


def _plan(update: JsonObject) -> str:
    entries = update.get("entries")
    listed = [as_object(entry) for entry in entries] if isinstance(entries, list) else []
    states = Counter(entry.get("status") for entry in listed)
    now = next((entry for entry in listed if entry.get("status") == "in_progress"), None)
    doing = f": {now.get('content')}" if now else ""
    return f"{states['completed']} of {len(listed)} done{doing}"
