"""How a terminated session is cleaned up: what is done, and when."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from acprelay.errors import RelayError
from acprelay.routing.feed import EventKind
from acprelay.routing.run_report import DORMANT
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.background import Background
from acprelay.runtime.feed import EventFeed
from acprelay.session.models import Session, SessionKey
from acprelay.session.ports import Cleaner, ConnectionRegistry

logger = logging.getLogger(__name__)

_RETRY_AFTER_S = (0.5, 2.0, 8.0, 30.0)


class AgentCleaner:
    """Ends a session's run: first its start, awaited, then its agent's process tree.

    Args:
        registry: The sessions' handles.
    """

    def __init__(self, *, registry: ConnectionRegistry[AgentRun, object]) -> None:
        self._registry = registry

    async def cleanup(self, session: Session) -> None:
        """Leaves no process of the session behind. Idempotent; not to be cancelled half-way.

        Raises:
            AgentError: A process survives.
        """
        handle = self._registry.get(session.key)
        if handle is None:
            return
        if handle.spawn_task is not None:
            # Awaited before anything else is ended: a start that is between fork and attach ends
            # its own process.
            handle.spawn_task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await handle.spawn_task
        if handle.agent is not None:
            await handle.agent.stop(session.reason or "terminated")


class CleanerChain:
    """Cleans up with several cleaners, one after another.

    One that fails keeps the later ones from running, as they may build on it; all run again with
    the next attempt, and take in their stride what is done already.

    Args:
        cleaners: In their order.
    """

    def __init__(self, *, cleaners: Sequence[Cleaner]) -> None:
        self._cleaners = cleaners

    async def cleanup(self, session: Session) -> None:
        """Ends it all. Idempotent, as its parts are.

        Raises:
            Exception: Whatever one of them raised.
        """
        for cleaner in self._cleaners:
            await cleaner.cleanup(session)


class BackgroundCleanupScheduler:
    """Cleans up at once, beside whoever terminated the session, and again where that failed.

    Args:
        background: Owns the tasks.
        feed: Is told when a session is gone.
        retry_after_s: How long to wait after each failure; the last attempt follows the last wait.
    """

    def __init__(
        self,
        *,
        background: Background,
        feed: EventFeed,
        retry_after_s: Sequence[float] = _RETRY_AFTER_S,
    ) -> None:
        self._background = background
        self._feed = feed
        self._retry_after_s = retry_after_s

    def schedule(self, key: SessionKey, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Begins a cleanup.

        Args:
            key: The session.
            cleanup: Cleans it up; called again after it failed, a few times, at growing intervals.
        """
        self._background.start(self._clean(key, cleanup), name=f"cleanup of {key}")

    async def _clean(self, key: SessionKey, cleanup: Callable[[], Awaitable[None]]) -> None:
        await self._try(key, cleanup)
        self._feed.add(EventKind.SESSION_STATE, key, {"state": DORMANT})

    async def _try(self, key: SessionKey, cleanup: Callable[[], Awaitable[None]]) -> None:
        for delay_s in self._retry_after_s:
            try:
                await cleanup()
            except Exception as error:
                logger.warning(
                    "cannot clean up session %s: %s; trying again in %g s",
                    key,
                    error,
                    delay_s,
                    exc_info=not isinstance(error, RelayError),
                )
                await asyncio.sleep(delay_s)
            else:
                return
        await cleanup()
