"""What git has under the names of acprelay: refs and worktrees, put together. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from acprelay.errors import WorkspaceError
from acprelay.workspace import names
from acprelay.workspace.parsing import WorktreeEntry

_FOLDER = re.compile(r".+-[0-9a-f]{10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What git has under one name.

    Attributes:
        slot: The name in refs and paths.
        refs: Its refs that there are, with their values.
        entry: The worktree at its place, if there is one.
        elsewhere: Where else its branch is checked out; None for nowhere.
    """

    slot: str
    refs: Mapping[str, str]
    entry: WorktreeEntry | None
    elsewhere: str | None

    @property
    def name(self) -> str:
        """`session_id:role`."""
        return str(names.key_of(self.slot))

    @property
    def tip(self) -> str | None:
        """The commit that its branch is at; None without a branch."""
        return self.refs.get(names.refs_of(self.slot)[0])

    @property
    def base(self) -> str:
        """The commit that it began at."""
        _, base, unfinished = names.refs_of(self.slot)
        return self.refs[base] if base in self.refs else self.refs[unfinished]

    @property
    def finished(self) -> bool:
        """Whether it is neither half made nor half removed."""
        return names.refs_of(self.slot)[2] not in self.refs

    @property
    def was_whole(self) -> bool:
        """Whether it is, or was before its removal began, made whole."""
        return names.refs_of(self.slot)[1] in self.refs


def join(refs: Mapping[str, str], entries: Sequence[WorktreeEntry]) -> list[Record]:
    """Puts refs and worktrees together, sorted by name. Pure.

    A worktree is known by its place, not by what is checked out in it: that is the agent's affair.
    """
    slots = {
        ref.removeprefix(space)
        for ref in refs
        for space in (names.BASES, names.UNFINISHED)
        if ref.startswith(space)
    }
    return [
        Record(
            slot=slot,
            refs={ref: refs[ref] for ref in names.refs_of(slot) if ref in refs},
            entry=next((each for each in entries if _is_at(each.path, slot)), None),
            elsewhere=next(
                (
                    each.path
                    for each in entries
                    if each.branch == names.branch_of(slot) and not _is_at(each.path, slot)
                ),
                None,
            ),
        )
        for slot in sorted(slots)
        if names.key_of(slot) is not None
    ]


def choose(name: str, records: Sequence[Record]) -> Record:
    """Finds what somebody means by a name. Pure.

    Args:
        name: `session_id:role`, a branch, or a session id that has one worktree.
        records: What there is.

    Raises:
        WorkspaceError: Nothing, or more than one.
    """
    exact = [each for each in records if name in (each.name, names.branch_of(each.slot))]
    found = exact or [each for each in records if each.name.partition(":")[0] == name]
    if not found:
        raise WorkspaceError(
            f"cannot find a worktree named {name!r}", hint="see acprelay worktrees list"
        )
    if len(found) > 1:
        raise WorkspaceError(
            f"cannot tell which worktree {name!r} is: there are {len(found)}",
            hint=f"name one of {', '.join(each.name for each in found)}",
        )
    return found[0]


def _is_at(path: str, slot: str) -> bool:
    """Whether a path is where a slot's worktree is made, whatever the root and the repository."""
    parts = PurePath(path).parts[-3:]
    return "/".join(parts[1:]) == slot and _FOLDER.fullmatch(parts[0]) is not None
