"""How much of something each principal holds at a time: connections, streams.

It counts, and knows neither requests nor who principals are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from acprelay.config import Limits
from acprelay.errors import LimitReached


class Quota:
    """Counts what is held.

    Args:
        limit: What is held, in words.
        setting: The key of the configuration's `[limits]` that bounds it.
        most: How many one holder may have.
    """

    def __init__(self, *, limit: str, setting: str, most: int) -> None:
        self._limit = limit
        self._setting = setting
        self._most = most
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, holder: str) -> Iterator[None]:
        """Holds one for as long as the context lasts.

        Raises:
            LimitReached: The holder has as many as may be.
        """
        if self._held[holder] >= self._most:
            raise LimitReached(limit=self._limit, most=self._most, setting=self._setting)
        self._held[holder] += 1
        try:
            yield
        finally:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What each principal may hold.

    Attributes:
        connections: Connections of ACP, over whatever transport.
        streams: Event streams, of ACP and of the control API.
    """

    connections: Quota
    streams: Quota

    @classmethod
    def within(cls, limits: Limits) -> Self:
        """Makes those that limits ask for; nothing is held yet."""
        return cls(
            connections=Quota(
                limit="the connections of a principal",
                setting="principal-connections",
                most=limits.principal_connections,
            ),
            streams=Quota(
                limit="the event streams of a principal", setting="streams", most=limits.streams
            ),
        )
