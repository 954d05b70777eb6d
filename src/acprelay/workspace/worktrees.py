"""Worktrees as the relay uses them: one is made for a role, and discarded if its start fails.

What its user does with it later (`merging`, `removal`) needs none of this, only git.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from weakref import WeakValueDictionary

from acprelay.errors import WorkspaceError
from acprelay.routing.records import Worktree
from acprelay.session.models import SessionKey
from acprelay.workspace import names
from acprelay.workspace.creation import Creation, in_the_way, taken
from acprelay.workspace.folders import is_taken
from acprelay.workspace.git import GitRunner
from acprelay.workspace.holds import Release, hold
from acprelay.workspace.inventory import Inventory
from acprelay.workspace.occupants import Occupants
from acprelay.workspace.parsing import TreeStatus
from acprelay.workspace.records import Record
from acprelay.workspace.removal import refusal, remove
from acprelay.workspace.repository import Repository
from acprelay.workspace.uninterrupted import to_the_end

logger = logging.getLogger(__name__)

_SHORT_ID = 12


class Worktrees:
    """Makes worktrees, and discards those that nobody has worked in.

    Safe to use from many tasks at once, of one event loop; several relays may share a root.

    Args:
        root: The directory that worktrees are made in; made where it is missing.
        git: Runs git; a patient one, as others work in the same repositories.
        occupants: Tells which processes there are; called in a thread.
        filling: How many worktrees are filled with files at the same time; the rest waits.
    """

    def __init__(
        self, *, root: Path, git: GitRunner, occupants: Occupants, filling: int = 4
    ) -> None:
        self._root = root
        self._git = git
        self._occupants = occupants
        self._filling = asyncio.Semaphore(filling)
        # Gone when nobody holds it: a relay may see any number of repositories.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(self, key: SessionKey, cwd: str) -> Worktree:
        """Makes a worktree of the repository that a directory is in, on a branch of its own.

        It begins at the commit that is checked out there. Cancelling is safe at every instant, and
        returns once all that was made is gone again; so does a failure. Not idempotent: a key has
        one worktree. Creations in one repository register one after another, and at most as many
        as `filling` says write files.

        Args:
            key: Whom it is for.
            cwd: A directory of the project, its top level or any below.

        Raises:
            WorkspaceError: It cannot be made; nothing is left of it.
        """
        repository = await Repository.find(self._git, cwd)
        status = await repository.status()
        creation = Creation(
            repository=repository,
            slot=names.slot_of(key),
            base=_base(repository, status),
            root=self._checked_root(repository),
        )
        await self._check_free(repository, creation)
        try:
            return await self._make(repository, creation, status)
        except BaseException:
            await self._undo(creation)
            raise

    async def discard(self, worktree: Worktree) -> str | None:
        """Removes a worktree whose start has failed, unless it holds work.

        Idempotent. Once it has begun to remove, a cancellation takes effect after that.

        Returns:
            None where it is gone; else why it is kept, in words.

        Raises:
            WorkspaceError: Git fails, or something is left of it.
        """
        try:
            repository = await Repository.find(self._git, worktree.repository)
        except WorkspaceError:
            if is_taken(Path(worktree.repository) / ".git"):
                raise
            # Tried for ever, it would keep its session from ever having ended
            return f"the repository {worktree.repository!r} is gone"
        return await self._discard(repository, names.slot_of_branch(worktree.branch))

    async def occupy(self, worktree: Worktree) -> Release:
        """Keeps a worktree from being removed while an agent works in it. Cancelling is safe.

        Returns:
            What ends that, to be called once; the end of this process ends it, too.
        """
        return await hold(worktree.path)

    async def _make(
        self, repository: Repository, creation: Creation, status: TreeStatus
    ) -> Worktree:
        common = repository.project.common
        async with self._turn(common):
            await to_the_end(creation.register())
        async with self._filling:
            await creation.fill()
        workdir = creation.path / repository.project.prefix
        notes = [
            *_notes_on_project(status),
            *_notes_on_files(creation.path),
            *_make_workdir(creation.path, workdir),
        ]
        async with self._turn(common):
            await to_the_end(creation.finish())
        return Worktree(
            path=str(creation.path),
            workdir=str(workdir),
            branch=names.branch_of(creation.slot),
            base=creation.base,
            repository=repository.project.top,
            dirty=bool(status.changes),
            notes=tuple(notes),
        )

    async def _undo(self, creation: Creation) -> None:
        try:
            await to_the_end(creation.undo())
        except WorkspaceError:
            # The cause of it all reaches the caller; what is left is marked, and listed as such.
            logger.exception("cannot undo a half-made worktree")

    async def _discard(self, repository: Repository, slot: str) -> str | None:
        record = await self._record(repository, slot)
        if record is None:
            return None
        inventory = Inventory(repository=repository, occupants=self._occupants)
        [status] = await inventory.look([record])
        top = repository.project.top
        refused = refusal(status, top=top, elsewhere=record.elsewhere, force=False)
        if refused is not None:
            return refused.message
        async with self._turn(repository.project.common):
            await to_the_end(remove(repository, record, force=False))
        return None

    async def _record(self, repository: Repository, slot: str) -> Record | None:
        inventory = Inventory(repository=repository, occupants=self._occupants)
        found = [each for each in await inventory.records() if each.slot == slot]
        return found[0] if found else None

    async def _check_free(self, repository: Repository, creation: Creation) -> None:
        there = taken(creation.slot, await repository.refs())
        if there is not None:
            raise there
        if is_taken(creation.path):
            raise in_the_way(creation.path)

    def _checked_root(self, repository: Repository) -> Path:
        try:
            root = self._root.resolve()
        except (OSError, RuntimeError) as error:
            raise WorkspaceError(
                f"cannot make worktrees in {str(self._root)!r}: {error}",
                hint="choose another root for worktrees",
            ) from None
        for inside in (Path(repository.project.top).resolve(), Path(repository.project.common)):
            if inside == root or inside in root.parents:
                raise WorkspaceError(
                    f"cannot make worktrees in {str(root)!r}: it is inside of {str(inside)!r}",
                    hint="choose a root for worktrees outside of the project",
                )
        return root

    def _turn(self, common: str) -> asyncio.Lock:
        return self._turns.setdefault(common, asyncio.Lock())


def _base(repository: Repository, status: TreeStatus) -> str:
    if status.head is None:
        branch = f"branch {status.branch!r}" if status.branch else "its HEAD"
        raise WorkspaceError(
            f"cannot make a worktree of {repository.project.top!r}: {branch} has no commits yet",
            hint="commit something first, if only with git commit --allow-empty -m Begin",
        )
    return status.head


def _notes_on_project(status: TreeStatus) -> list[str]:
    notes = []
    if status.changes:
        count = len(status.changes)
        changes = "1 uncommitted change is" if count == 1 else f"{count} uncommitted changes are"
        notes.append(
            f"{changes} not in the worktree, which begins at commit {str(status.head)[:_SHORT_ID]}"
        )
    if status.branch is None:
        notes.append("the project is on no branch: check one out before you merge the work")
    return notes


def _notes_on_files(path: Path) -> list[str]:
    if (path / ".gitmodules").is_file():
        return [
            "submodules are not checked out in the worktree: where they are needed, run "
            "git submodule update --init there"
        ]
    return []


def _make_workdir(path: Path, workdir: Path) -> list[str]:
    """Makes the directory to work in where the commit does not have it; tells of it."""
    missing = not workdir.is_dir()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"cannot make the directory {str(workdir)!r}: {error.strerror or error}",
            hint="choose a directory that is one in the last commit, too",
        ) from error
    if not workdir.resolve().is_relative_to(path.resolve()):
        raise WorkspaceError(
            f"cannot work in {str(workdir)!r}: in the last commit it is a link that leads outside",
            hint="choose another directory of the project",
        )
    return [f"{workdir} is not in the commit, and is empty"] if missing else []
