"""Mounts for tests, which only root may make, and not in every container."""

from __future__ import annotations

import asyncio
import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SIZE = 1024 * 1024


class SmallDisk:
    """A file system of its own, of a megabyte."""

    def __init__(self, path: Path) -> None:
        self._filler = path / "filler"

    async def fill(self) -> None:
        """Leaves no room on it."""
        await asyncio.to_thread(self._fill)

    def free(self) -> None:
        """Makes room again."""
        self._filler.unlink()

    def _fill(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017 - it comes from outside


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mounts one."""
    path.mkdir(mode=0o700)
    with _mounted(path, "-t", "tmpfs", "-o", f"size={_SIZE},mode=700", "tmpfs"):
        yield SmallDisk(path)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Has a directory be read-only for all who come to it by its path."""
    with _mounted(path, "--bind", str(path)):
        _run("mount", "-o", "remount,bind,ro", str(path))
        yield


@contextmanager
def _mounted(path: Path, *options: str) -> Iterator[None]:
    if _run("mount", *options, str(path)):
        pytest.skip("nothing can be mounted here: that is for root, outside of most containers")
    try:
        yield
    finally:
        assert not _run("umount", "--lazy", str(path))


def _run(*command: str) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode
