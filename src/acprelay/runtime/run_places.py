"""How many runs may live at once.

It counts what the registry has, and what is being created: nothing is given back by hand, so no
creation that fails, and no run that ends in whatever way, can cost a place for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from acprelay.errors import LimitReached
from acprelay.runtime.agent_run import AgentRun
from acprelay.session.models import SessionKey
from acprelay.session.ports import ConnectionRegistry


class RunPlaces:
    """Places for runs.

    Args:
        registry: Has a handle for each run, from its creation until nothing is left of it.
        most: How many there are.
    """

    def __init__(self, *, registry: ConnectionRegistry[AgentRun, object], most: int) -> None:
        self._registry = registry
        self._most = most
        self._creating = 0
        self._living: set[SessionKey] = set()

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Holds a place for a run while it is being created; `created` follows within.

        Raises:
            LimitReached: There is none.
        """
        self._living = {key for key in self._living if self._registry.get(key) is not None}
        if len(self._living) + self._creating >= self._most:
            raise LimitReached(limit="sessions that run", most=self._most)
        self._creating += 1
        try:
            yield
        finally:
            self._creating -= 1

    def created(self, key: SessionKey) -> None:
        """Takes note that a run is there; its place is free once the registry has it no more."""
        self._living.add(key)
