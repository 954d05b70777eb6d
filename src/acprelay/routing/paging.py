"""Lists, page by page.

A cursor names the last entry of a page by what the list is ordered by. So what is added or goes
away between two pages moves nothing else: an entry that stays as it was is on exactly one page.
This module does not know what is listed, nor who may see it.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import msgspec

from acprelay.errors import InvalidParams

EntryT = TypeVar("EntryT")

Place = tuple[float | str, ...]
"""What a list is ordered by; no two entries have the same."""


class Page(NamedTuple):
    """Part of a list.

    Attributes:
        entries: The entries, in order.
        next_cursor: Where the next page begins; None where there is none.
    """

    entries: list[Any]
    next_cursor: str | None


def page_of(
    entries: Iterable[EntryT],
    *,
    place: Callable[[EntryT], Place],
    shape: Any,
    cursor: str | None,
    limit: int,
) -> Page:
    """Gives one page of a list.

    Args:
        entries: The whole list, in any order.
        place: What it is ordered by.
        shape: The type of what `place` gives, as msgspec reads it.
        cursor: Where the page begins; None for the start.
        limit: How many entries to give at most.

    Raises:
        InvalidParams: The cursor is none that was given out.
    """
    after = None if cursor is None else read_cursor(cursor, shape)
    rest = (entry for entry in entries if after is None or place(entry) > after)
    first = heapq.nsmallest(limit + 1, rest, key=place)
    if len(first) <= limit:
        return Page(first, None)
    return Page(first[:limit], write_cursor(place(first[limit - 1])))


def write_cursor(place: object) -> str:
    """Writes a place so that nobody is tempted to read it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def read_cursor(cursor: str, shape: Any) -> Any:
    """Reads what `write_cursor` wrote.

    Raises:
        InvalidParams: It is something else.
    """
    try:
        return msgspec.json.decode(base64.b64decode(cursor, b"-_", validate=True), type=shape)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot go on from cursor {cursor[:80]!r}",
            hint="send a nextCursor as it was given, or none to begin anew",
        ) from error
