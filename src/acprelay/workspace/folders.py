"""Directories for worktrees: made for their owner only, and taken away when nothing is in them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from acprelay.directories import needed_directory

_MODE = 0o700
_ATTEMPTS = 5


def default_worktree_directory(environ: Mapping[str, str]) -> Path:
    """Where worktrees are made unless said otherwise, by the XDG Base Directory Specification.

    Args:
        environ: The environment.

    Raises:
        ConfigError: Neither `XDG_DATA_HOME` nor `HOME` says.
    """
    directory = needed_directory(
        environ,
        variable="XDG_DATA_HOME",
        below_home=".local/share",
        contents="worktrees",
        option="--worktree-dir",
    )
    return directory / "worktrees"


def is_directory(path: str) -> bool:
    """Whether there is a directory, as far as this process can tell."""
    try:
        return Path(path).is_dir()
    except OSError:  # such as a name that is too long, or a way that is closed
        return False


def is_taken(path: Path) -> bool:
    """Whether there is anything, as far as this process can tell."""
    return os.path.lexists(path)


def make_folder(path: Path) -> None:
    """Makes a new directory, and those above it that are missing.

    Raises:
        FileExistsError: There is something at its path already.
        OSError: It cannot be made.
    """
    for _ in range(_ATTEMPTS):
        _make_missing(path.parent)
        try:
            path.mkdir(mode=_MODE)
        except FileNotFoundError:  # somebody has just taken away the empty directory above it
            continue
        return
    path.mkdir(mode=_MODE)


def remove_empty(path: Path, *, levels: int = 2) -> None:
    """Removes a directory, and those above it, for as long as they are empty.

    Args:
        path: The lowest.
        levels: How many at most.
    """
    for each in (path, *path.parents)[:levels]:
        try:
            each.rmdir()
        except OSError:  # something is in it, and it stays
            return


def _make_missing(path: Path) -> None:
    missing = []
    while not path.is_dir() and path != path.parent:
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=_MODE)
