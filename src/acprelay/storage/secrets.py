"""What a relay keeps of secrets in its state directory, each file for its owner alone.

Lists of hashed ones, each in a file that is replaced whole; and the one that is kept as it is,
since its owner is to read it. What they are for is not known here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from acprelay.errors import ConfigError, Unavailable
from acprelay.storage.disk import (
    FILE_MODE,
    NEW_SUFFIX,
    Disk,
    cause_of,
    remedy_of,
    replace_file,
    sync_path,
    write_all,
)

_Kept = TypeVar("_Kept")

_MOST_BYTES = 4096


class ListFile(Generic[_Kept]):
    """A list of values in a file of JSON.

    Args:
        path: The file; its directory is there.
        disk: Writes it.
        form: The type of one value, for msgspec.
        what: What the values are, for errors.
        loss: What follows from removing the file, for their hints.
    """

    def __init__(self, *, path: Path, disk: Disk, form: type[_Kept], what: str, loss: str) -> None:
        self._path = path
        self._disk = disk
        self._decoder = msgspec.json.Decoder(list[form])  # type: ignore[valid-type]
        self._what = what
        self._loss = loss

    def load(self) -> list[_Kept]:
        """Gives what was saved last, or nothing.

        Raises:
            ConfigError: The file cannot be read.
        """
        try:
            return self._decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.unreadable(error) from error

    def save(self, values: Sequence[_Kept]) -> None:
        """Keeps values in place of those before; returns once they are on the disk.

        Raises:
            Unavailable: They cannot be written; those before are still there.
        """
        try:
            replace_file(self._disk, self._path, msgspec.json.encode(values))
        except OSError as error:
            cause = cause_of(self._disk, error)
            raise Unavailable(
                f"cannot keep {self._what}: {getattr(cause, 'strerror', None) or cause}",
                hint=f"{remedy_of(cause)}; then try again",
            ) from error

    def unreadable(self, reason: Exception) -> ConfigError:
        """What is said where the file holds something else."""
        return ConfigError(
            f"cannot read {self._what} in {self._path}: "
            f"{getattr(reason, 'strerror', None) or reason}",
            hint=f"remove the file; {self._loss}",
            path=str(self._path),
        )


class SecretFile:
    """One secret in a file that nobody but its owner can read, not for an instant.

    Args:
        path: The file; its directory is there.
        disk: Writes it.
    """

    def __init__(self, *, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def load(self) -> str | None:
        """Gives the secret; None where there is none, or where others could have read it.

        Raises:
            ConfigError: The file cannot be read.
        """
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                status = os.fstat(fd)
                if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid != os.getuid():
                    return None
                return os.read(fd, _MOST_BYTES).decode("ascii", "replace").strip()
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def save(self, secret: str) -> None:
        """Keeps a secret in place of the one before; returns once it is on the disk.

        Raises:
            ConfigError: It cannot be written.
        """
        new = self._path.with_name(self._path.name + NEW_SUFFIX)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._disk.check()
            new.unlink(missing_ok=True)  # what a crash has left may have any mode
            fd = os.open(new, flags, FILE_MODE)
            try:
                write_all(self._disk, fd, [f"{secret}\n".encode()])
                self._disk.sync(fd)
            finally:
                os.close(fd)
            new.replace(self._path)
            sync_path(self._disk, self._path.parent)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"cannot use the file {self._path}: {error.strerror or error}",
            hint="remove it, or make the state directory the relay's own",
            path=str(self._path),
        )


class MemorySecret:
    """A `SecretFile` for a relay that stores nothing."""

    def __init__(self) -> None:
        self._secret: str | None = None

    def load(self) -> str | None:
        """Gives what was saved last, if anything."""
        return self._secret

    def save(self, secret: str) -> None:
        """Keeps a secret for as long as this lives."""
        self._secret = secret
