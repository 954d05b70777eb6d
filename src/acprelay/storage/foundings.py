"""Conversations that have just begun: one file of all their records, until each has one of its own.

Whoever opens a session waits until that outlives this process. To make directories and files takes
a system many times as long as to add to a file that is open, so that is done a moment later, with
nobody waiting. A relay that takes up what another has left finishes it, where that was killed in
between.

The file is a JSON text sequence (RFC 7464): a byte that JSON cannot have stands before each record.
What a crash has cut off is no record, and nobody was told of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from acprelay.errors import InvalidKey, InvalidParams
from acprelay.routing.log import Position
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock
from acprelay.storage.batches import SegmentHeader, encode_segment_header
from acprelay.storage.disk import (
    FILE_MODE,
    Disk,
    make_directories,
    replace_file,
    sync_path,
    write_all,
    write_file,
)
from acprelay.storage.records import (
    FORMER_NAME,
    RECORD_NAME,
    conversation_directory,
    decode_record,
    encode_record,
)
from acprelay.storage.segment import SEGMENT_SUFFIX, segment_name

_BEGIN = b"\x1e"

logger = logging.getLogger(__name__)


class Foundings:
    """Adds records to the file, and empties it; for the writer's thread.

    Args:
        path: The file.
        disk: Where to.
        clock: Tells when they are due; monotonic.
        linger_s: How long each waits to be written as all records are.
        save: Does that, and tells where it cannot.
    """

    def __init__(
        self,
        *,
        path: Path,
        disk: Disk,
        clock: Clock,
        linger_s: float,
        save: Callable[[ConversationRecord], None],
    ) -> None:
        self._path = path
        self._disk = disk
        self._clock = clock
        self._linger_s = linger_s
        self._save = save
        self._fd: int | None = None
        self._records: dict[SessionKey, tuple[float, ConversationRecord]] = {}
        self._clear_at: float | None = None

    @property
    def due_at(self) -> float | None:
        """When the first one is due, or, after the last one, the file; None where it is empty."""
        return next(iter(self._records.values()))[0] if self._records else self._clear_at

    def add(self, record: ConversationRecord) -> None:
        """Adds a record; where it cannot, that one is written as all are, at once."""
        try:
            self._append(record)
        except OSError:
            self._save(record)
        else:
            self._clear_at = self._clock.now() + self._linger_s
            self._records[record.key] = self._clear_at, record

    def forget(self, key: SessionKey) -> None:
        """A record is written as all are, or is not to be."""
        self._records.pop(key, None)

    def keep_time(self, now: float) -> None:
        """Writes a record as all are, or empties the file, if it is time.

        One record at a time: somebody may wait for what the thread has to do besides.
        """
        if self.due_at is None or now < self.due_at:
            return
        if self._records:
            self._save_first()
        else:
            with suppress(OSError):  # what stays in the file is written already
                self._clear()

    def finish(self) -> None:
        """Writes every record as all are, and empties the file.

        Raises:
            OSError: It cannot be emptied: the next relay finishes once more what is in it.
        """
        while self._records:
            self._save_first()
        self._clear()

    def close(self) -> None:
        """Closes the file, if it was ever opened."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, record: ConversationRecord) -> None:
        self._disk.check()
        if self._fd is None:
            make_directories(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, FILE_MODE)
        write_all(self._disk, self._fd, [_BEGIN + encode_record(record)])

    def _save_first(self) -> None:
        _, record = self._records.pop(next(iter(self._records)))
        self._save(record)

    def _clear(self) -> None:
        self._clear_at = None
        self._disk.check()
        with suppress(FileNotFoundError):
            os.truncate(self._path, 0)


def finish_foundings(path: Path, conversations: Path, disk: Disk) -> Sequence[ConversationRecord]:
    """Gives each conversation in the file what it still lacks, and removes the file.

    Args:
        path: The file.
        conversations: The directory that has a directory for each conversation.
        disk: Where to.

    Returns:
        Those for which that cannot be done now; the file stays.
    """
    unfinished = []
    for record in _read(path):
        directory = conversation_directory(conversations, record.key)
        try:
            _finish(record, directory, disk)
        except OSError as error:
            logger.error("cannot write the record of %s: %s", record.key, error)  # noqa: TRY400 - says all there is
            unfinished.append(record)
    if not unfinished:
        with suppress(OSError):  # it is not there, as a rule
            path.unlink()
    return unfinished


def _read(path: Path) -> Iterator[ConversationRecord]:
    try:
        _, *texts = path.read_bytes().split(_BEGIN)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.error("cannot read %s: %s", path, error)  # noqa: TRY400 - says all there is
        return
    for text in texts:
        with suppress(msgspec.MsgspecError, RecursionError, InvalidKey):  # it was cut off
            yield decode_record(text)


def _finish(record: ConversationRecord, directory: Path, disk: Disk) -> None:
    if any((directory / name).exists() for name in (RECORD_NAME, FORMER_NAME)):
        return
    names: list[str] = []
    make_directories(directory, on_name=names.append)
    if record.position is not None and not any(directory.glob(f"*{SEGMENT_SUFFIX}")):
        with suppress(InvalidParams):  # then the log begins anew
            _begin_log(directory, Position.parse(record.position), disk)
    replace_file(disk, directory / RECORD_NAME, encode_record(record))
    for name in names:
        sync_path(disk, name)


def _begin_log(directory: Path, place: Position, disk: Disk) -> None:
    """Makes the log known that begins at a place: a client may come back that knows it."""
    header = SegmentHeader(place.generation, place.seq, follows=False)
    write_file(disk, directory / segment_name(header), encode_segment_header(header))
