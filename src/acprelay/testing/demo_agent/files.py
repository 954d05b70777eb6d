"""Writing one file below a directory, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path


class PathRefused(Exception):
    """The path leads out of the directory, or to what is no regular file."""


def confine(directory: Path, path: str) -> Path:
    """Returns where a path leads, every symbolic link followed.

    Args:
        directory: What the path must stay below.
        path: Relative to the directory, or absolute.

    Raises:
        PathRefused: It leaves the directory, or names something that is no regular file.
    """
    root = directory.resolve()
    try:
        target = (root / path).resolve()
        # A loop of links exists and leads nowhere; from Python 3.13 on, resolve lets it pass.
        writable = target.is_file() or not os.path.lexists(target)
    except (OSError, RuntimeError, ValueError) as error:  # too long; a loop of links; a null byte
        raise PathRefused(f"cannot write {path!r}: {error}") from None
    if root not in target.parents:
        raise PathRefused(f"cannot write {path!r}: it is outside {root}")
    if not writable:
        raise PathRefused(f"cannot write {path!r}: it is no regular file")
    return target


def write_text(target: Path, text: str) -> None:
    """Writes a file, making the directories above it.

    Args:
        target: What `confine` returned; a symbolic link that took its place since is not followed.
        text: The new content; a lone surrogate, which UTF-8 cannot hold, becomes `?`.

    Raises:
        OSError: It cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o666), "wb") as file:
        file.write(text.encode(errors="replace"))
