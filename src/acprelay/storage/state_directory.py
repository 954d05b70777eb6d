"""The directory that a relay keeps its state in, which belongs to one relay at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from acprelay.directories import needed_directory
from acprelay.errors import ConfigError
from acprelay.storage.disk import FILE_MODE, SystemDisk, make_directories, replace_file, sync_path

CONVERSATIONS = "conversations"
"""The directory in it that has those."""

_LOCK = "lock"
_ID = re.compile("[0-9a-f]{32}")


def default_state_directory(environ: Mapping[str, str]) -> Path:
    """Where state is kept unless said otherwise, by the XDG Base Directory Specification.

    Args:
        environ: The environment.

    Raises:
        ConfigError: Neither `XDG_STATE_HOME` nor `HOME` says.
    """
    return needed_directory(
        environ,
        variable="XDG_STATE_HOME",
        below_home=".local/state",
        contents="the relay's state",
        option="--state-dir",
    )


def is_in_the_way(path: Path) -> bool:
    """Whether something else is where a directory is, or will be made."""
    return os.path.lexists(path) and not path.is_dir()


class StateDirectory:
    """A directory that is this relay's alone for as long as the context lasts.

    It and those above it are made where they are missing, for the owner only. The lock is the
    operating system's: it ends with the process, however that ends.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock_path = os.path.join(self.path, _LOCK)
        self._exits = ExitStack()
        self._id = ""
        self._lock_file: tuple[int, int] | None = None

    @property
    def id(self) -> str:
        """Names the directory for as long as it exists: 32 digits of hexadecimal."""
        return self._id

    @property
    def is_held(self) -> bool:
        """Whether what lies at the path is still the directory that was locked.

        It may have been removed, moved, or replaced by another one, which another relay may have.

        Raises:
            OSError: The system does not tell.
        """
        try:
            return _identity(os.stat(self._lock_path)) == self._lock_file
        except (FileNotFoundError, NotADirectoryError):
            return False

    def __enter__(self) -> Self:
        """Makes and locks it.

        Raises:
            ConfigError: Another relay has it, or it cannot be used.
        """
        with ExitStack() as exits:
            try:
                self._make()
                self._check()
                self._lock(exits)
                self._id = self._read_id()
            except OSError as error:
                raise self._unusable(error.strerror or str(error)) from error
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unlocks it."""
        self._exits.close()

    def _make(self) -> None:
        named: list[str] = []
        make_directories(self.path, on_name=named.append)
        for directory in named:
            sync_path(SystemDisk(), directory)

    def _check(self) -> None:
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise self._unusable("it can not be read and written")
        if self.path.stat().st_mode & stat.S_IWOTH:
            raise self._unusable("everybody may write to it")
        if is_in_the_way(self.path / CONVERSATIONS):
            raise self._unusable(f"{CONVERSATIONS!r} in it is no directory")

    def _lock(self, exits: ExitStack) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._lock_path, flags, FILE_MODE)
        exits.callback(os.close, fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise ConfigError(
                f"cannot use the state directory {self.path}: another relay has it",
                hint=f"end {who}, or name another directory with --state-dir",
                path=str(self.path),
                pid=holder,
            ) from error
        self._lock_file = _identity(os.fstat(fd))
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)

    def _read_id(self) -> str:
        path = self.path / "relay-id"
        try:
            found = path.read_text("ascii", "replace").strip()
        except FileNotFoundError:
            found = ""
        if _ID.fullmatch(found):
            return found
        minted = secrets.token_hex(16)
        replace_file(SystemDisk(), path, f"{minted}\n".encode())
        return minted

    def _unusable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"cannot use the state directory {self.path}: {reason}",
            hint="make it the relay's own, or name another directory with --state-dir",
            path=str(self.path),
        )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class HeldDisk(SystemDisk):
    """The operating system's, for as long as a state directory is held.

    Nothing is written to one that was put in its place, nor to a file that nobody will find.

    Args:
        directory: The directory; it is held already.
    """

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory

    def check(self) -> None:
        """Makes sure that the directory is held.

        Raises:
            OSError: It is not.
        """
        if not self._directory.is_held:
            reason = "the state directory was removed, or another one is in its place"
            raise OSError(errno.ESTALE, reason, str(self._directory.path))
