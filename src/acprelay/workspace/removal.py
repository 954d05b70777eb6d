"""Takes a worktree away: its directory, what git knows of it, and its refs.

`refusal` decides whether it may go; the rest does what is decided. A removal that is interrupted
leaves the worktree marked unfinished, and removing it again completes that; one that git refuses
leaves it as it was.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from acprelay.errors import WorkspaceError
from acprelay.workspace import commands, names
from acprelay.workspace.failures import failure, lock_in_the_way
from acprelay.workspace.folders import is_directory, remove_empty
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.records import Record
from acprelay.workspace.ref_locks import RefLock, locks_on
from acprelay.workspace.repository import Repository

_DIED = 128
"""Git's exit code where it refuses, before it has touched anything."""


def refusal(
    status: WorktreeStatus, *, top: str, elsewhere: str | None, force: bool
) -> WorkspaceError | None:
    """Tells why a worktree is not removed; None where nothing speaks against it. Pure.

    Args:
        status: What is in it.
        top: The tree that git is to work in meanwhile.
        elsewhere: Where else its branch is checked out; None for nowhere.
        force: Whether work that would be lost, and a lock, count for nothing.
    """
    name = status.name
    if status.users:
        return WorkspaceError(
            f"cannot remove worktree {name!r}: in use by {', '.join(status.users)}",
            hint="stop its session, end what else runs there, and leave the directory",
        )
    if status.path == top:
        return WorkspaceError(
            f"cannot remove worktree {name!r} from within",
            hint="name the project's tree with --repo",
        )
    if elsewhere is not None:
        return WorkspaceError(
            f"cannot remove worktree {name!r}: its branch is checked out in {elsewhere!r}",
            hint="check out another branch there first",
        )
    if not force and status.locked is not None:
        reason = f" ({status.locked})" if status.locked else ""
        return WorkspaceError(
            f"cannot remove worktree {name!r}: it is locked{reason}",
            hint=f"unlock it with git worktree unlock, or remove it with --force {name}",
        )
    if not force and status.work is not None:
        return WorkspaceError(
            f"cannot remove worktree {name!r}: it holds {status.work}",
            hint=f"commit and merge that first; --force {name} loses it",
        )
    return None


async def remove(repository: Repository, record: Record, *, force: bool) -> None:
    """Removes a worktree that `refusal` lets go. To be carried out whole.

    Where something has changed in it meanwhile, it is not lost: without force git looks once more
    at the files, and a branch that has moved is not deleted.

    Raises:
        WorkspaceError: Something is left.
    """
    refs = dict(record.refs)
    mark = names.refs_of(record.slot)[2]
    if record.finished:
        await repository.ask(commands.mark_unfinished(record.slot, base=record.base))
        refs[mark] = record.base
    if record.entry is not None and record.finished and not force:
        await _remove_clean(repository, record.entry.path, mark={mark: record.base})
    elif record.entry is not None:
        await remove_directory(repository, record.entry.path)
    await delete_known_refs(repository, refs)


async def remove_directory(repository: Repository, path: str) -> None:
    """Removes a worktree's directory, whatever is in it, and what git knows of it.

    Directories above it that are empty then go too. To be carried out whole.

    Args:
        repository: Whose.
        path: Where it is.

    Raises:
        WorkspaceError: Something is left.
    """
    top = repository.project.top
    removal = commands.remove_worktree(path, force=True)
    answer = await repository.git.run(removal, at=top)
    if is_directory(path):
        await _delete_files(path)
    if answer.code != 0:
        # Git knew nothing of it, or could not remove all of it: what it knows goes now.
        await repository.git.run(removal, at=top)
        known = await repository.worktrees()
        if any(entry.path == path for entry in known):
            raise failure(f"remove {path!r}", answer.err)
    remove_empty(Path(path).parent)


async def delete_refs(repository: Repository, slot: str) -> None:
    """Deletes a slot's branch and refs, as they are now. To be carried out whole. Idempotent.

    For whoever owns the refs, and has waited for the end of every git that it ran on them. One that
    was killed may have left a lock file on a ref. So a lock that is there at the beginning, and is
    the same file still when git has waited in vain for it, is taken for dead, and removed. Locks
    that come later, those on the refs of others, and what all refs share (`packed-refs.lock`) stay,
    whoever has them.

    Raises:
        WorkspaceError: They cannot be deleted.
    """
    owned = names.refs_of(slot)
    locks = locks_on(owned, common=repository.project.common)
    refs = await repository.refs()
    present = {name: refs[name] for name in owned if name in refs}
    absent = [name for name in locks if name not in refs]
    if not present and not absent:
        return
    deletion = commands.delete_refs(present, absent=absent)
    answer = await repository.git.run(deletion, at=repository.project.top)
    while answer.code != 0 and _remove_dead(lock_in_the_way(answer.err), locks.values()):
        answer = await repository.git.run(deletion, at=repository.project.top)
    if answer.code != 0:
        raise failure(f"delete {', '.join([*present, *absent])}", answer.err)


async def delete_known_refs(repository: Repository, refs: dict[str, str]) -> None:
    """Deletes refs, all or none, and only if each has its value still.

    Raises:
        WorkspaceError: They cannot be deleted, or one has changed.
    """
    if refs:
        answer = await repository.git.run(commands.delete_refs(refs), at=repository.project.top)
        if answer.code != 0:
            raise failure(f"delete {', '.join(refs)}", answer.err)


async def _remove_clean(repository: Repository, path: str, *, mark: dict[str, str]) -> None:
    answer = await repository.git.run(commands.remove_worktree(path), at=repository.project.top)
    if answer.code == _DIED:
        # Still marked, it would go by force the next time, with the change that git has seen.
        await delete_known_refs(repository, mark)
    if answer.code != 0:
        raise failure(f"remove {path!r}", answer.err)
    remove_empty(Path(path).parent)


async def _delete_files(path: str) -> None:
    try:
        await asyncio.to_thread(shutil.rmtree, path)
    except OSError as error:
        raise WorkspaceError(
            f"cannot remove {path!r}: {error.strerror or error}",
            hint="mend the cause, and remove it again with acprelay worktrees remove",
        ) from error


def _remove_dead(taken: str | None, locks: Iterable[RefLock]) -> bool:
    """Removes the lock that git found taken if it is one of these; tells whether it did."""
    return taken is not None and any(lock.is_at(taken) and lock.remove() for lock in locks)
