"""The worktrees of one repository: what is in each. Looks only; nothing is changed.

All that it knows comes from git and from the file system, so it needs no relay and no settings.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from acprelay.errors import WorkspaceError
from acprelay.workspace import commands, names, parsing
from acprelay.workspace.failures import failure
from acprelay.workspace.folders import is_directory
from acprelay.workspace.holds import is_held
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.occupants import Occupants, occupants_of
from acprelay.workspace.parsing import FileNumbers
from acprelay.workspace.process import Sink
from acprelay.workspace.records import Record, join
from acprelay.workspace.repository import Repository

_HELD = ("an agent of a relay",)


class Inventory:
    """Looks at the worktrees of a repository. Safe to cancel; raises `WorkspaceError`s of git's.

    Args:
        repository: Which.
        occupants: Tells which processes there are; called in a thread.
        at_once: How many worktrees are looked at at the same time.
    """

    def __init__(self, *, repository: Repository, occupants: Occupants, at_once: int = 4) -> None:
        self._repository = repository
        self._occupants = occupants
        self._room = asyncio.Semaphore(at_once)

    async def records(self) -> list[Record]:
        """Tells what git has, sorted by name."""
        refs, entries = await self._repository.refs(), await self._repository.worktrees()
        return join(refs, entries)

    async def look(self, records: Iterable[Record]) -> list[WorktreeStatus]:
        """Looks at some worktrees, in the order that they are given in."""
        chosen = list(records)
        running = await asyncio.to_thread(lambda: list(self._occupants()))
        users = occupants_of((each.entry.path for each in chosen if each.entry), running)
        looks: list[asyncio.Task[WorktreeStatus]] = []
        failed: list[WorkspaceError | ExceptionGroup[WorkspaceError]] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                looks += [tasks.create_task(self._look(each)) for each in chosen]
        except* WorkspaceError as errors:
            failed.extend(errors.exceptions)
        # Raised in there, it would be in a group of its own on Pythons up to 3.11.3.
        if failed:
            raise failed[0]
        return [
            replace(status, users=(*users.get(status.path or "", ()), *status.users))
            for status in (look.result() for look in looks)
        ]

    async def diff(self, record: Record, write: Sink) -> tuple[str, ...]:
        """Writes the patch from the base to what is there now, uncommitted changes included.

        Args:
            record: Of which worktree; of its branch alone where the directory is gone.
            write: Gets the patch, piece by piece.

        Returns:
            The paths of untracked files, which are in no patch.

        Raises:
            WorkspaceError: Git fails.
        """
        at, until = self._compared(record)
        answer = await self._repository.git.run(
            commands.diff(record.base, until), at=at, sink=write
        )
        if answer.code != 0:
            raise failure(f"compare {record.name!r} with its base", answer.err)
        return await self._untracked(record)

    async def numbers(self, record: Record) -> tuple[tuple[FileNumbers, ...], tuple[str, ...]]:
        """Tells how much differs in which files, and which are untracked."""
        at, until = self._compared(record)
        answer = await self._repository.ask(commands.diff_numbers(record.base, until), at=at)
        return parsing.parse_numbers(answer.out), await self._untracked(record)

    async def _look(self, record: Record) -> WorktreeStatus:
        async with self._room:
            entry = record.entry
            tips = sorted({tip for tip in (record.tip, entry.head if entry else None) if tip})
            changes, submodules, damage = await self._contents(record)
            return WorktreeStatus(
                name=record.name,
                branch=names.branch_of(record.slot) if record.tip else None,
                base=record.base,
                path=entry.path if entry else None,
                present=entry is not None and is_directory(entry.path),
                finished=record.finished,
                checked_out=entry.branch if entry else None,
                commits=await self._count(tips, record.base, unmerged=False),
                unmerged=await self._count(tips, record.base, unmerged=True),
                changes=changes,
                submodules=submodules,
                damage=damage,
                locked=entry.locked if entry else None,
                users=_HELD if entry is not None and is_held(entry.path) else (),
            )

    async def _contents(self, record: Record) -> tuple[tuple[str, ...], bool, str | None]:
        """Gives changes, whether there are submodules, and why neither can be told."""
        try:
            return await self._changes(record), await self._has_submodules(record), None
        except WorkspaceError as error:
            # The others are to be looked at all the same, and this one can be removed by force.
            # In what was never whole, nobody has worked.
            return (), False, error.message if record.was_whole else None

    async def _count(self, tips: Sequence[str], base: str, *, unmerged: bool) -> int:
        if not tips:
            return 0
        count = self._repository.count_unmerged if unmerged else self._repository.count
        return await count(tips, without=[base])

    async def _changes(self, record: Record) -> tuple[str, ...]:
        if record.entry is None or not is_directory(record.entry.path):
            return ()
        if not record.was_whole:
            return ()  # files that are not there yet are nobody's change
        path = record.entry.path
        if not _is_worktree(path):
            # Without it there is no way to tell what else has changed; a removal may have taken it
            return (".git",) if record.finished else ()
        changes = (await self._repository.status(path, untracked="all")).changes
        # What a removal has already taken is nobody's change
        return changes if record.finished else _still_there(path, changes)

    async def _has_submodules(self, record: Record) -> bool:
        if record.entry is None or not _is_worktree(record.entry.path):
            return False
        answer = await self._repository.ask(commands.own_directory(), at=record.entry.path)
        own = parsing.parse_path(answer.out)
        return (Path(record.entry.path) / own / "modules").is_dir()

    async def _untracked(self, record: Record) -> tuple[str, ...]:
        if record.entry is None or not _is_worktree(record.entry.path):
            return ()
        answer = await self._repository.ask(commands.list_untracked(), at=record.entry.path)
        return parsing.parse_paths(answer.out)

    def _compared(self, record: Record) -> tuple[str, str | None]:
        """Where to compare, and with which commit; None for the files as they are."""
        if record.entry is not None and _is_worktree(record.entry.path):
            return record.entry.path, None
        if record.tip is None:
            raise WorkspaceError(
                f"cannot compare {record.name!r} with its base: directory and branch are gone",
                hint="forget it with acprelay worktrees remove",
            )
        return self._repository.project.top, record.tip


def _still_there(path: str, changes: Iterable[str]) -> tuple[str, ...]:
    return tuple(each for each in changes if os.path.lexists(Path(path) / each))


def _is_worktree(path: str) -> bool:
    # Without this file git would take a repository further up for the one that is asked for
    return (Path(path) / ".git").is_file()
