"""What git's words mean when it fails. Pure; git runs in the C locale, so its words are English."""

from __future__ import annotations

import re

from acprelay.errors import WorkspaceError

_CONTENTION = re.compile(
    r"\.lock': File exists"
    r"|could not lock config file .*: File exists"
    r"|could not lock .*: (?:File exists|Resource temporarily unavailable)"
    r"|(?:could not|unable to) create (?:leading )?director(?:y|ies) (?:of|for) "
    r".*(?:File exists|No such file or directory)"
    # Git looks at every worktree, and at one that another git is making there is little to see.
    r"|failed to read \S.*/worktrees/.*/(?:commondir|gitdir|HEAD)"
)
_LOCK_FILE = re.compile(r"'([^'\n]*\.lock)': File exists")
_CAUSE = re.compile(r"^(?:fatal|error): (.*)$", re.MULTILINE)
_FOREIGN = re.compile(r"detected dubious ownership|unsafe repository")
_NO_REPOSITORY = re.compile(r"not a git repository")
_LONGEST = 300


def is_contention(errors: str) -> bool:
    """Whether git only found a lock taken, or lost a race, so that the same may succeed later."""
    return _CONTENTION.search(errors) is not None


def lock_in_the_way(errors: str) -> str | None:
    """The path of the lock file that git found taken; None where that is not what is wrong."""
    found = _LOCK_FILE.search(errors)
    return None if found is None else found[1]


def backoff(attempts: int, *, first_s: float, most_s: float) -> tuple[float, ...]:
    """How long to wait after each attempt but the last: twice as long every time, up to a bound.

    Args:
        attempts: How often it is tried altogether.
        first_s: The first wait.
        most_s: The longest.
    """
    return tuple(min(first_s * 2.0**number, most_s) for number in range(attempts - 1))


def cause_of(errors: str) -> str:
    """The first line in which git says what is wrong."""
    found = _CAUSE.search(errors)
    said = found[1] if found else errors.strip().split("\n")[-1]
    return said[:_LONGEST] or "git gives no reason"


def failure(action: str, errors: str) -> WorkspaceError:
    """Makes an error of a failure of git.

    Args:
        action: What cannot be done, such as `make a worktree of /project`.
        errors: What git said about it.
    """
    lock = lock_in_the_way(errors)
    if _FOREIGN.search(errors):
        return WorkspaceError(
            f"cannot {action}: the repository belongs to another user, and git does not trust it",
            hint="if you do, say so with: git config --global --add safe.directory DIRECTORY",
        )
    if _NO_REPOSITORY.search(errors):
        return WorkspaceError(
            f"cannot {action}: it is in no git repository",
            hint="choose a directory of a repository, or make it one with git init and a commit",
        )
    if lock is not None:
        return WorkspaceError(
            f"cannot {action}: {lock} is taken",
            hint="wait for the git command that has it; if there is none, a crash has left the "
            "file: remove it",
        )
    return WorkspaceError(
        f"cannot {action}: git says: {cause_of(errors)}",
        hint="mend what git complains about, and try again",
    )
