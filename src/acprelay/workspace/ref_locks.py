"""Git's lock files on single refs, one of which a git that was killed may leave behind.

Git takes its locks away when SIGTERM ends it, at nearly every instant; at SIGKILL it cannot.
A lock says nothing of who has it: whether it is dead is for those to judge who know which git was
at the ref. Where refs are not kept in files of their own, there are no such locks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_SUFFIX = ".lock"


class _Identity(NamedTuple):
    device: int
    inode: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefLock:
    """A lock file, as it was when it was looked at."""

    path: Path
    identity: _Identity

    def is_at(self, path: str) -> bool:
        """Whether a path leads to where it was, whatever the way."""
        return os.path.realpath(path) == os.path.realpath(self.path)

    def remove(self) -> bool:
        """Removes it if it is still the same file; tells whether it is gone by that."""
        if _identity(self.path) != self.identity:
            return False
        try:
            self.path.unlink()
        except OSError:  # git says of it that it is in the way
            return False
        return True


def locks_on(refs: Iterable[str], *, common: str) -> dict[str, RefLock]:
    """Finds which refs are locked, by their whole names.

    Args:
        refs: Those to look at.
        common: The directory that all worktrees of the repository share.
    """
    paths = {ref: Path(common, ref + _SUFFIX) for ref in refs}
    return {
        ref: RefLock(path=path, identity=identity)
        for ref, path in paths.items()
        if (identity := _identity(path)) is not None
    }


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return _Identity(found.st_dev, found.st_ino, found.st_ctime_ns)
