"""Keeps sessions in memory.

Besides the map from key to value there is one index for each thing that a filter can name; an entry
of an index is the map of the sessions that share that value. A list starts from the smallest of the
entries that its filter names, so it costs what is there and not what is stored.

This module does not know the lifecycle: it would store any value.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from threading import Lock
from typing import TypeAlias

from acprelay.errors import Conflict, SessionExists
from acprelay.session.models import Session, SessionFilter, SessionKey, SessionState

_Sessions: TypeAlias = dict[SessionKey, Session]
_Facet: TypeAlias = tuple[str, str]


class MemoryStore:
    """A `SessionStore` that lasts as long as the process.

    Safe from several threads, and from several event loops: a lock is held for the length of a few
    dictionary operations and never across an await. No method ever waits for anything else, so none
    can be cancelled half-way. Revisions are counted over the whole store.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._revision = 0
        self._sessions: _Sessions = {}
        self._index: dict[_Facet, _Sessions] = {}

    async def insert(self, session: Session) -> Session:
        """Store the first value under its key, as `SessionStore.insert` says."""
        with self._lock:
            if session.key in self._sessions:
                raise SessionExists(key=str(session.key))
            return self._put(self._stamped(session))

    async def get(self, key: SessionKey) -> Session | None:
        """Return the value under a key, if there is one."""
        with self._lock:
            return self._sessions.get(key)

    async def replace(self, session: Session, *, expected_revision: int) -> Session:
        """Store another value under its key, as `SessionStore.replace` says."""
        with self._lock:
            self._drop(self._expected(session.key, expected_revision))
            return self._put(self._stamped(session))

    async def remove(self, session: Session, *, expected_revision: int) -> Session:
        """Take the value under a key out, as `SessionStore.remove` says."""
        with self._lock:
            self._drop(self._expected(session.key, expected_revision))
            return self._stamped(session)

    async def list(
        self,
        filter: SessionFilter | None = None,  # noqa: A002 - the word every caller expects
    ) -> builtins.list[Session]:
        """Return the values that satisfy a filter, or all of them."""
        if filter is None:
            filter = SessionFilter()  # noqa: A001 - likewise
        with self._lock:
            candidates = [*chain.from_iterable(part.values() for part in self._narrowed(filter))]
        return [session for session in candidates if filter.matches(session)]

    async def count(self) -> int:
        """Count the values."""
        with self._lock:
            return len(self._sessions)

    async def state_counts(self) -> dict[SessionState, int]:
        """Count the values of every state."""
        with self._lock:
            return {state: len(self._index.get(("state", state), ())) for state in SessionState}

    def _expected(self, key: SessionKey, revision: int) -> Session:
        stored = self._sessions.get(key)
        if stored is None or stored.revision != revision:
            found = None if stored is None else stored.revision
            raise Conflict(key=str(key), expected=revision, found=found)
        return stored

    def _stamped(self, session: Session) -> Session:
        self._revision += 1
        return replace(session, revision=self._revision)

    def _put(self, session: Session) -> Session:
        self._sessions[session.key] = session
        for facet in _facets(session):
            self._index.setdefault(facet, {})[session.key] = session
        return session

    def _drop(self, session: Session) -> None:
        del self._sessions[session.key]
        for facet in _facets(session):
            entry = self._index[facet]
            del entry[session.key]
            if not entry:
                del self._index[facet]

    def _narrowed(self, wanted: SessionFilter) -> tuple[_Sessions, ...]:
        """Tell the fewest sessions that hold everything the filter can match, in disjoint parts."""
        return min(self._ways_in(wanted), key=lambda parts: sum(map(len, parts)))

    def _ways_in(self, wanted: SessionFilter) -> Iterator[tuple[_Sessions, ...]]:
        yield (self._sessions,)
        named = {"session_id": wanted.session_id, "role": wanted.role, "agent": wanted.agent}
        for name, value in named.items():
            if value is not None:
                yield (self._index.get((name, value), {}),)
        if wanted.states is not None:
            yield tuple(self._index.get(("state", state), {}) for state in wanted.states)


def _facets(session: Session) -> tuple[_Facet, ...]:
    return (
        ("session_id", session.session_id),
        ("role", session.role),
        ("agent", session.spec.agent),
        ("state", session.state),
    )
