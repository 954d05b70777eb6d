"""Answers `session/list` (ACP, "Session List"), page by page.

A cursor names the last session of a page by what the list is ordered by. So what is added or goes
away between two pages moves nothing else: a session that stays as it was is on exactly one page.
This module does not know where sessions are kept, nor who may see them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from acprelay.errors import InvalidParams
from acprelay.routing.recency import Place
from acprelay.routing.records import Worktree

_decode_place: Callable[[bytes], Place] = msgspec.json.Decoder(Place).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A session, as far as a list shows it.

    Attributes:
        session_id: As clients know it.
        cwd: The directory that its first client named.
        title: What its agent calls it.
        updated_at: When something last happened in it; seconds since the epoch.
        agent: The agent's name in the catalog.
        group: The group that it belongs to.
        role: Its role there.
        is_live: Whether its agent runs.
        worktree: Where its agent works, if that is a worktree of its own.
    """

    session_id: str
    cwd: str
    title: str | None
    updated_at: float
    agent: str
    group: str
    role: str
    is_live: bool
    worktree: Worktree | None = None


class _Params(msgspec.Struct):
    cwd: str | None = None
    cursor: str | None = None


def list_sessions(
    entries: Callable[[Place | None], Iterable[Listed]],
    params: bytes | None,
    *,
    page: int = 100,
) -> dict[str, Any]:
    """Answers a `session/list`, the session that changed last first.

    Args:
        entries: Gives the sessions that the client may see behind a place, in order; no more of
            them is looked at than the page takes.
        params: The request's raw params; None where there are none.
        page: How many sessions to name at most.

    Returns:
        The result, with a `nextCursor` where there are more sessions.

    Raises:
        InvalidParams: The params are malformed, or the cursor is none that was given out.
    """
    wanted = _read(params)
    after = None if wanted.cursor is None else _place_of(wanted.cursor)
    listed = (entry for entry in entries(after) if wanted.cwd in (None, entry.cwd))
    first = list(islice(listed, page + 1))
    result: dict[str, Any] = {"sessions": [_info(entry) for entry in first[:page]]}
    if len(first) > page:
        result["nextCursor"] = _cursor(_place(first[page - 1]))
    return result


def timestamp(at: float) -> str:
    """Writes a time, given in seconds since the epoch, as ISO 8601 has it: in UTC, to the ms."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(params: bytes | None) -> _Params:
    try:
        return msgspec.json.decode(params or b"null", type=_Params | None) or _Params()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot list sessions: {error}",
            hint="session/list takes params.cwd and params.cursor, both strings",
        ) from error


def _place(entry: Listed) -> Place:
    return -entry.updated_at, entry.session_id


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place_of(cursor: str) -> Place:
    try:
        return _decode_place(base64.b64decode(cursor, b"-_", validate=True))
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot go on from cursor {cursor[:80]!r}",
            hint="send a nextCursor as it was given, or none to begin anew",
        ) from error


def _info(entry: Listed) -> dict[str, Any]:
    title = {} if entry.title is None else {"title": entry.title}
    return {
        "sessionId": entry.session_id,
        "cwd": entry.cwd,
        **title,
        "updatedAt": timestamp(entry.updated_at),
        "_meta": {"acprelay": _own_info(entry)},
    }


def _own_info(entry: Listed) -> dict[str, Any]:
    worktree = {} if entry.worktree is None else {"worktree": asdict(entry.worktree)}
    return {
        "agent": entry.agent,
        "group": entry.group,
        "role": entry.role,
        "live": entry.is_live,
        **worktree,
    }
