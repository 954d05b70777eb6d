"""The directory that a relay keeps its state in, which belongs to one relay at a time."""

from __future__ import annotations

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
from acprelay.storage.disk import FILE_MODE, SystemDisk, make_directories, replace_file

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


class StateDirectory:
    """A directory that is this relay's alone for as long as the context lasts.

    It and those above it are made where they are missing, for the owner only. The lock is the
    operating system's: it ends with the process, however that ends.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._exits = ExitStack()
        self._id = ""

    @property
    def id(self) -> str:
        """Names the directory for as long as it exists: 32 digits of hexadecimal."""
        return self._id

    def __enter__(self) -> Self:
        """Makes and locks it.

        Raises:
            ConfigError: Another relay has it, or it cannot be used.
        """
        with ExitStack() as exits:
            try:
                make_directories(self.path)
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

    def _check(self) -> None:
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise self._unusable("it can not be read and written")
        if self.path.stat().st_mode & stat.S_IWOTH:
            raise self._unusable("everybody may write to it")

    def _lock(self, exits: ExitStack) -> None:
        path = self.path / "lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
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
