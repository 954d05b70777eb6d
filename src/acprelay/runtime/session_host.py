"""Opens sessions, and ends them: by request, with their agent, or with their client.

The host tells the session manager what shall be, and the manager's rules decide. It knows which
driver serves which session; what a driver does is the driver's own.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from acprelay.config import Limits
from acprelay.errors import (
    InvalidTransition,
    RelayError,
    SessionEnded,
    SessionNotFound,
    StoreError,
    Unavailable,
)
from acprelay.routing.attachment import Attachment
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.background import Background
from acprelay.runtime.opening import Opening
from acprelay.runtime.session_driver import SessionDriver
from acprelay.session.models import Session, SessionKey, SessionSpec
from acprelay.session.ports import ConnectionRegistry, IdGenerator, SessionManager

logger = logging.getLogger(__name__)


class SessionHost:
    """The relay's sessions at work.

    Args:
        manager: The lifecycle of sessions.
        registry: Their live references.
        pool: Gives agents.
        ids: Mints the generations of public logs.
        background: Owns the tasks.
        limits: Bounds.
    """

    def __init__(
        self,
        *,
        manager: SessionManager[SessionDriver],
        registry: ConnectionRegistry[SessionDriver, Attachment],
        pool: AgentPool,
        ids: IdGenerator,
        background: Background,
        limits: Limits,
    ) -> None:
        self._manager = manager
        self._registry = registry
        self._pool = pool
        self._ids = ids
        self.background = background
        self._limits = limits
        self._openings: set[asyncio.Task[None]] = set()
        self._closing = False

    def open(self, opening: Opening, spec: SessionSpec) -> None:
        """Begins to open a session; its client is answered once it is open, or why it is not."""
        task = self.background.start(self._open(opening, spec), name="opening of a session")
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    async def terminate(self, key: SessionKey, *, reason: str) -> None:
        """Begins to end a session. Idempotent; a session that is gone is no error."""
        with suppress(SessionNotFound):
            await self._manager.mark_terminating(key, reason=reason)

    def begin_termination(self, key: SessionKey, *, reason: str) -> None:
        """Does as `terminate`, for callers that do not wait."""
        self.background.start(self.terminate(key, reason=reason), name=f"termination of {key}")

    async def end(self, key: SessionKey, *, reason: str) -> None:
        """Ends a session, and returns once it is gone. Idempotent.

        Raises:
            AgentError: A process of its agent survives.
        """
        with suppress(SessionNotFound, InvalidTransition):
            await self._manager.mark_terminating(key, reason=reason)
            # Sessions only move forward: one that is not TERMINATING now is a later one.
            await self._manager.complete_cleanup(key)

    async def aclose(self, *, reason: str) -> None:
        """Takes no new sessions, ends all there are, and returns once they are gone. Idempotent."""
        self._closing = True
        while self._openings:  # what is being created is not listed yet
            await asyncio.wait(self._openings)
        sessions = await self._manager.list()
        ending = [self.end(session.key, reason=reason) for session in sessions]
        for failure in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(failure, BaseException):
                logger.error("cannot end a session: %s", failure, exc_info=failure)

    async def report_activity(self) -> None:
        """Tells the manager what sessions have done since the last call."""
        for key in self._registry:
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

    async def _open(self, opening: Opening, spec: SessionSpec) -> None:
        if self._closing:
            error = Unavailable(
                "cannot open a session: the relay is stopping", hint="connect again once it is back"
            )
            opening.refuse(error)
            return
        try:
            self._start(opening, await self._manager.create(spec))
        except RelayError as error:
            opening.refuse(error)
        except Exception:
            opening.refuse(RelayError("cannot open a session", hint="see the relay's log"))
            raise

    def _start(self, opening: Opening, session: Session) -> None:
        handle = self._registry.get(session.key)
        if handle is None:
            raise SessionEnded(key=str(session.key), reason="it was ended at once")
        driver = SessionDriver(
            key=session.key,
            generation=self._ids.mint(),
            opening=opening,
            manager=self._manager,
            pool=self._pool,
            limits=self._limits,
            on_lost=self._lost,
        )
        self.background.start(driver.start(handle), name=f"start of {session.key}")

    def _lost(self, driver: SessionDriver, reason: str) -> None:
        self.begin_termination(driver.key, reason=reason)
