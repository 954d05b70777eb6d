"""A `Cleaner` (`acprelay.session.ports`) for what a session's start leaves of a worktree.

A session is one run of a conversation, and the next run needs the worktree again. So the end of a
session removes what is half made, and keeps the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from acprelay.session.models import Session
from acprelay.workspace.worktrees import Worktrees

logger = logging.getLogger(__name__)


class WorktreeCleaner:
    """Takes away what a session has left of a worktree, without any work in it.

    To run once the session's agent has ended, as it works in the worktree.

    Args:
        worktrees: Has them.
        project_of: Tells a directory of the project (not of the worktree) for a session that is to
            have a worktree; None for one that is to have none.
        keep: Whether a worktree that is whole is kept, also without work in it. One with work in
            it, or that somebody works in, is kept in any case.
    """

    def __init__(
        self,
        *,
        worktrees: Worktrees,
        project_of: Callable[[Session], str | None],
        keep: bool = True,
    ) -> None:
        self._worktrees = worktrees
        self._project_of = project_of
        self._keep = keep

    async def cleanup(self, session: Session) -> None:
        """Leaves nothing half made behind. Idempotent.

        Raises:
            WorkspaceError: Something is left that was to go.
        """
        project = self._project_of(session)
        if project is None:
            return
        kept = await self._worktrees.tidy(session.key, project, keep=self._keep)
        if kept is not None:
            logger.info("the worktree of %s stays: %s", session.key, kept)
