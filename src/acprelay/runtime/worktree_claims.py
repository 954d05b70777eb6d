"""Worktrees of sessions that are being founded: each has a conversation in the end, or is undone.

A conversation that was founded keeps its worktree, whatever becomes of its runs: work is not thrown
away because a process ended. How worktrees are made is the business of `acprelay.workspace`.
"""

from __future__ import annotations

import logging

from acprelay.routing.records import Worktree
from acprelay.runtime.ports import Worktrees
from acprelay.session.models import Session, SessionKey

logger = logging.getLogger(__name__)


class WorktreeClaims:
    """A `Cleaner` that undoes what a start which came to nothing has made.

    Args:
        worktrees: Makes and undoes worktrees.
    """

    def __init__(self, *, worktrees: Worktrees) -> None:
        self._worktrees = worktrees
        self._claimed: dict[SessionKey, Worktree] = {}

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
        return worktree

    def settle(self, key: SessionKey) -> None:
        """Lets a conversation keep its worktree from now on. Idempotent."""
        self._claimed.pop(key, None)

    async def cleanup(self, session: Session) -> None:
        """Undoes the worktree of a session that was not founded. Idempotent.

        What an agent has already worked there is kept.

        Raises:
            WorkspaceError: It cannot be undone.
        """
        worktree = self._claimed.get(session.key)
        if worktree is not None:
            kept = await self._worktrees.discard(worktree)
            self.settle(session.key)
            if kept is not None:
                logger.info("session %s: its worktree stays: %s", session.key, kept)
