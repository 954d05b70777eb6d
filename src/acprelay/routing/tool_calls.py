"""The tool calls of a session, as merged from their updates so far.

A permission request often names only what changed; what the call is, its earlier updates said
(ACP, "Tool Calls"). What is kept is what a policy looks at, in bounded memory, and no content.
Nothing here raises on what an agent sends. This module does not know what is decided about a call.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from acprelay.routing.claims import (
    NOTHING,
    Content,
    Location,
    Named,
    decode,
    is_object,
    name_content,
    name_input,
    name_locations,
)

TOOL_KINDS = (
    "read",
    "edit",
    "delete",
    "move",
    "search",
    "execute",
    "think",
    "fetch",
    "switch_mode",
    "other",
)
"""ACP's kinds of tool."""

MAX_ID = 1024
"""The most characters of a tool call's id; a call whose id is longer is not kept."""

MAX_TITLE = 2048
"""The most characters of a title; a longer one is cut, and ends with an ellipsis."""

_ANNOUNCEMENTS = ("tool_call", "tool_call_update")
_FINISHED = ("completed", "failed")
_NULL = msgspec.Raw(b"null")
_OVERHEAD = 256


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an agent claims about a tool call.

    Attributes:
        tool_call_id: None where there is none that can be read.
        kind: One of `TOOL_KINDS`, or None: ACP's default is never assumed.
        title: What the call calls itself, for people; None where it has no title.
        paths: All that it names, as the agent wrote them: of its locations, its diffs and the
            well-known members of its raw input.
        commands: All that its raw input names, each as one text.
        whole: Whether all that the agent sent about paths and commands is in here; not where some
            of it is malformed or too large.
    """

    tool_call_id: str | None = None
    kind: str | None = None
    title: str | None = None
    paths: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    whole: bool = True


class _Update(msgspec.Struct, rename="camel", gc=False):
    """What an update says of a tool call.

    A member that is missing or null says nothing (ACP, "Tool Calls"); one that cannot be read is
    unset. A raw input that is no object is an empty one.
    """

    session_update: str | UnsetType | None = None
    tool_call_id: str | UnsetType | None = None
    kind: str | UnsetType | None = None
    title: str | UnsetType | None = None
    status: str | UnsetType | None = None
    locations: list[Location] | UnsetType | None = None
    content: list[Content] | UnsetType | None = None
    raw_input: dict[str, msgspec.Raw] | UnsetType | None = None


_update = msgspec.json.Decoder(_Update)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_MEMBERS: dict[str, tuple[str, msgspec.json.Decoder[Any]]] = {
    "session_update": ("sessionUpdate", _string),
    "tool_call_id": ("toolCallId", _string),
    "kind": ("kind", _string),
    "title": ("title", _string),
    "status": ("status", _string),
    "locations": ("locations", msgspec.json.Decoder(list[Location])),
    "content": ("content", msgspec.json.Decoder(list[Content])),
    "raw_input": ("rawInput", _members),
}


def _read(update: bytes) -> _Update | None:
    """Reads an update; None where it is no object, or nests too deeply."""
    try:
        return _update.decode(update)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_one_by_one(update)


def _read_one_by_one(update: bytes) -> _Update | None:
    """Reads an update of which a member is not what it should be."""
    members = decode(_members, update)
    if members is None:
        return None
    read = _Update()
    for field, (name, decoder) in _MEMBERS.items():
        raw = members.get(name, _NULL)
        if raw == _NULL:
            continue
        value = decode(decoder, raw)
        setattr(read, field, UNSET if value is None else value)
    if read.raw_input is UNSET and not is_object(members["rawInput"]):
        read.raw_input = {}
    return read


class _Merged(msgspec.Struct, frozen=True, gc=False):
    """One tool call so far; each member as the last update that had it left it.

    Attributes:
        size: About how many characters are kept.
    """

    kind: str | None = None
    title: str | None = None
    is_finished: bool = False
    locations: Named = NOTHING
    content: Named = NOTHING
    raw_input: Named = NOTHING
    size: int = 0

    def updated(self, said: _Update) -> _Merged:
        """Gives what an update makes of it.

        A member that the update says nothing of stays as it was, any other is replaced as a whole;
        one that cannot be read is replaced too, by none, or by one that is not whole.
        """
        kind, status = said.kind, said.status
        title = self.title if said.title is None else _title(said.title)
        locations = self.locations if said.locations is None else name_locations(said.locations)
        content = self.content if said.content is None else name_content(said.content)
        raw_input = self.raw_input if said.raw_input is None else name_input(said.raw_input)
        return _Merged(
            self.kind if kind is None else _kind(kind),
            title,
            self.is_finished if status is None else status in _FINISHED,
            locations,
            content,
            raw_input,
            _OVERHEAD + len(title or "") + locations.size + content.size + raw_input.size,
        )

    def as_tool_call(self, tool_call_id: str | None) -> ToolCall:
        locations, content, raw_input = self.locations, self.content, self.raw_input
        return ToolCall(
            tool_call_id=tool_call_id,
            kind=self.kind,
            title=self.title,
            paths=tuple(dict.fromkeys(locations.paths + content.paths + raw_input.paths)),
            commands=raw_input.commands,
            whole=tool_call_id is not None
            and locations.whole
            and content.whole
            and raw_input.whole,
        )


_NOTHING = _Merged()


class ToolCalls:
    """What the tool calls of one session are, so far.

    Where bounds are reached, finished calls are forgotten first, then those that were updated
    longest ago.

    Args:
        most: How many calls are kept.
        most_chars: About how many characters are kept of all of them.
    """

    def __init__(self, *, most: int = 256, most_chars: int = 1024 * 1024) -> None:
        self._most = most
        self._most_chars = most_chars
        self._open: dict[str, _Merged] = {}
        self._finished: dict[str, _Merged] = {}
        self._chars = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._finished)

    def observe(self, update: bytes) -> None:
        """Takes an update in; one that is about no tool call, or malformed, changes nothing.

        A `tool_call` for an id that is known goes on with that call, since some agents announce
        each call twice, unless it is finished: then it begins another one.

        Args:
            update: The raw JSON of `params.update`.
        """
        read = _read(update)
        if read is None or read.session_update not in _ANNOUNCEMENTS:
            return
        tool_call_id = _identity(read)
        if tool_call_id is None:
            return
        known = self._forget(tool_call_id)
        if read.session_update == "tool_call" and known.is_finished:
            known = _NOTHING
        self._keep(tool_call_id, known.updated(read))

    def merged(self, tool_call: bytes | None) -> ToolCall:
        """Gives what is known of the tool call that a permission is asked for.

        Args:
            tool_call: The raw JSON of the request's `params.toolCall`, which counts as the call's
                latest update and is not kept; None where there is none.
        """
        read = _read(tool_call or b"")
        if read is None:
            return ToolCall(whole=False)
        tool_call_id = _identity(read)
        known = self._lookup(tool_call_id) if tool_call_id is not None else _NOTHING
        return known.updated(read).as_tool_call(tool_call_id)

    def _lookup(self, tool_call_id: str) -> _Merged:
        return self._open.get(tool_call_id) or self._finished.get(tool_call_id) or _NOTHING

    def _keep(self, tool_call_id: str, merged: _Merged) -> None:
        (self._finished if merged.is_finished else self._open)[tool_call_id] = merged
        self._chars += len(tool_call_id) + merged.size
        while len(self) > self._most or self._chars > self._most_chars:
            self._forget(next(iter(self._finished or self._open)))

    def _forget(self, tool_call_id: str) -> _Merged:
        known = self._open.pop(tool_call_id, None) or self._finished.pop(tool_call_id, None)
        if known is None:
            return _NOTHING
        self._chars -= len(tool_call_id) + known.size
        return known


def _identity(update: _Update) -> str | None:
    tool_call_id = update.tool_call_id
    return tool_call_id if tool_call_id and len(tool_call_id) <= MAX_ID else None


def _kind(kind: str | UnsetType) -> str | None:
    return kind if kind in TOOL_KINDS else None


def _title(title: str | UnsetType) -> str | None:
    if title is UNSET:
        return None
    return title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1] + "…"
