"""Looks at directories. It writes nothing and judges nothing."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path

from acprelay.agents.process_table import read_process_table
from acprelay.agents.process_tree import owned_by
from acprelay.cli.diagnosis.facts import DirectoryFacts, StateFacts
from acprelay.storage.state_directory import CONVERSATIONS, is_in_the_way

_SECRETS = ("owner-token", "tokens.json", "invitations.json")
_UNKNOWN = "?"


def look_at_directory(path: Path) -> DirectoryFacts:
    """Looks at a directory, or at where it will be made."""
    path = path.absolute()
    nearest = next(each for each in (path, *path.parents) if os.path.lexists(each))
    exists = nearest == path
    is_directory = nearest.is_dir()
    status = nearest.stat() if is_directory else nearest.lstat()
    system = os.statvfs(nearest if is_directory else nearest.parent)
    return DirectoryFacts(
        path=path,
        exists=exists,
        is_directory=is_directory,
        is_usable=os.access(nearest, os.R_OK | os.W_OK | os.X_OK if exists else os.W_OK | os.X_OK),
        is_own=status.st_uid == os.geteuid(),
        mode=stat.S_IMODE(status.st_mode),
        free_bytes=system.f_bavail * system.f_frsize,
        free_inodes=system.f_favail if system.f_files else None,
    )


def look_at_temporary() -> DirectoryFacts | None:
    """Looks at the directory for temporary files; None where none can be used."""
    try:
        return look_at_directory(Path(tempfile.gettempdir()))
    except FileNotFoundError:
        return None


def look_at_state(path: Path) -> StateFacts:
    """Looks at who has a state directory, and at what is in it."""
    holder = _holder(path / "lock")
    return StateFacts(
        holder=holder,
        orphans=0 if holder is not None else _orphans(path / "relay-id"),
        open_secrets=tuple(each for name in _SECRETS if _is_open(each := path / name)),
        in_the_way=tuple(each for each in (path / CONVERSATIONS,) if is_in_the_way(each)),
        ahead_s=_ahead(path / "lock"),
    )


def is_readable_by_others(path: Path) -> bool:
    """Whether anybody but its owner can read a file; no where there is none."""
    return _is_open(path)


def _holder(lock: Path) -> str | None:
    """Says who has the lock, by trying to share it for an instant."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # nobody has had it yet, or it is not ours to read: that is found elsewhere
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        return said if said.isdigit() else _UNKNOWN
    finally:
        os.close(fd)
    return None


def _orphans(relay_id: Path) -> int:
    try:
        owner = relay_id.read_text("ascii", "replace").strip()
    except OSError:
        return 0
    return len(owned_by(read_process_table(), owner, asking=os.getpid())) if owner else 0


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


def _ahead(path: Path) -> float:
    try:
        return max(0.0, path.stat().st_mtime - time.time())
    except OSError:
        return 0.0
