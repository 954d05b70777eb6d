"""Sessions as people and scripts see them.

Pure: it takes what the relay gave, and gives text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from acprelay.cli.terminal import one_line
from acprelay.client import Opened, Session, SessionDetail, WorktreeInfo
from acprelay.client.acp_messages import JsonObject, as_object

_NOTHING = "-"


def flat(session: Session) -> JsonObject:
    """Gives a session as scripts get it."""
    return {
        "sessionId": session.session_id,
        "group": session.group,
        "role": session.role,
        "agent": session.agent,
        "state": "live" if session.live else "dormant",
        "title": session.title,
        "cwd": session.cwd,
        "worktree": None if session.worktree is None else _whole(session.worktree),
        "updatedAt": session.updated_at,
    }


def flat_with_run(session: SessionDetail) -> JsonObject:
    """Gives a session and its run, as scripts get them; what the relay does not say is left out."""
    return {**flat(session), "turn": None, **msgspec.to_builtins(session.run)}


def opened_as_json(opened: Opened) -> JsonObject:
    """Gives what became of a role that was to be opened, as scripts get it."""
    return {
        "role": opened.role,
        **({} if opened.session_id is None else {"sessionId": opened.session_id}),
        **({} if opened.worktree is None else {"worktree": _whole(opened.worktree)}),
        **({} if opened.error is None else {"error": msgspec.to_builtins(opened.error)}),
    }


def _whole(worktree: WorktreeInfo) -> JsonObject:
    return {**msgspec.structs.asdict(worktree), "notes": list(worktree.notes)}


def row(session: JsonObject, *, now: datetime) -> tuple[str, ...]:
    """Gives the cells of a session's row in a list."""
    worktree = as_object(session["worktree"])
    return (
        str(session["sessionId"]),
        str(session["agent"]),
        str(session["state"]),
        short_time(str(session["updatedAt"]), now=now),
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


def short_time(text: str, *, now: datetime) -> str:
    """Gives a time of ISO 8601 as a list shows it: the minute of today, the day of any other time.

    Args:
        text: The time; other text is given as it is.
        now: The time now, with a zone.
    """
    try:
        time = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return text
    return f"{time:%H:%M}" if time.date() == now.astimezone().date() else f"{time:%Y-%m-%d}"


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
            case bool():
                yield f"{head}  {'yes' if each else 'no'}"
            case _:
                yield f"{head}  {one_line(str(each))}"
