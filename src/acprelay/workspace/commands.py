"""What git is asked, as values: pure functions from what is wanted to an argv.

Every command gets options that make it predictable, whatever the user's configuration says:

- no pager, no file-system monitor and no garbage collection: each may leave a process behind;
- no recursion into submodules, which may need a network and a password;
- no hooks, which may take any time and change anything, but for a merge: that is the user's own
  act on the user's own tree, and goes through the hooks that guard it.

This module starts nothing and knows no answer; `parsing` reads those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from acprelay.workspace.names import PREFIX, branch_of, refs_of

QUICK_S = 60.0
LONG_S = 900.0

_OPTIONS = (
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false"),
)
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One run of git.

    Attributes:
        args: What follows git's own options.
        stdin: What it reads, at most a few kilobytes.
        timeout_s: How long it may take.
        hooks: Whether the repository's hooks run.
    """

    args: tuple[str, ...]
    stdin: bytes = b""
    timeout_s: float = QUICK_S
    hooks: bool = False


def argv_of(command: Command, *, program: str, at: str) -> list[str]:
    """The whole argv.

    Args:
        command: What is asked.
        program: Git.
        at: The directory that it is about.
    """
    hooks = () if command.hooks else _NO_HOOKS
    return [program, *_OPTIONS, *hooks, "-C", at, *command.args]


def version() -> Command:
    """Asks which version it is."""
    return Command(args=("version",))


def locate() -> Command:
    """Asks whose directory it is; `parsing.parse_location` reads the answer, of a failure too."""
    places = ("--git-common-dir", "--show-prefix", "--show-toplevel")
    return Command(args=("rev-parse", "--is-bare-repository", *places))


def status(*, untracked: str) -> Command:
    """Asks for HEAD and the uncommitted changes of a tree, submodules' own included.

    Args:
        untracked: `no`, `normal` (a directory without tracked files is one entry) or `all`.
    """
    shown = (f"--untracked-files={untracked}", "--ignore-submodules=none", "--no-renames")
    return Command(args=("status", "--porcelain=v2", "--branch", "-z", *shown))


def list_refs() -> Command:
    """Asks for every ref of acprelay's, and every branch that could be in the way of one."""
    prefix = PREFIX.rstrip("/")
    shown = "--format=%(objectname) %(refname)"
    return Command(args=("for-each-ref", shown, f"refs/heads/{prefix}", f"refs/{prefix}"))


def list_worktrees() -> Command:
    """Asks for all worktrees of a repository."""
    return Command(args=("worktree", "list", "--porcelain"))


def claim(slot: str, *, base: str) -> Command:
    """Makes a slot's branch and marks it unfinished: both or neither, and only if both are new."""
    branch, _, unfinished = refs_of(slot)
    return _update_refs(f"create {unfinished} {base}", f"create {branch} {base}")


def finish(slot: str, *, base: str) -> Command:
    """Records the base and takes the mark away: both or neither."""
    _, recorded, unfinished = refs_of(slot)
    return _update_refs(f"create {recorded} {base}", f"delete {unfinished} {base}")


def mark_unfinished(slot: str, *, base: str) -> Command:
    """Marks what is about to be removed."""
    return _update_refs(f"update {refs_of(slot)[2]} {base}")


def delete_refs(refs: Mapping[str, str], *, absent: Iterable[str] = ()) -> Command:
    """Deletes refs, all or none, and only if each still has its value.

    Args:
        refs: The values by name.
        absent: Refs that are not to be there either; it fails if one is.
    """
    deletions = [f"delete {name} {value}" for name, value in refs.items()]
    return _update_refs(*deletions, *(f"verify {name}" for name in absent))


def add_worktree(slot: str, *, path: str) -> Command:
    """Makes a worktree of a slot's branch in an empty directory, without any files yet."""
    return Command(args=("worktree", "add", "--no-checkout", path, branch_of(slot)))


def fill_worktree() -> Command:
    """Writes the files of HEAD into a worktree that has none.

    Unlike `git reset --hard`, it takes no lock on the branch, which is not in the worktree: what a
    git that is killed leaves is in the worktree, and goes with it.
    """
    return Command(args=("read-tree", "--reset", "-u", "HEAD"), timeout_s=LONG_S)


def remove_worktree(path: str, *, force: bool = False) -> Command:
    """Removes a worktree, its directory or only what git knows of it.

    Args:
        path: Where it is.
        force: Whether it goes whatever is in it, and also where it is locked.
    """
    forced = ("--force", "--force") if force else ()  # the second one is for the lock
    return Command(args=("worktree", "remove", *forced, path), timeout_s=LONG_S)


def count_commits(tips: Iterable[str], *, without: Iterable[str]) -> Command:
    """Counts the commits that some tips have and others have not."""
    excluded = tuple(f"^{each}" for each in without)
    return Command(args=("rev-list", "--count", *tips, *excluded, "--"))


def count_unmerged(tips: Iterable[str], *, without: Iterable[str]) -> Command:
    """Counts the commits of tips that are on none of the branches but acprelay's own.

    Args:
        tips: What may have them.
        without: Commits that do not count either, with all before them.
    """
    others = (f"--exclude={PREFIX}*", "--branches")
    return Command(args=("rev-list", "--count", *tips, "--not", *without, *others, "--"))


def diff(since: str, until: str | None = None) -> Command:
    """Asks for a patch from a commit to another one, or to a worktree's files as they are."""
    return Command(args=("diff", *_diff_options(since, until)), timeout_s=LONG_S)


def diff_numbers(since: str, until: str | None = None) -> Command:
    """Asks how many lines of which files differ."""
    return Command(args=("diff", "--numstat", "-z", *_diff_options(since, until)))


def own_directory() -> Command:
    """Asks where git keeps what is a worktree's own."""
    return Command(args=("rev-parse", "--git-dir"))


def list_untracked() -> Command:
    """Asks for the files that are neither tracked nor ignored."""
    return Command(args=("ls-files", "--others", "--exclude-standard", "-z"))


def merge(branch: str) -> Command:
    """Merges a branch into the one that is checked out, with the user's hooks and settings."""
    fixed = ("-c", "merge.autoStash=false")
    args = (*fixed, "merge", "--no-edit", "--no-stat", branch)
    return Command(args=args, timeout_s=LONG_S, hooks=True)


def resolve(*revisions: str) -> Command:
    """Asks for the ids that revisions stand for, one a line."""
    return Command(args=("rev-parse", *revisions, "--"))


def is_merging() -> Command:
    """Fails unless a merge is under way in a tree."""
    return Command(args=("rev-parse", "--quiet", "--verify", "MERGE_HEAD"))


def list_conflicts() -> Command:
    """Asks for the files with conflicts."""
    return Command(args=("diff", "--name-only", "--diff-filter=U", "-z"))


def abort_merge() -> Command:
    """Undoes a merge that is under way."""
    return Command(args=("merge", "--abort"), timeout_s=LONG_S)


def _update_refs(*changes: str) -> Command:
    # One transaction, also for versions that do not know `start` and `commit`
    text = "".join(f"{change}\n" for change in changes)
    return Command(args=("update-ref", "--stdin"), stdin=text.encode())


def _diff_options(since: str, until: str | None) -> tuple[str, ...]:
    plain = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")
    return (*plain, since, *([] if until is None else [until]), "--")
