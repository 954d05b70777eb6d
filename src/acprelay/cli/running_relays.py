"""Tells other commands of the same user of a relay that runs: see `acprelay.client.own_relays`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from acprelay.client.own_relays import SUFFIX, OwnRelay, is_locked, relays_directory
from acprelay.storage.disk import FILE_MODE, make_directories


@contextmanager
def announced(relay: OwnRelay, environ: Mapping[str, str]) -> Iterator[None]:
    """Lets other commands of the same user find a relay for as long as the context lasts.

    Without a directory for such files, none finds it.

    Raises:
        OSError: The file cannot be written.
    """
    directory = relays_directory(environ)
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


def _sweep(directory: Path) -> None:
    """Removes what relays have left that were killed."""
    for path in directory.glob(f"*{SUFFIX}"):
        with suppress(OSError):  # it is gone meanwhile, or somebody else's
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if not is_locked(fd):
                    path.unlink()
            finally:
                os.close(fd)


def _remove(path: Path, fd: int) -> None:
    """Removes the file, unless another relay has put its own there."""
    with suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), os.fstat(fd)):
            path.unlink()


def _name(base_url: str) -> str:
    parts = urlsplit(base_url)
    return f"{(parts.hostname or '').replace(':', '_')}-{parts.port}{SUFFIX}"
