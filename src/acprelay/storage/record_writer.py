"""Writes conversation records; used by the writer's thread alone.

A record is written beside the one before and takes its place at once, not durable yet: from then on
the end of this process cannot cost it. It is made durable soon after. A power cut in between may
leave nothing behind its name, as a file's name can be durable before what is in it. Therefore the
record that was durable before stays beside it, under another name, until the new one is; a start
reads that one where the other is not whole. A conversation whose first record is not durable yet
may be lost by a power cut.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock
from acprelay.storage.commands import Event, Save, SaveFailed
from acprelay.storage.disk import NEW_SUFFIX, Disk, make_directories, write_file
from acprelay.storage.records import (
    FORMER_NAME,
    RECORD_NAME,
    conversation_path,
    encode_record,
)
from acprelay.storage.syncer import Unsynced


class RecordWriter:
    """Writes records, and tries again where it could not.

    Args:
        conversations: The directory that has a directory for each conversation.
        disk: Where to.
        clock: Tells when to try again; monotonic.
        retry_s: How long to wait before that.
        unsynced: Has made durable what was written.
        emit: Takes what is to be told.
    """

    def __init__(
        self,
        *,
        conversations: Path,
        disk: Disk,
        clock: Clock,
        retry_s: float,
        unsynced: Unsynced,
        emit: Callable[[Event], None],
    ) -> None:
        self._conversations = str(conversations)
        self._disk = disk
        self._clock = clock
        self._retry_s = retry_s
        self._unsynced = unsynced
        self._emit = emit
        self._undurable: dict[SessionKey, Save] = {}
        self._failed: dict[SessionKey, Save] = {}
        self._retry_at: float | None = None

    @property
    def retry_at(self) -> float | None:
        """When to try again; None if there is nothing to try."""
        return self._retry_at

    def save(self, command: Save) -> None:
        """Writes a record; where it cannot, that is told, and tried again later."""
        key = command.record.key
        directory = self._directory(key)
        path = os.path.join(directory, RECORD_NAME)
        try:
            self._disk.check()
            make_directories(directory, on_name=self._unsynced.note_name)
            self._replace(directory, path, encode_record(command.record))
        except Exception as error:  # noqa: BLE001 - one record's trouble must not stop the others
            self._fail(command, error)
        else:
            self._failed.pop(key, None)
            self._undurable[key] = command
            self._unsynced.note_name(directory)
            self._unsynced.note(key, path)

    def on_synced(self, key: SessionKey, error: Exception | None) -> None:
        """A record is durable, or could not be made so: then it is written again."""
        if key in self._unsynced or key in self._failed:
            return  # what has its name, or should have, is another file by now
        command = self._undurable.pop(key)
        if error is None:
            with suppress(OSError):  # one that stays is read only where the other is not whole
                os.unlink(os.path.join(self._directory(key), FORMER_NAME))
        else:
            self._fail(command, error)

    def keep_time(self, now: float) -> None:
        """Tries again what could not be written, if it is time."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            for command in list(self._failed.values()):
                self.save(command)

    def forget(self, key: SessionKey) -> None:
        """A record is no longer to be written."""
        self._failed.pop(key, None)
        self._undurable.pop(key, None)
        self._unsynced.forget(key)

    def close(self) -> None:
        """Tries for the last time what could not be written; what still cannot is told."""
        failed, self._failed = self._failed, {}
        for command in failed.values():
            self.save(command)

    def _fail(self, command: Save, error: Exception) -> None:
        key = command.record.key
        if key not in self._failed:
            self._emit(SaveFailed(key, error))
        self._failed[key] = command
        self._retry_at = self._clock.now() + self._retry_s

    def _replace(self, directory: str, path: str, data: bytes) -> None:
        new = path + NEW_SUFFIX
        former = os.path.join(directory, FORMER_NAME)
        write_file(self._disk, new, data)
        # One that is there already was durable for certain, which what has its place may not be.
        if not os.path.exists(former):
            with suppress(FileNotFoundError):  # this is the first
                os.replace(path, former)
        os.replace(new, path)

    def _directory(self, key: SessionKey) -> str:
        return conversation_path(self._conversations, key)
