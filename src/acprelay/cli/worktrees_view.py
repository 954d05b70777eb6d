"""How worktrees are shown: to people as a table, to programs as JSON. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import PurePath

from acprelay.cli.tables import table
from acprelay.cli.terminal import one_line
from acprelay.workspace.merging import Merged
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.parsing import FileNumbers

_HEAD = ("NAME", "COMMITS", "CHANGES", "WORK")
_NOWHERE = "without a directory"


def as_table(statuses: Sequence[WorktreeStatus]) -> Iterator[str]:
    """Yields the lines of a table for each directory that worktrees are in.

    A worktree is in it under its session id and its role, as its name says.
    """
    if not statuses:
        yield "no worktrees"
        return
    head, *lines = table(_HEAD, [_row(status) for status in statuses])
    for number, (folder, rows) in enumerate(_by_folder(statuses, lines).items()):
        yield from ["", folder] if number else [folder]
        yield from (f"  {line}" for line in (head, *rows))


def as_json(status: WorktreeStatus) -> dict[str, object]:
    """Gives all that is known of a worktree."""
    return {**asdict(status), "merged": status.merged, "work": status.work}


def diff_as_json(
    name: str, base: str, files: Sequence[FileNumbers], untracked: Sequence[str]
) -> dict[str, object]:
    """Gives what has changed in a worktree since its base."""
    return {
        "name": name,
        "base": base,
        "files": [asdict(each) for each in files],
        "untracked": list(untracked),
    }


def merge_as_text(merged: Merged) -> str:
    """Says what a merge did."""
    if not merged.commits:
        return f"{merged.name}: {merged.into} has all of its commits already"
    commits = "1 commit" if merged.commits == 1 else f"{merged.commits} commits"
    return f"{merged.name}: merged {commits} into {merged.into}"


def leftover(merged: Merged) -> str | None:
    """Says what a merge has left behind in the worktree; None for nothing."""
    if not merged.left:
        return None
    if merged.left == 1:
        return f"{merged.name}: 1 uncommitted change in the worktree is not merged"
    return f"{merged.name}: {merged.left} uncommitted changes in the worktree are not merged"


def _by_folder(statuses: Sequence[WorktreeStatus], lines: Sequence[str]) -> dict[str, list[str]]:
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for status, line in zip(statuses, lines, strict=True):
        folder = str(PurePath(status.path).parents[1]) if status.path else _NOWHERE
        folders[one_line(folder)].append(line)
    return folders


def _row(status: WorktreeStatus) -> tuple[str, ...]:
    return status.name, str(status.commits), str(len(status.changes)), _remark(status)


def _remark(status: WorktreeStatus) -> str:
    if not status.finished:
        condition = "half made or half removed"
    elif status.work is not None:
        condition = status.work
    else:
        condition = "all merged" if status.merged else "none"
    return "; ".join(
        [
            condition,
            *(["its directory is gone"] if status.path and not status.present else []),
            *(["its branch is gone"] if status.branch is None else []),
            *([status.damage] if status.damage is not None else []),
            *(["locked"] if status.locked is not None else []),
            *([f"in use by {', '.join(status.users)}"] if status.users else []),
        ]
    )
