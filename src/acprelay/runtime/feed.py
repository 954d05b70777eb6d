"""The relay's events for whoever watches: added by those who know of them, read from a ring.

A reader that is slow costs nothing and delays nobody: it finds out when it reads on. What events
mean is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from acprelay.errors import Unavailable
from acprelay.routing.events import Told
from acprelay.routing.feed import EventKind, Ring, Stretch
from acprelay.routing.frames import (
    NOTICE,
    PERMISSION_ASKED,
    PERMISSION_SETTLED,
    RUN_RESTARTED,
    TURN_ENDED,
    TURN_STARTED,
)
from acprelay.session.models import Session, SessionKey
from acprelay.session.ports import Clock, LifecycleHooks

_KINDS = {
    NOTICE: EventKind.NOTICE,
    PERMISSION_ASKED: EventKind.PERMISSION_ASKED,
    PERMISSION_SETTLED: EventKind.PERMISSION_SETTLED,
    RUN_RESTARTED: EventKind.RUN_RESTARTED,
    TURN_ENDED: EventKind.TURN_ENDED,
    TURN_STARTED: EventKind.TURN_STARTED,
}


class EventFeed:
    """Has the events of one relay. Belongs to the event loop's thread.

    Args:
        ring: Keeps the latest.
        clock: Wall-clock time.
    """

    def __init__(self, *, ring: Ring, clock: Clock) -> None:
        self.ring = ring
        self._clock = clock
        self._changed: asyncio.Future[None] | None = None
        self._is_closed = False

    def add(self, kind: EventKind, key: SessionKey, facts: Mapping[str, object]) -> None:
        """Tells everybody who watches that something has happened; never waits."""
        self.ring.add(kind, key, facts, at=self._clock.now())
        if self._changed is not None:
            self._wake()

    def close(self) -> None:
        """Has readers end once they have read what there is: the relay stops. Idempotent."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    def tell(self, key: SessionKey, told: Told) -> None:
        """Adds what a conversation has told its clients, as far as it is an event."""
        kind = _KINDS.get(told.method)
        if kind is not None:
            self.add(kind, key, told.fields)

    async def read(self, after: int, *, most: int) -> Stretch:
        """Gives what follows a place; waits until there is something.

        Cancelling is safe. Backpressure is the reader's: what it does not read is forgotten, and
        then it is told so.

        Args:
            after: The place.
            most: How many events to give at most.

        Raises:
            Unavailable: There is nothing, and nothing comes: the relay stops.
        """
        while self.ring.head <= after:
            if self._is_closed:
                raise Unavailable(
                    "cannot go on: the relay is stopping", hint="connect again once it is back"
                )
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)
        return self.ring.read(after, most=most)


class FeedHooks:
    """Adds what becomes of runs to the feed, and tells another hook as well.

    Args:
        feed: The feed.
        hooks: The other one.
    """

    def __init__(self, *, feed: EventFeed, hooks: LifecycleHooks) -> None:
        self._feed = feed
        self._hooks = hooks

    def on_activate(self, session: Session) -> None:
        """The session serves its client."""
        self._tell(session)
        self._hooks.on_activate(session)

    def on_terminate(self, session: Session) -> None:
        """The session ends."""
        self._tell(session)
        self._hooks.on_terminate(session)

    def _tell(self, session: Session) -> None:
        facts: dict[str, object] = {"state": str(session.state).lower(), "run": session.run}
        if session.reason is not None:
            facts["reason"] = session.reason
        self._feed.add(EventKind.SESSION_STATE, session.key, facts)
