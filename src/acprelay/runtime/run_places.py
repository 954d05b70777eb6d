"""How many runs may live at once.

It counts what the registry has, and what is being created: nothing is given back by hand, so no
creation that fails, and no run that ends in whatever way, can cost a place for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from acprelay.errors import LimitReached
from acprelay.runtime.agent_run import AgentRun
from acprelay.session.models import SessionKey
from acprelay.session.ports import ConnectionRegistry

_FEW = 16


class RunPlaces:
    """Places for runs.

    Args:
        registry: Has a handle for each run, from its creation until nothing is left of it.
        most: How many there are.
        most_each: How many of them one principal may have.
    """

    def __init__(
        self, *, registry: ConnectionRegistry[AgentRun, object], most: int, most_each: int
    ) -> None:
        self._registry = registry
        self._most = most
        self._most_each = most_each
        self._creating: Counter[str | None] = Counter()
        self._living: dict[SessionKey, str | None] = {}  # and a few that are gone
        self._each: Counter[str | None] = Counter()
        self._look_at = _FEW

    @contextmanager
    def creating(self, sponsor: str | None) -> Iterator[None]:
        """Holds a place for a run while it is being created; `created` follows within.

        Args:
            sponsor: The id of the principal that the run is for; None for nobody's.

        Raises:
            LimitReached: There is none, or none for this principal.
        """
        if len(self._living) >= self._look_at or self._is_full or self._has_enough(sponsor):
            self._look()
        if self._is_full:
            raise LimitReached(limit="sessions that run", most=self._most, setting="sessions")
        if self._has_enough(sponsor):
            raise LimitReached(
                limit="sessions of one principal that run",
                most=self._most_each,
                setting="sessions-per-principal",
            )
        self._creating[sponsor] += 1
        try:
            yield
        finally:
            self._creating[sponsor] -= 1
            if not self._creating[sponsor]:
                del self._creating[sponsor]

    def created(self, key: SessionKey, sponsor: str | None) -> None:
        """Takes note that a run is there; its place is free once the registry has it no more."""
        if key in self._living:  # a run before this one, which is gone
            self._each[self._living[key]] -= 1
        self._living[key] = sponsor
        self._each[sponsor] += 1

    @property
    def _is_full(self) -> bool:
        return len(self._living) + self._creating.total() >= self._most

    def _has_enough(self, sponsor: str | None) -> bool:
        own = self._each[sponsor] + self._creating[sponsor]
        return sponsor is not None and own >= self._most_each

    def _look(self) -> None:
        """Forgets those that are gone; done now and then, as it costs a look at all."""
        self._living = {
            key: each for key, each in self._living.items() if self._registry.get(key) is not None
        }
        self._each = Counter(self._living.values())
        self._look_at = max(_FEW, 2 * len(self._living))
