"""The file system, as far as storage writes to it and reads from it."""

from __future__ import annotations

import errno
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk, or raise the quota",
    errno.EMFILE: "raise the relay's limit of open files (ulimit -n)",
    errno.ENFILE: "close files of other programs, or raise the system's limit of open files",
    errno.EROFS: "mount the disk for writing",
    errno.ESTALE: "put the state directory back, or start the relay again",
}


class Disk(Protocol):
    """What writing and making durable comes down to.

    The writer's thread writes while the syncer's waits for the device.
    """

    def check(self) -> None:
        """Makes sure that the files are still this relay's to open and to write.

        Raises:
            OSError: They are not.
        """
        ...

    def write(self, fd: int, buffers: Sequence[Buffer]) -> int:
        """Writes buffers one after another; tells how many bytes of them.

        Raises:
            OSError: It cannot.
        """
        ...

    def sync(self, fd: int) -> None:
        """Returns once what was written to a file is on the device.

        Raises:
            OSError: It cannot.
        """
        ...

    def evict(self, path: str) -> None:
        """Lets go of the memory in which the system keeps a file, as far as it is on the device.

        It is advice: where the system takes none, or the file is gone, nothing happens.
        """
        ...


class SystemDisk:
    """The operating system's."""

    def check(self) -> None:
        """Does nothing: whose files they are is for whoever chose them."""

    def write(self, fd: int, buffers: Sequence[Buffer]) -> int:
        """Writes with one call to the system."""
        return os.writev(fd, buffers)

    def sync(self, fd: int) -> None:
        """Waits for the device."""
        os.fsync(fd)

    def evict(self, path: str) -> None:
        """Advises the system so, where it takes advice."""
        if not hasattr(os, "posix_fadvise"):
            return
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def cause_of(disk: Disk, error: Exception) -> Exception:
    """Gives why something failed: that the files are not this relay's any more, if that is so.

    They may be gone between a check and the call behind it, which then fails for a reason that
    tells nobody what to do.
    """
    try:
        disk.check()
    except OSError as loss:
        return loss
    return error


def remedy_of(error: Exception) -> str:
    """Says what to do about why something could not be stored, in words for a hint."""
    return _REMEDIES.get(getattr(error, "errno", None) or 0, "look at the disk and its mount")


class OpenFiles:
    """Open files by path: beyond the limit, the one used longest ago is closed. For one thread.

    Args:
        limit: How many may be open.
        flags: How they are opened.
    """

    def __init__(self, *, limit: int, flags: int) -> None:
        self._limit = limit
        self._flags = flags | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fds: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._fds)

    def get(self, path: str) -> int:
        """Gives a file's descriptor, to be used at once and not kept.

        Raises:
            OSError: It cannot be opened.
        """
        fd = self._fds.get(path)
        if fd is None:
            while len(self._fds) >= self._limit:
                self._close_oldest()
            fd = self._fds[path] = self._open(path)
        self._fds.move_to_end(path)
        return fd

    def close(self, path: str) -> None:
        """Closes a file, if it is open."""
        fd = self._fds.pop(path, None)
        if fd is not None:
            os.close(fd)

    def close_below(self, path: Path) -> None:
        """Closes a file, or every file of a directory."""
        for found in [found for found in self._fds if Path(found).is_relative_to(path)]:
            self.close(found)

    def close_all(self) -> None:
        """Closes every file."""
        while self._fds:
            self._close_oldest()

    def _close_oldest(self) -> None:
        _, fd = self._fds.popitem(last=False)
        os.close(fd)

    def _open(self, path: str) -> int:
        try:
            return os.open(path, self._flags, FILE_MODE)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._fds:
                raise
        # Others of this process have taken what descriptors there are: make do with fewer.
        self.close_all()
        return os.open(path, self._flags, FILE_MODE)


def make_directories(path: str | Path, *, on_name: Callable[[str], object] | None = None) -> None:
    """Makes a directory and those above it that are missing, for its owner alone.

    Args:
        path: The directory.
        on_name: Told of each directory that has the name of one in it which was made.

    Raises:
        OSError: It cannot; some may be made.
    """
    if os.path.isdir(path):
        return
    _make_directory(str(path), on_name)


def _make_directory(path: str, on_name: Callable[[str], object] | None) -> None:
    above = os.path.dirname(path)
    try:
        os.mkdir(path, DIRECTORY_MODE)
    except FileNotFoundError:
        if not above or os.path.isdir(above):
            raise
        _make_directory(above, on_name)
        _make_directory(path, on_name)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        if on_name is not None:
            on_name(above)


REMOVED_SUFFIX = ".removed"
"""Ends the name of a directory whose removal has begun."""


def remove_directory(path: Path) -> None:
    """Removes a directory with what is in it, and the one above if nothing is left there.

    It is renamed first: a removal that is cut off leaves nothing under its name. No symbolic link
    is followed: what it points to is somebody else's.

    Raises:
        OSError: It cannot, or the directory above is a symbolic link.
    """
    if path.parent.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path.parent))
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        removed = path.with_name(path.name + REMOVED_SUFFIX)
        if removed.exists():
            shutil.rmtree(removed)
        shutil.rmtree(path.rename(removed))
    with suppress(OSError):  # something else is in it, or it is gone
        path.parent.rmdir()


def sync_path(disk: Disk, path: str | Path) -> None:
    """Makes durable what is in a file, or the names that are in a directory.

    Raises:
        OSError: It cannot.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        disk.sync(fd)
    finally:
        os.close(fd)


def write_all(disk: Disk, fd: int, buffers: Sequence[Buffer]) -> None:
    """Writes buffers one after another, whole.

    Raises:
        OSError: It cannot; some of it may be written.
    """
    left = sum(map(len, buffers))
    rest: Sequence[Buffer] = buffers
    while True:
        written = disk.write(fd, rest)
        left -= written
        if not left:
            return
        rest = [memoryview(b"".join(rest))[written:]]


def write_file(disk: Disk, path: str | Path, data: bytes) -> None:
    """Writes a file whole, for its owner alone; it is not durable yet.

    Raises:
        OSError: It cannot; some of it may be written.
    """
    disk.check()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, FILE_MODE)
    try:
        write_all(disk, fd, [data])
    finally:
        os.close(fd)


NEW_SUFFIX = ".new"
"""Ends the name of a file that is to take the place of another once it is written."""


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Puts a durable file in place of another, so that at any time one of them is there, whole.

    Raises:
        OSError: It cannot; the one before is still there.
    """
    new = path.with_name(path.name + NEW_SUFFIX)
    write_file(disk, new, data)
    sync_path(disk, new)  # else a power cut could leave the new name with nothing behind it
    new.replace(path)
    sync_path(disk, path.parent)
