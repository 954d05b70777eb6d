"""Reads what git answers. Pure; it knows no process and no repository."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_VERSION = re.compile(r"git version (\d+)\.(\d+)")
_FIELDS_BEFORE_PATH = {"1": 8, "u": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Whose directory it is.

    Attributes:
        bare: Whether the repository has no tree.
        common: What all its worktrees share; absolute, or relative to the directory.
        prefix: Where the directory is in its tree: empty, or ending in a slash.
        top: The top level of the tree; None outside of a tree.
    """

    bare: bool
    common: str
    prefix: str = ""
    top: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeStatus:
    """HEAD and the uncommitted changes of a tree.

    Attributes:
        head: The commit that is checked out; None where there is none yet.
        branch: The branch that is checked out; None for a detached HEAD.
        changes: Paths with uncommitted changes.
    """

    head: str | None
    branch: str | None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorktreeEntry:
    """What git knows of a worktree.

    Attributes:
        path: Where it is, or was.
        head: The commit that is checked out in it; None where there is none.
        branch: The branch that is checked out in it, without `refs/heads/`; None for none.
        locked: Why it is locked, maybe empty; None where it is not.
    """

    path: str
    head: str | None = None
    branch: str | None = None
    locked: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNumbers:
    """How much of a file differs; lines are None for a file that has none, as it is binary."""

    path: str
    added: int | None
    deleted: int | None


def parse_version(out: bytes) -> tuple[int, int] | None:
    """Reads the first two numbers of a version; None where there are none."""
    found = _VERSION.match(os.fsdecode(out))
    return (int(found[1]), int(found[2])) if found else None


def parse_location(out: bytes) -> Location | None:
    """Reads where a directory belongs, as far as git had come before it failed.

    Returns:
        None where a path cannot be told from another, as one has a line break.
    """
    lines = os.fsdecode(out).split("\n")[:-1]
    match lines:
        case [("true" | "false") as bare, common]:
            return Location(bare=bare == "true", common=common)
        case [("true" | "false") as bare, common, prefix]:
            return Location(bare=bare == "true", common=common, prefix=prefix)
        case [("true" | "false") as bare, common, prefix, top]:
            return Location(bare=bare == "true", common=common, prefix=prefix, top=top)
        case _:
            return None


def parse_status(out: bytes) -> TreeStatus:
    """Reads `git status --porcelain=v2 --branch -z --no-renames`."""
    head: str | None = None
    branch: str | None = None
    changes: list[str] = []
    for entry in _records(out):
        kind, _, rest = entry.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            if name == "branch.oid" and value != "(initial)":
                head = value
            if name == "branch.head" and value != "(detached)":
                branch = value
        elif kind == "?":
            changes.append(rest)
        elif kind in _FIELDS_BEFORE_PATH:
            changes.append(entry.split(" ", _FIELDS_BEFORE_PATH[kind])[-1])
    return TreeStatus(head=head, branch=branch, changes=tuple(changes))


def parse_refs(out: bytes) -> dict[str, str]:
    """Reads the values of refs by name."""
    pairs = (line.partition(" ") for line in os.fsdecode(out).split("\n") if line)
    return {name: value for value, _, name in pairs}


def parse_worktrees(out: bytes) -> list[WorktreeEntry]:
    """Reads `git worktree list --porcelain`, the repository's own tree first."""
    entries = []
    for block in os.fsdecode(out).split("\n\n"):
        facts = dict(_fact(line) for line in block.split("\n") if line)
        if "worktree" in facts:
            entries.append(
                WorktreeEntry(
                    path=facts["worktree"],
                    head=facts.get("HEAD") if set(facts.get("HEAD", "0")) != {"0"} else None,
                    branch=facts["branch"].removeprefix("refs/heads/")
                    if "branch" in facts
                    else None,
                    locked=facts.get("locked"),
                )
            )
    return entries


def parse_count(out: bytes) -> int:
    """Reads a number."""
    return int(out)


def parse_paths(out: bytes) -> tuple[str, ...]:
    """Reads paths that end in NUL."""
    return tuple(_records(out))


def parse_path(out: bytes) -> str:
    """Reads one path."""
    return os.fsdecode(out).removesuffix("\n")


def parse_numbers(out: bytes) -> tuple[FileNumbers, ...]:
    """Reads `git diff --numstat -z --no-renames`."""
    found = []
    for record in _records(out):
        added, deleted, path = record.split("\t", 2)
        found.append(FileNumbers(path=path, added=_lines(added), deleted=_lines(deleted)))
    return tuple(found)


def _records(out: bytes) -> list[str]:
    return [os.fsdecode(record) for record in out.split(b"\0") if record]


def _fact(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" ")
    return name, value


def _lines(number: str) -> int | None:
    return None if number == "-" else int(number)
