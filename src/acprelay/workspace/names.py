"""What worktrees, their branches and their refs are called.

For a session key `task:db`:

- branch `acprelay/task/db`;
- `refs/acprelay/base/task/db`, the commit that the worktree began at: git's own memory of the base,
  which needs no relay and, unlike a setting in git's configuration, takes no lock that all share;
- `refs/acprelay/unfinished/task/db` while the worktree is being made or removed, and afterwards if
  that was interrupted;
- directory `<root>/<repository>-<hash>/task/db`.

Two keys never share a name, whatever the file system makes of case: a part with capital letters
gets a suffix that says which of its letters they are (`Task` becomes `Task.1`), and no part of a
key has a dot. Pure: nothing here looks at a repository.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePath

from acprelay.errors import InvalidKey
from acprelay.session.models import SessionKey

PREFIX = "acprelay/"
BRANCHES = f"refs/heads/{PREFIX}"
BASES = "refs/acprelay/base/"
UNFINISHED = "refs/acprelay/unfinished/"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 40
_HASH = 10


def slot_of(key: SessionKey) -> str:
    """What stands for a key in refs and paths: `session_id/role`."""
    return f"{_encoded(key.session_id)}/{_encoded(key.role)}"


def key_of(slot: str) -> SessionKey | None:
    """Reads a key back; None where nobody would have named it so."""
    group, _, role = slot.partition("/")
    try:
        key = SessionKey(group.partition(".")[0], role.partition(".")[0])
    except InvalidKey:
        return None
    return key if slot_of(key) == slot else None


def branch_of(slot: str) -> str:
    """The branch of a slot, without `refs/heads/`."""
    return f"{PREFIX}{slot}"


def slot_of_branch(branch: str) -> str:
    """The slot of a branch that `branch_of` made."""
    return branch.removeprefix(PREFIX)


def refs_of(slot: str) -> tuple[str, str, str]:
    """The branch, the base and the mark of what is unfinished, as whole ref names."""
    return f"{BRANCHES}{slot}", f"{BASES}{slot}", f"{UNFINISHED}{slot}"


def folder_of(common_directory: str) -> str:
    """The directory for the worktrees of one repository.

    Args:
        common_directory: The absolute path of what all its worktrees share, such as
            `/project/.git`, without symbolic links.
    """
    path = PurePath(common_directory)
    named = path.parent.name if path.name == ".git" else path.name.removesuffix(".git")
    safe = _UNSAFE.sub("-", named)[:_LONGEST].strip("-.") or "repository"
    digest = hashlib.sha256(common_directory.encode(errors="surrogateescape")).hexdigest()
    return f"{safe}-{digest[:_HASH]}"


def obstacle(slot: str, refs: Iterable[str]) -> str | None:
    """Finds a ref that is in the way of making a slot's.

    A ref is in the way of one that has its name, or whose name continues its own after a slash,
    as one would be a file where the other needs a directory. Case is ignored, as some file systems
    do.

    Args:
        slot: What is to be made.
        refs: Every ref that might be in the way.
    """
    wanted = [f"{ref}/".casefold() for ref in refs_of(slot)]
    for ref in refs:
        present = f"{ref}/".casefold()
        if any(one.startswith(present) or present.startswith(one) for one in wanted):
            return ref
    return None


def _encoded(part: str) -> str:
    capitals = sum(1 << at for at, letter in enumerate(part) if letter.isupper())
    return f"{part}.{capitals:x}" if capitals else part
