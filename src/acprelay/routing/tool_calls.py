"""The tool calls of a session, as merged from their updates so far.

A permission request often names only what changed; what the call is, its earlier updates said
(ACP, "Tool Calls"). What is kept is what a policy looks at, in bounded memory, and no content.
Nothing here raises on what an agent sends. This module does not know what is decided about a call.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from acprelay.routing.claims import (
    NOTHING,
    Named,
    decode,
    read_content,
    read_input,
    read_locations,
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

_FINISHED = ("completed", "failed")
_ABSENT = msgspec.Raw(b"")
_NULL = b"null"
_OVERHEAD = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
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


class _Members(msgspec.Struct, rename="camel", gc=False):
    session_update: msgspec.Raw = _ABSENT
    tool_call_id: msgspec.Raw = _ABSENT
    kind: msgspec.Raw = _ABSENT
    title: msgspec.Raw = _ABSENT
    status: msgspec.Raw = _ABSENT
    locations: msgspec.Raw = _ABSENT
    content: msgspec.Raw = _ABSENT
    raw_input: msgspec.Raw = _ABSENT


_members = msgspec.json.Decoder(_Members)
_string = msgspec.json.Decoder(str)


class _Merged(msgspec.Struct, frozen=True, gc=False):
    """One tool call so far; each member as the last update that had it left it."""

    kind: str | None = None
    title: str | None = None
    is_finished: bool = False
    locations: Named = NOTHING
    content: Named = NOTHING
    raw_input: Named = NOTHING

    @property
    def size(self) -> int:
        named = self.locations.size + self.content.size + self.raw_input.size
        return _OVERHEAD + len(self.title or "") + named

    def updated(self, members: _Members) -> _Merged:
        """Gives what an update makes of it.

        A member that is missing or null stays as it was, any other is replaced as a whole; one that
        cannot be read is replaced too, by none, or by one that is not whole.
        """
        kind, title, status = members.kind, members.title, members.status
        locations, content, raw_input = members.locations, members.content, members.raw_input
        return _Merged(
            _kind(kind) if _is_given(kind) else self.kind,
            _title(title) if _is_given(title) else self.title,
            _text(status) in _FINISHED if _is_given(status) else self.is_finished,
            read_locations(locations) if _is_given(locations) else self.locations,
            read_content(content) if _is_given(content) else self.content,
            read_input(raw_input) if _is_given(raw_input) else self.raw_input,
        )

    def as_tool_call(self, tool_call_id: str | None) -> ToolCall:
        named = (self.locations, self.content, self.raw_input)
        return ToolCall(
            tool_call_id=tool_call_id,
            kind=self.kind,
            title=self.title,
            paths=tuple(dict.fromkeys(path for part in named for path in part.paths)),
            commands=self.raw_input.commands,
            whole=tool_call_id is not None and all(part.whole for part in named),
        )


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
        members = decode(_members, update)
        if members is None:
            return
        announcement = _text(members.session_update)
        tool_call_id = _identity(members)
        if tool_call_id is None or announcement not in ("tool_call", "tool_call_update"):
            return
        known = self._forget(tool_call_id)
        if announcement == "tool_call" and known.is_finished:
            known = _Merged()
        self._keep(tool_call_id, known.updated(members))

    def merged(self, tool_call: bytes | None) -> ToolCall:
        """Gives what is known of the tool call that a permission is asked for.

        Args:
            tool_call: The raw JSON of the request's `params.toolCall`, which counts as the call's
                latest update and is not kept; None where there is none.
        """
        members = decode(_members, tool_call or b"")
        if members is None:
            return ToolCall(whole=False)
        tool_call_id = _identity(members)
        known = self._lookup(tool_call_id) if tool_call_id is not None else _Merged()
        return known.updated(members).as_tool_call(tool_call_id)

    def _lookup(self, tool_call_id: str) -> _Merged:
        return self._open.get(tool_call_id) or self._finished.get(tool_call_id) or _Merged()

    def _keep(self, tool_call_id: str, merged: _Merged) -> None:
        (self._finished if merged.is_finished else self._open)[tool_call_id] = merged
        self._chars += len(tool_call_id) + merged.size
        while len(self) > self._most or self._chars > self._most_chars:
            self._forget(next(iter(self._finished or self._open)))

    def _forget(self, tool_call_id: str) -> _Merged:
        known = self._open.pop(tool_call_id, None) or self._finished.pop(tool_call_id, None)
        if known is None:
            return _Merged()
        self._chars -= len(tool_call_id) + known.size
        return known


def _is_given(raw: msgspec.Raw) -> bool:
    """Whether an update has a member: null is as good as none (ACP, "Tool Calls")."""
    return len(raw) > 0 and (len(raw) != len(_NULL) or bytes(raw) != _NULL)


def _identity(members: _Members) -> str | None:
    tool_call_id = _text(members.tool_call_id)
    return tool_call_id if tool_call_id and len(tool_call_id) <= MAX_ID else None


def _kind(raw: msgspec.Raw) -> str | None:
    kind = _text(raw)
    return kind if kind in TOOL_KINDS else None


def _title(raw: msgspec.Raw) -> str | None:
    title = _text(raw)
    if title is None or len(title) <= MAX_TITLE:
        return title
    return title[: MAX_TITLE - 1] + "…"


def _text(raw: msgspec.Raw) -> str | None:
    return decode(_string, raw)
