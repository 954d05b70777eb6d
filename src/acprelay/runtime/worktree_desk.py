"""The worktrees of a relay's sessions, looked at, merged and removed for whoever asks.

The rules are those of `acprelay.workspace`, which needs no relay: nothing unmerged is lost but by
force. Which worktrees somebody may see is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from acprelay.errors import NotFound, WorkspaceError
from acprelay.session.models import SessionKey
from acprelay.workspace.git import GitRunner
from acprelay.workspace.inventory import Inventory
from acprelay.workspace.merging import Merged, merge
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.occupants import Occupants
from acprelay.workspace.parsing import FileNumbers
from acprelay.workspace.records import Record
from acprelay.workspace.removal import refusal, remove
from acprelay.workspace.repository import Repository
from acprelay.workspace.uninterrupted import to_the_end


class Found(NamedTuple):
    """A worktree that was found.

    Attributes:
        key: The session that it was made for.
        repository: The top level of the tree that it was made from.
        status: What is in it.
    """

    key: SessionKey
    repository: str
    status: WorktreeStatus


class Contents(NamedTuple):
    """What has changed in a worktree since its base.

    Attributes:
        base: The commit that it began at.
        files: How much differs in which files.
        untracked: The paths of files that git does not know.
    """

    base: str
    files: Sequence[FileNumbers]
    untracked: Sequence[str]


class _Held(NamedTuple):
    repository: Repository
    inventory: Inventory
    record: Record
    status: WorktreeStatus


class WorktreeDesk:
    """Looks after worktrees. Safe to use from many tasks.

    Args:
        git: Runs git.
        occupants: Tells which processes there are; called in a thread.
    """

    def __init__(self, *, git: GitRunner, occupants: Occupants) -> None:
        self._git = git
        self._occupants = occupants
        self._changing = asyncio.Lock()

    async def list(self, repositories: Iterable[str]) -> list[Found]:
        """Gives every worktree of some repositories, in the order of their names.

        Cancelling is safe. A repository that is gone has none.

        Args:
            repositories: Directories in them, absolute; two may be of the same.
        """
        found: dict[tuple[str, SessionKey], Found] = {}
        for directory in dict.fromkeys(repositories):
            try:
                repository = await Repository.find(self._git, directory)
                inventory = self._inventory(repository)
                records = await inventory.records()
                statuses = await inventory.look(records)
            except WorkspaceError:
                continue  # what is no repository any more has no worktrees
            for status in statuses:
                key = SessionKey.parse(status.name)
                entry = Found(key, repository.project.top, status)
                found.setdefault((repository.project.common, key), entry)
        return sorted(found.values(), key=lambda each: (each.key, each.repository))

    async def show(self, key: SessionKey, repository: str) -> tuple[Found, Contents]:
        """Gives a worktree, and what has changed in it. Cancelling is safe.

        Args:
            key: The session that it was made for.
            repository: A directory of the repository, absolute.

        Raises:
            NotFound: The repository has no such worktree.
            WorkspaceError: Git fails.
        """
        held = await self._hold(key, repository)
        files, untracked = await held.inventory.numbers(held.record)
        found = Found(key, held.repository.project.top, held.status)
        return found, Contents(held.record.base, files, untracked)

    async def merge(self, key: SessionKey, repository: str) -> Merged:
        """Merges a worktree's branch into the branch that is checked out in the project's tree.

        Idempotent: what is merged already stays so. Once git has begun to merge, a cancellation
        takes effect after that.

        Raises:
            NotFound: The repository has no such worktree.
            WorkspaceError: It cannot be merged; the project's tree is as it was.
        """
        async with self._changing:
            held = await self._hold(key, repository)
            return await merge(held.repository, held.status)

    async def remove(self, key: SessionKey, repository: str, *, force: bool) -> None:
        """Removes a worktree and its branch.

        Once it has begun, a cancellation takes effect after that.

        Args:
            key: The session that it was made for.
            repository: A directory of the repository, absolute.
            force: Whether work that would be lost, and a lock, count for nothing.

        Raises:
            NotFound: The repository has no such worktree.
            WorkspaceError: It is in use, or holds work, or git fails.
        """
        async with self._changing:
            held = await self._hold(key, repository)
            refused = refusal(
                held.status,
                top=held.repository.project.top,
                elsewhere=held.record.elsewhere,
                force=force,
            )
            if refused is not None:
                raise refused
            await to_the_end(remove(held.repository, held.record, force=force))

    async def _hold(self, key: SessionKey, directory: str) -> _Held:
        repository = await Repository.find(self._git, directory)
        inventory = self._inventory(repository)
        for record in await inventory.records():
            if record.name == str(key):
                [status] = await inventory.look([record])
                return _Held(repository, inventory, record, status)
        raise NotFound(what="worktree", name=str(key), hint="see the list of worktrees")

    def _inventory(self, repository: Repository) -> Inventory:
        return Inventory(repository=repository, occupants=self._occupants)
