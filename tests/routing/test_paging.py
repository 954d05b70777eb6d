"""Lists, page by page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import InvalidParams
from acprelay.routing.paging import page_of, read_cursor, write_cursor


def read_all(entries: set[int], limit: int) -> list[int]:
    seen: list[int] = []
    cursor = None
    while True:
        page = page_of(
            entries, place=lambda n: (float(n),), shape=tuple[float], cursor=cursor, limit=limit
        )
        seen += page.entries
        cursor = page.next_cursor
        if cursor is None:
            return seen


@pytest.mark.requirement("api.cursors-skip-nothing")
@given(entries=st.sets(st.integers(-100, 100), max_size=30), limit=st.integers(1, 10))
def test_pages_together_are_the_list(entries: set[int], limit: int) -> None:
    assert read_all(entries, limit) == sorted(entries)


@pytest.mark.requirement("api.cursors-skip-nothing")
def test_what_goes_away_between_two_pages_moves_nothing_else() -> None:
    def page(entries: set[int], cursor: str | None) -> tuple[list[int], str | None]:
        found = page_of(
            entries, place=lambda n: (float(n),), shape=tuple[float], cursor=cursor, limit=2
        )
        return found.entries, found.next_cursor

    first, cursor = page({1, 2, 3, 4}, None)
    second, _ = page({3, 4}, cursor)

    assert (first, second) == ([1, 2], [3, 4])


@pytest.mark.parametrize("cursor", ["", "?", "é", "bm8=", write_cursor(["a"]), write_cursor([])])
def test_a_cursor_that_was_not_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidParams, match="cannot go on from cursor"):
        read_cursor(cursor, tuple[float])
