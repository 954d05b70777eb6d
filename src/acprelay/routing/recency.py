"""Conversations in the order that lists have: what changed last comes first. Pure.

To bring one into the place that it has now costs the same however many there are, but for moving
pointers; so does finding where a page begins.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice

from acprelay.session.models import SessionKey

Place = tuple[float, str]
"""What lists are ordered by: the latest change in seconds since the epoch, negated, then the id."""


class Recency:
    """The order of conversations."""

    def __init__(self) -> None:
        self._order: list[tuple[float, str, SessionKey]] = []
        self._known: dict[SessionKey, tuple[float, str, SessionKey]] = {}

    def put(self, key: SessionKey, updated_at: float) -> None:
        """Takes a conversation in, or brings it to where it belongs by now.

        Args:
            key: Its name.
            updated_at: When something last happened in it; seconds since the epoch.
        """
        self.drop(key)
        entry = (-updated_at, str(key), key)
        insort(self._order, entry)
        self._known[key] = entry

    def drop(self, key: SessionKey) -> None:
        """Lets go of a conversation. Idempotent."""
        entry = self._known.pop(key, None)
        if entry is not None:
            del self._order[bisect_left(self._order, entry)]

    def after(self, place: Place | None) -> Iterator[SessionKey]:
        """Gives those that come behind a place, in order; all of them for None.

        Nothing may be put or dropped before it is done.
        """
        begin = 0
        if place is not None:
            begin = bisect_left(self._order, place)  # before the conversation that has it
            begin += any(each[:2] == place for each in self._order[begin : begin + 1])
        return (key for _, _, key in islice(self._order, begin, None))
