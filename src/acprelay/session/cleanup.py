"""Cleanup strategies for sessions that hold nothing, and for callers that drive cleanup themselves.

What really ends an agent lives with the agents; this module knows nothing of processes or files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from acprelay.session.models import Session, SessionKey


class NoOpCleaner:
    """A `Cleaner` for sessions that hold nothing that has to be ended."""

    async def cleanup(self, session: Session) -> None:
        """Do nothing."""


class NoOpScheduler:
    """A `CleanupScheduler` that schedules nothing: callers await `complete_cleanup` themselves."""

    def schedule(self, key: SessionKey, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Do nothing."""
