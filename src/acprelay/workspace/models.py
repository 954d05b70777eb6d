"""What is known of worktrees, as values.

This module does not know how any of it is found out or changed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorktreeStatus:
    """What one worktree holds, as it was when it was looked at.

    Attributes:
        name: `session_id:role`.
        branch: The branch that was made for it; None where somebody has deleted it.
        base: The id of the commit that it began at.
        path: Where it is; None where no directory belongs to it any more, as far as git knows.
        present: Whether there is a directory at `path`.
        finished: Whether it was made whole, and is not half removed.
        checked_out: The branch that is checked out in it; None for none.
        commits: How many commits its branch and its directory's HEAD have beyond the base.
        unmerged: How many of them are neither in the project's HEAD nor on a branch that is not
            acprelay's: those that would be lost with it.
        changes: Paths with uncommitted changes, untracked ones included, relative to `path`.
        submodules: Whether submodules are checked out in it, whose commits nothing else may hold.
        damage: Why git cannot tell what has changed in it; None where it can.
        locked: Why it is locked (`git worktree lock`), maybe empty; None where it is not.
        users: Who works in it: processes, and agents that a relay has at work there.
    """

    name: str
    branch: str | None
    base: str
    path: str | None
    present: bool
    finished: bool
    checked_out: str | None
    commits: int
    unmerged: int
    changes: tuple[str, ...] = ()
    submodules: bool = False
    damage: str | None = None
    locked: str | None = None
    users: tuple[str, ...] = ()

    @property
    def merged(self) -> bool:
        """Whether it has commits, and all of them are in the project's branches."""
        return self.commits > 0 and self.unmerged == 0

    @property
    def work(self) -> str | None:
        """What would be lost with it, in words; None for nothing."""
        found = [
            *([_counted(self.unmerged, "unmerged commit")] if self.unmerged else []),
            *([_counted(len(self.changes), "uncommitted change")] if self.changes else []),
            *(["checked-out submodules"] if self.submodules else []),
            *(["changes that git cannot tell"] if self.damage is not None else []),
        ]
        return " and ".join(found) or None


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"
