"""Sessions as people and scripts see them.

Pure: it takes what the relay said, and gives text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from acprelay.cli.terminal import one_line
from acprelay.client.acp_messages import JsonObject, as_object

_NOTHING = "-"


def flat(entry: JsonObject) -> JsonObject:
    """Gives an entry of `session/list` without its levels: what scripts get."""
    own = as_object(as_object(entry.get("_meta")).get("acprelay"))
    return {
        "sessionId": entry.get("sessionId"),
        "group": own.get("group"),
        "role": own.get("role"),
        "agent": own.get("agent"),
        "state": "live" if own.get("live") is True else "dormant",
        "title": entry.get("title"),
        "cwd": entry.get("cwd"),
        "worktree": own.get("worktree"),
        "updatedAt": entry.get("updatedAt"),
    }


def row(session: JsonObject) -> tuple[str, ...]:
    """Gives the cells of a session's row in a list."""
    worktree = as_object(session["worktree"])
    return (
        str(session["sessionId"]),
        str(session["agent"]),
        str(session["state"]),
        local_time(str(session["updatedAt"])),
        str(worktree.get("workdir", session["cwd"])),
        str(session["title"] or _NOTHING),
    )


def details(session: JsonObject) -> Iterator[str]:
    """Gives the lines that tell everything of a session: names aligned, levels indented."""
    yield from _lines(session, indent="")


def local_time(text: str) -> str:
    """Gives a time of ISO 8601 as a clock here shows it; other text as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return text


def _lines(value: JsonObject, *, indent: str) -> Iterator[str]:
    width = max(map(len, value), default=0)
    for name, each in value.items():
        head = f"{indent}{name:<{width}}"
        match each:
            case dict() if each:
                yield f"{indent}{name}"
                yield from _lines(each, indent=indent + "  ")
            case list() if each:
                yield from (f"{head}  {one_line(str(item))}" for item in each)
            case None | [] | {}:
                yield f"{head}  {_NOTHING}"
            case _:
                yield f"{head}  {one_line(str(each))}"
