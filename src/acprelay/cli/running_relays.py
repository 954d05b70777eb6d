"""Which relays of this user run here: each tells, in a file for its user alone, how to reach it.

The file is locked for as long as its relay runs. The lock is the operating system's: one that is
not locked was left by a relay that was killed, and counts for nothing, whoever listens there now.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from acprelay.directories import own_directory
from acprelay.storage.disk import FILE_MODE, make_directories

_SUFFIX = ".json"


class RunningRelay(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A relay that runs here.

    Attributes:
        urls: The addresses of its HTTP server, the one to use first.
        token: Lets its owner in; None where it lets everybody in.
        pid: Its process.
    """

    urls: tuple[str, ...]
    token: str | None
    pid: int

    def __repr__(self) -> str:
        return f"RunningRelay(urls={self.urls!r}, pid={self.pid})"


@contextmanager
def announced(relay: RunningRelay, environ: Mapping[str, str]) -> Iterator[None]:
    """Lets other commands of the same user find a relay for as long as the context lasts.

    Without a directory for such files, none finds it.

    Raises:
        OSError: The file cannot be written.
    """
    directory = _directory(environ)
    if directory is None:
        yield
        return
    make_directories(directory)
    _sweep(directory)
    path = directory / _name(relay.urls[0])
    new = path.with_name(f"{path.name}.{relay.pid}.new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(new, flags, FILE_MODE)
    try:
        # Locked before it has its name: whoever finds it finds it locked.
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, msgspec.json.encode(relay))
        new.replace(path)
        yield
        _remove(path, fd)
    finally:
        os.close(fd)


def running_relays(environ: Mapping[str, str]) -> list[RunningRelay]:
    """Gives the relays of this user that run here."""
    directory = _directory(environ)
    if directory is None or not directory.is_dir():
        return []
    found = (_read(path) for path in sorted(directory.glob(f"*{_SUFFIX}")))
    return [relay for relay in found if relay is not None]


def _read(path: Path) -> RunningRelay | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # its relay has ended meanwhile, or it is somebody else's
        return None
    try:
        if os.fstat(fd).st_uid != os.getuid() or not _is_locked(fd):
            return None
        return msgspec.json.decode(path.read_bytes(), type=RunningRelay)
    except (OSError, msgspec.DecodeError):
        return None
    finally:
        os.close(fd)


def _sweep(directory: Path) -> None:
    """Removes what relays have left that were killed."""
    for path in directory.glob(f"*{_SUFFIX}"):
        with suppress(OSError):  # it is gone meanwhile, or somebody else's
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if not _is_locked(fd):
                    path.unlink()
            finally:
                os.close(fd)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove(path: Path, fd: int) -> None:
    """Removes the file, unless another relay has put its own there."""
    with suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), os.fstat(fd)):
            path.unlink()


def _name(base_url: str) -> str:
    parts = urlsplit(base_url)
    return f"{(parts.hostname or '').replace(':', '_')}-{parts.port}{_SUFFIX}"


def _directory(environ: Mapping[str, str]) -> Path | None:
    own = own_directory(environ, variable="XDG_STATE_HOME", below_home=".local/state")
    return None if own is None else own / "relays"
