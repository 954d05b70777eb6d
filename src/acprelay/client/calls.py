"""What the operations of all resources have in common: values, variables in paths, and pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from acprelay.client.api_connection import ApiConnection, Query

EntryT = TypeVar("EntryT")


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base of what a relay gives and takes; members that a later one adds are passed over."""


class Page(Protocol):
    """One page of a list."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next one begins; None for the last one."""
        ...


PageT = TypeVar("PageT", bound=Page)


class Calls:
    """The base of what a client can ask for."""

    _api: ApiConnection


def path(*parts: str) -> str:
    """Gives a path below the API's, each part with escapes for what a path does not have."""
    return "".join("/" + quote(part, safe=":") for part in parts)


async def pages(
    api: ApiConnection,
    where: str,
    page: type[PageT],
    entries: Callable[[PageT], Sequence[EntryT]],
    query: Query,
) -> AsyncIterator[EntryT]:
    """Yields the entries of a list, and asks for each page once it is needed."""
    cursor: str | None = None
    while True:
        given = await api.get(where, page, query={**query, "cursor": cursor})
        for entry in entries(given):
            yield entry
        cursor = given.next_cursor
        if cursor is None:
            return
