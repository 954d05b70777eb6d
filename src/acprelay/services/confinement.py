"""Paths that an agent names, opened without leaving the directories of its session.

A path is resolved first, every symbolic link in it followed; where that leads decides whether it is
let in. Then it is walked again from its root's descriptor, name by name, and no link is followed on
that way. So a link that is put in between the two is an error, never a way out.

This module reads no file and knows no protocol. It confines what the relay does for an agent, and
not the agent: that runs with the rights of whoever started the relay.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from acprelay.errors import FileMissing, Forbidden, InvalidParams, ServiceError

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A name may become a pipe or a device after it was looked at: opening it must not block.
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_MADE = 64  # each is held open until it is known whether it stays

_LONGEST = 4096
"""What Linux takes; walking name by name would go on beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A path that was found to lie inside.

    Attributes:
        path: As the agent has named it.
        root: The directory that it lies in, resolved.
        parts: The names on the way from there, none of which was a link when it was resolved.
    """

    path: str
    root: str
    parts: tuple[str, ...]

    @property
    def resolved(self) -> str:
        """The path, every link followed."""
        return os.path.join(self.root, *self.parts)  # noqa: PTH118 - text in, text out


def locate(path: str, roots: Sequence[str]) -> Place:
    """Finds where a path leads. Reads the file system: to be called in a thread.

    Args:
        path: Absolute (ACP, "File System"); it need not exist.
        roots: The directories that it may lie in, as `resolve` gives them: what has become a link
            since then is not followed.

    Raises:
        InvalidParams: It is not absolute, or no path.
        Forbidden: It leads out of every root.
    """
    if not path.startswith("/") or "\0" in path or len(path) > _LONGEST:
        raise InvalidParams(
            f"cannot use {path[:200]!r} as a path",
            hint=f"give an absolute path of at most {_LONGEST} characters, none of them NUL",
        )
    resolved = resolve(path)
    for root in roots:
        inside = resolved.removeprefix(root.rstrip("/") + "/")
        if resolved == root or inside != resolved:
            parts = () if resolved == root else tuple(inside.split("/"))
            return Place(path=path, root=root, parts=parts)
    raise Forbidden(
        f"cannot reach {path[:200]!r}: it lies outside of the session's directory",
        hint=f"stay below {roots[0][:200]}; symbolic links that lead out of it are not followed"
        if roots
        else "open the session with an absolute directory",
    )


def resolve(path: str) -> str:
    """Follows every link in a path. Reads the file system."""
    return "/" + os.path.realpath(path).lstrip("/")  # POSIX lets two slashes at the start stay


@contextmanager
def open_parent(place: Place, *, make: bool = False) -> Iterator[int]:
    """Opens the directory that a place lies in, for as long as the context lasts.

    Args:
        place: The place.
        make: Whether directories that are not there are made; where the context fails they are
            removed again, unless somebody has put something there.

    Raises:
        OSError: There is none, too many are missing, or a name on the way has become a link.
    """
    made = _Made()
    directory = os.open(place.root, _WALK)
    try:
        for name in place.parts[:-1]:
            below = _enter(directory, name, made if make else None)
            os.close(directory)
            directory = below
        yield directory
    except BaseException:
        made.undo()
        raise
    finally:
        os.close(directory)
        made.close()


class _Made:
    """The directories that were made on a way, in order."""

    def __init__(self) -> None:
        self._made: list[tuple[int, str]] = []

    def make(self, parent: int, name: str) -> None:
        if len(self._made) >= _MOST_MADE:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        os.mkdir(name, dir_fd=parent)
        self._made.append((os.dup(parent), name))

    def undo(self) -> None:
        for parent, name in reversed(self._made):
            with suppress(OSError):  # somebody has put something there
                os.rmdir(name, dir_fd=parent)

    def close(self) -> None:
        for parent, _ in self._made:
            os.close(parent)


def _enter(directory: int, name: str, made: _Made | None) -> int:
    try:
        return os.open(name, _WALK, dir_fd=directory)
    except FileNotFoundError:
        if made is None:
            raise
    with suppress(FileExistsError):  # somebody else was faster
        made.make(directory, name)
    return os.open(name, _WALK, dir_fd=directory)


def status(place: Place, parent: int) -> os.stat_result | None:
    """Looks at what is at a place; None where nothing is.

    Raises:
        ServiceError: It is no regular file.
        OSError: It cannot be looked at.
    """
    if not place.parts:
        raise _no_file(place)
    try:
        found = os.stat(place.parts[-1], dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise _no_file(place)
    return found


def open_file(place: Place, parent: int, *, flags: int) -> int:
    """Opens the regular file at a place; never waits for a pipe, never touches a device.

    Args:
        place: The place.
        parent: The directory it lies in.
        flags: `os.O_RDONLY` or `os.O_WRONLY`.

    Returns:
        A descriptor, the caller's to close.

    Raises:
        FileMissing: There is none.
        ServiceError: It is no regular file.
        OSError: It cannot be opened.
    """
    if status(place, parent) is None:  # before it is opened: that alone can do harm to a device
        raise FileMissing(path=place.path)
    opened = os.open(place.parts[-1], flags | _OPEN, dir_fd=parent)
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return opened
    os.close(opened)
    raise _no_file(place)


def _no_file(place: Place) -> ServiceError:
    return ServiceError(
        f"cannot use {place.path[:200]!r}: it is no regular file",
        hint="name a file, not a directory, a pipe or a device",
    )
