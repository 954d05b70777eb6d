"""What all lists have in common: how many entries a page has, and where the next one begins."""

from __future__ import annotations

from typing import Annotated

import msgspec

from acprelay.server.api.operations import Taken

MOST = 500

Limit = Annotated[
    int, msgspec.Meta(ge=1, le=MOST, description="How many entries a page has at most.")
]

Cursor = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=1000,
        pattern="^[A-Za-z0-9_=-]+$",
        description="The `nextCursor` of the page before, as it was given.",
    ),
]


class PageQuery(Taken, frozen=True, kw_only=True):
    """Which page of a list.

    Attributes:
        limit: How many entries it has at most.
        cursor: Where it begins; None for the start.
    """

    limit: Limit = 100
    cursor: Cursor | None = None
