"""Merges a worktree's branch into the branch that is checked out in the project's tree.

Whole or not at all: a merge that does not succeed is undone, and the tree is as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.errors import WorkspaceError
from acprelay.workspace import commands, parsing
from acprelay.workspace.failures import cause_of, failure
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.parsing import TreeStatus
from acprelay.workspace.repository import Repository
from acprelay.workspace.uninterrupted import to_the_end

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge did.

    Attributes:
        name: The worktree's.
        into: The branch of the project.
        commits: How many commits of the worktree's branch came into it; 0 where it had them all.
        left: How many uncommitted changes stay behind in the worktree.
    """

    name: str
    into: str
    commits: int
    left: int


def objection(status: WorktreeStatus, tree: TreeStatus, *, top: str) -> WorkspaceError | None:
    """Tells why nothing can be merged; None where nothing speaks against it. Pure.

    Args:
        status: The worktree.
        tree: The project's tree, without untracked files.
        top: Where it is.
    """
    name = status.name
    if tree.branch is None or tree.head is None:
        state = "no branch" if tree.branch is None else f"{tree.branch!r}, which has no commits"
        return WorkspaceError(
            f"cannot merge worktree {name!r}: {top!r} is on {state}",
            hint="check out the branch that is to have the work",
        )
    if tree.changes:
        return WorkspaceError(
            f"cannot merge worktree {name!r}: {top!r} has uncommitted changes "
            f"({_listed(tree.changes)})",
            hint="commit or stash them first",
        )
    if status.branch is None:
        return WorkspaceError(
            f"cannot merge worktree {name!r}: its branch is gone",
            hint="merge by hand what git worktree list shows to be checked out there",
        )
    if tree.branch == status.branch:
        return WorkspaceError(
            f"cannot merge worktree {name!r}: {top!r} has its own branch checked out",
            hint="name the project's tree with --repo",
        )
    if status.present and status.checked_out != status.branch:
        where = f"branch {status.checked_out!r}" if status.checked_out else "no branch"
        return WorkspaceError(
            f"cannot merge worktree {name!r}: its work goes on on {where}",
            hint="merge that by hand, or check out its own branch in it",
        )
    return None


async def merge(repository: Repository, status: WorktreeStatus) -> Merged:
    """Merges a worktree's branch into the branch of the repository's tree.

    Once git has begun to merge, a cancellation takes effect after that.

    Raises:
        WorkspaceError: It cannot be merged; the project's tree is as it was.
    """
    top = repository.project.top
    tree = await repository.status(untracked="no")
    objected = objection(status, tree, top=top)
    if objected is not None:
        raise objected
    if (await repository.git.run(commands.is_merging(), at=top)).code == 0:
        # One without changes: undoing ours would undo it too
        raise WorkspaceError(
            f"cannot merge worktree {status.name!r}: another merge is under way in {top!r}",
            hint="conclude it with git commit, or undo it with git merge --abort, first",
        )
    branch, into = str(status.branch), str(tree.branch)
    commits = await repository.count([f"refs/heads/{branch}"], without=[str(tree.head)])
    if commits:
        await to_the_end(_merge(repository, branch, into=into))
    return Merged(name=status.name, into=into, commits=commits, left=len(status.changes))


async def _merge(repository: Repository, branch: str, *, into: str) -> None:
    top = repository.project.top
    name = await _unambiguous(repository, branch)
    answer = await repository.git.run(commands.merge(name), at=top)
    if answer.code == 0:
        return
    action = f"merge {branch!r} into {into!r}"
    if (await repository.git.run(commands.is_merging(), at=top)).code != 0:
        raise failure(action, answer.err or answer.out.decode(errors="replace"))
    conflicts = parsing.parse_paths((await repository.ask(commands.list_conflicts())).out)
    aborted = await repository.git.run(commands.abort_merge(), at=top)
    if aborted.code != 0:
        raise WorkspaceError(
            f"cannot {action}, and cannot undo it: git says: {cause_of(aborted.err)}",
            hint=f"look at {top!r}, and undo it with git merge --abort",
        )
    if not conflicts:
        raise failure(action, answer.err or answer.out.decode(errors="replace"))
    raise WorkspaceError(
        f"cannot {action}: both have changed {_listed(conflicts)}",
        hint=f"nothing is changed; merge by hand with git merge {branch}, and resolve that",
    )


async def _unambiguous(repository: Repository, branch: str) -> str:
    """Gives the branch's short name, which git then writes of, unless a tag has it too."""
    full = f"refs/heads/{branch}"
    answer = await repository.ask(commands.resolve(branch, full))
    short_id, full_id, *_ = answer.out.split()
    return branch if short_id == full_id else full


def _listed(paths: tuple[str, ...]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
