"""Worktrees of sessions: who founds one has a conversation in the end, or its worktree is undone.

While a session has a run, nobody removes its worktree.

A conversation that was founded keeps its worktree, whatever becomes of its runs: work is not thrown
away because a process ended. How worktrees are made is the business of `acprelay.workspace`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from acprelay.routing.records import Worktree
from acprelay.runtime.ports import Worktrees
from acprelay.session.models import Session, SessionKey

logger = logging.getLogger(__name__)


class WorktreeClaims:
    """A `Cleaner` that lets go of worktrees, and undoes those that a failed start has made.

    Args:
        worktrees: Makes and undoes worktrees.
    """

    def __init__(self, *, worktrees: Worktrees) -> None:
        self._worktrees = worktrees
        self._claimed: dict[SessionKey, Worktree] = {}
        self._releases: dict[SessionKey, Callable[[], None]] = {}

    async def claim(self, key: SessionKey, cwd: str) -> Worktree:
        """Makes a session's worktree; it is undone with the session's run unless `settle` comes.

        Cancelling is safe and leaves nothing behind.

        Args:
            key: The session.
            cwd: A directory of the project.

        Raises:
            WorkspaceError: It cannot be made.
        """
        worktree = await self._worktrees.create(key, cwd)
        self._claimed[key] = worktree
        await self.occupy(key, worktree)
        return worktree

    async def occupy(self, key: SessionKey, worktree: Worktree) -> None:
        """Keeps a worktree from being removed until the session's run is cleaned up.

        To be called once in a run. Cancelling is safe.
        """
        self._releases[key] = await self._worktrees.occupy(worktree)

    def settle(self, key: SessionKey) -> None:
        """Lets a conversation keep its worktree from now on. Idempotent."""
        self._claimed.pop(key, None)

    async def cleanup(self, session: Session) -> None:
        """Lets go of a session's worktree; undoes it if the session was not founded. Idempotent.

        What an agent has already worked there is kept.

        Raises:
            WorkspaceError: It cannot be undone.
        """
        release = self._releases.pop(session.key, None)
        if release is not None:
            release()
        worktree = self._claimed.get(session.key)
        if worktree is not None:
            kept = await self._worktrees.discard(worktree)
            self.settle(session.key)
            if kept is not None:
                logger.info("session %s: its worktree stays: %s", session.key, kept)
