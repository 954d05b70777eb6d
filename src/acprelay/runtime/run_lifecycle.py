"""The lifecycle of runs, as far as the relay itself moves it: created, ended, counted.

It tells the session manager what shall be, and the manager's rules decide. It knows keys and runs,
and nothing of conversations.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakValueDictionary

from acprelay.errors import InvalidTransition, SessionEnded, SessionNotFound, StoreError
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.background import Background
from acprelay.runtime.run_places import RunPlaces
from acprelay.session.models import Handle, Session, SessionKey, SessionSpec
from acprelay.session.ports import ConnectionRegistry, SessionManager

logger = logging.getLogger(__name__)

_COUNTED_AT_ONCE = 256


class RunLifecycle:
    """Creates and ends the runs of a relay.

    Args:
        manager: The lifecycle of sessions.
        registry: Their live references.
        background: Owns the tasks.
        most: How many runs may live at once.
        most_each: How many of them one principal may have.
    """

    def __init__(
        self,
        *,
        manager: SessionManager[AgentRun],
        registry: ConnectionRegistry[AgentRun, object],
        background: Background,
        most: int,
        most_each: int,
    ) -> None:
        self._manager = manager
        self._registry = registry
        self._background = background
        self._places = RunPlaces(registry=registry, most=most, most_each=most_each)
        self._locks: WeakValueDictionary[SessionKey, asyncio.Lock] = WeakValueDictionary()

    # -- beginning

    async def create(
        self, spec: SessionSpec, *, sponsor: str | None, number: int = 1
    ) -> tuple[SessionKey, Handle[AgentRun, object]]:
        """Creates a session; gives its name and its handle.

        Args:
            spec: The session.
            sponsor: The id of the principal that the run is for; None for nobody's.
            number: Which run of the conversation it is.

        Raises:
            SessionError: There is one already, or it was ended at once.
            StoreError: It cannot be stored.
            LimitReached: As many runs live as may, or as that principal may have.
        """
        with self._places.creating(sponsor):
            key = (await self._manager.create(spec, run=number)).key
            self._places.created(key, sponsor)
        handle = self._registry.get(key)
        if handle is None:
            raise SessionEnded(key=str(key), reason="it was ended at once")
        return key, handle

    async def create_next(
        self, spec: SessionSpec, *, sponsor: str | None, count: Callable[[], int | None]
    ) -> Handle[AgentRun, object] | None:
        """Creates a further run under a key, once the one before it is gone.

        Args:
            spec: The session; its id is given.
            sponsor: The id of the principal that the run is for; None for nobody's.
            count: Called when it is time; gives the number of the run, or None if it is not wanted
                any more.

        Returns:
            Its handle, where it was still wanted.

        Raises:
            AgentError: A process of the run before it survives.
            SessionError: It was ended at once.
            StoreError: It cannot be stored.
            LimitReached: As many runs live as may, or as that principal may have.
        """
        key = SessionKey(spec.session_id or "", spec.role)
        async with self._alone(key):
            await self._end(key, "its run is over")
            number = count()
            if number is None:
                return None
            return (await self.create(spec, sponsor=sponsor, number=number))[1]

    # -- ending

    async def terminate(self, key: SessionKey, *, reason: str) -> None:
        """Begins to end a run. Idempotent; that there is none is no error."""
        with suppress(SessionNotFound):
            await self._manager.mark_terminating(key, reason=reason)

    def begin_termination(self, key: SessionKey, *, reason: str) -> None:
        """Does as `terminate`, for callers that do not wait."""
        self._background.start(self.terminate(key, reason=reason), name=f"termination of {key}")

    def abandon(self, run: AgentRun, reason: str) -> None:
        """Begins to end one run, and none that came after it. Idempotent."""
        handle = self._registry.get(run.key)
        if handle is not None and handle.agent is run:
            self.begin_termination(run.key, reason=reason)

    async def end(self, key: SessionKey, *, reason: str) -> None:
        """Ends a run, and returns once it is gone. Idempotent.

        Raises:
            AgentError: A process of its agent survives.
        """
        async with self._alone(key):
            await self._end(key, reason)

    async def end_all(self, *, reason: str) -> None:
        """Ends every run, and returns once all are gone, but for those that survive. Idempotent."""
        ending = [self.end(each.key, reason=reason) for each in await self._manager.list()]
        for failure in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(failure, BaseException):
                logger.error("cannot end a session: %s", failure, exc_info=failure)

    async def _end(self, key: SessionKey, reason: str) -> None:
        with suppress(SessionNotFound, InvalidTransition):
            await self._manager.mark_terminating(key, reason=reason)
            # Sessions only move forward: one that is not TERMINATING now is a later one.
            await self._manager.complete_cleanup(key)

    def _alone(self, key: SessionKey) -> asyncio.Lock:
        """Whoever ends a run or makes the next one does so without the others, and in order."""
        return self._locks.setdefault(key, asyncio.Lock())

    # -- looking

    async def find(self, key: SessionKey) -> tuple[Session, AgentRun | None] | None:
        """Gives the run under a key, also one that is ending, and its agent's end of it.

        Raises:
            StoreError: The store is out of reach.
        """
        try:
            session = await self._manager.get(key)
        except SessionNotFound:
            return None
        handle = self._registry.get(key)
        return session, None if handle is None else handle.agent

    # -- counting

    async def report_activity(self) -> None:
        """Tells the manager what runs have done since the last call."""
        for number, key in enumerate(self._registry, 1):
            if number % _COUNTED_AT_ONCE == 0:
                await asyncio.sleep(0)
            handle = self._registry.get(key)
            if handle is not None and handle.agent is not None:
                received, sent = handle.agent.take_activity()
                if received or sent:
                    await self._heartbeat(key, received=received, sent=sent)

    async def _heartbeat(self, key: SessionKey, *, received: int, sent: int) -> None:
        try:
            await self._manager.record_heartbeat(key, received=received, sent=sent)
        except StoreError as error:
            # Counts are lost, and nothing else: the next report is tried as if nothing had been.
            logger.warning("session %s: %s", key, error.message)
