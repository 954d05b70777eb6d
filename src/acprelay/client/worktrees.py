"""Worktrees: what sessions have worked in git worktrees of their own, on the relay's machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

from acprelay.client.calls import Calls, Value, pages, path


class WorktreeState(Value, frozen=True, kw_only=True):
    """A worktree.

    Attributes:
        session_id: The session that it was made for.
        repository: The top level of the tree that it was made from.
        base: The commit that it began at.
        present: Whether its directory is there.
        finished: Whether it was made whole, and is not half removed.
        commits: How many commits it has beyond its base.
        unmerged: How many of them would be lost with it.
        changes: Paths with uncommitted changes.
        merged: Whether it has commits, and all of them are in the project's branches.
        users: Who works in it.
        branch: The branch that was made for it.
        path: Where it is.
        checked_out: The branch that is checked out in it.
        work: What would be lost with it, in words.
        damage: Why git cannot tell what has changed in it.
        locked: Why it is locked.
    """

    session_id: str
    repository: str
    base: str
    present: bool
    finished: bool
    commits: int
    unmerged: int
    changes: tuple[str, ...]
    merged: bool
    users: tuple[str, ...]
    branch: str | None = None
    path: str | None = None
    checked_out: str | None = None
    work: str | None = None
    damage: str | None = None
    locked: str | None = None


class ChangedFile(Value, frozen=True, kw_only=True):
    """A file that differs from the base.

    Attributes:
        path: Its path.
        added: How many lines came; None for a binary file.
        deleted: How many went; likewise.
    """

    path: str
    added: int | None = None
    deleted: int | None = None


class WorktreeDetail(WorktreeState, frozen=True, kw_only=True):
    """A worktree, and what has changed in it since its base.

    Attributes:
        files: The files that differ.
        untracked: The paths of files that git does not know.
    """

    files: tuple[ChangedFile, ...]
    untracked: tuple[str, ...]


class MergeOutcome(Value, frozen=True, kw_only=True):
    """What a merge did.

    Attributes:
        session_id: The session whose worktree it was.
        into: The branch of the project that has the work now.
        commits: How many commits came into it.
        left: How many uncommitted changes stay behind in the worktree.
    """

    session_id: str
    into: str
    commits: int
    left: int


class _WorktreePage(Value, frozen=True, kw_only=True):
    worktrees: tuple[WorktreeState, ...]
    next_cursor: str | None = None


class WorktreeCalls(Calls):
    """What can be asked about worktrees. All raise as `RelayClient` says.

    Each takes `repository`, a directory of the repository, absolute: a worktree whose session was
    deleted is found by it. To name one takes the grant to manage everything; None is the session's
    own, and in a list those of all repositories that sessions have worktrees of.
    """

    def list_worktrees(self, *, repository: str | None = None) -> AsyncIterator[WorktreeState]:
        """Yields worktrees, in the order of their sessions' ids."""
        query = {"repository": repository}
        return pages(self._api, "/worktrees", _WorktreePage, lambda page: page.worktrees, query)

    async def get_worktree(
        self, session_id: str, *, repository: str | None = None
    ) -> WorktreeDetail:
        """Gives a worktree, and what has changed in it.

        Raises:
            NotFound: The session has none.
            WorkspaceError: Git cannot tell.
        """
        query = {"repository": repository}
        return await self._api.get(path("worktrees", session_id), WorktreeDetail, query=query)

    async def merge_worktree(
        self, session_id: str, *, repository: str | None = None
    ) -> MergeOutcome:
        """Merges a worktree's branch into the branch that its project is on, whole or not at all.

        Idempotent: what is merged stays so.

        Raises:
            NotFound: The session has none.
            WorkspaceError: It cannot be merged.
        """
        query = {"repository": repository}
        where = path("worktrees", session_id, "merge")
        return await self._api.post(where, {}, MergeOutcome, query=query)

    async def remove_worktree(
        self, session_id: str, *, repository: str | None = None, force: bool = False
    ) -> None:
        """Removes a worktree and its branch.

        Args:
            session_id: The session that it was made for.
            repository: A directory of its repository.
            force: Whether work that would be lost, and a lock, count for nothing.

        Raises:
            NotFound: The session has none, any more.
            WorkspaceError: It has work that is unmerged or uncommitted, or is in use.
        """
        query = {"repository": repository, "force": force}
        await self._api.delete(path("worktrees", session_id), type(None), query=query)
