"""The audit log: a file that lines are added to and never taken from; for the writer's thread."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from acprelay.storage.disk import FILE_MODE, Disk, make_directories, write_all
from acprelay.storage.syncer import Unsynced

logger = logging.getLogger(__name__)


class AuditFile:
    """Adds lines to a file, one write for those that come together.

    Lines that cannot be written are lost, which the relay's own log tells. What is left of one that
    could not be written whole, or was cut off by a crash, is ended before the next one. They are
    made durable with the rest, as what the file's path stands for.

    Args:
        path: The file.
        disk: Where to.
        unsynced: Has made durable what was written.
    """

    def __init__(self, *, path: Path, disk: Disk, unsynced: Unsynced) -> None:
        self._path = path
        self._disk = disk
        self._unsynced = unsynced
        self._fd: int | None = None
        self._is_torn = False

    def add(self, entries: Sequence[bytes]) -> None:
        """Adds lines of JSON."""
        # Between the tokens of JSON a line break is as good as a space; inside a string is none.
        plain = [entry.replace(b"\n", b" ").replace(b"\r", b" ") for entry in entries]
        lines = b"".join([line + b"\n" for line in plain])
        try:
            self._disk.check()
            if self._fd is None:
                self._fd = self._open()
            write_all(self._disk, self._fd, [b"\n" + lines if self._is_torn else lines])
        except OSError as error:
            self._is_torn = True
            reason = error.strerror or error
            logger.error(  # noqa: TRY400 - says all there is
                "cannot write to the audit log %s, %s lost: %s",
                self._path,
                "an entry is" if len(entries) == 1 else f"up to {len(entries)} entries are",
                reason,
            )
        else:
            self._is_torn = False
            self._unsynced.note(self._path, str(self._path))

    def on_synced(self, error: Exception | None) -> None:
        """What was written is durable, or not: it may have been put where nobody finds it."""
        if error is None:
            return
        logger.error("cannot make the audit log %s durable: %s", self._path, error)
        self.close()  # what comes next goes to whatever has the name then

    def close(self) -> None:
        """Closes the file, if it was ever opened."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        make_directories(self._path.parent, on_name=self._unsynced.note_name)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, FILE_MODE)
        self._unsynced.note_name(str(self._path.parent))
        size = os.fstat(fd).st_size
        self._is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        return fd
