"""Writes batches to segment files; used by the writer's thread alone.

A group of batches is written with one call to the system. If that fails, the file is cut back to
where the group began, and its stream has failed: a batch is either there whole or not at all. A
stream fails, too, where what was written to it cannot be made durable. Some time after, its owner
is told to try again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from acprelay.session.ports import Clock
from acprelay.storage.batches import BATCH_HEADER_BYTES, encode_batch_header
from acprelay.storage.commands import (
    Batch,
    Event,
    PauseEnded,
    SegmentFile,
    StreamFailed,
    StreamOwner,
    Written,
)
from acprelay.storage.disk import Buffer, Disk, OpenFiles, make_directories, write_all
from acprelay.storage.limits import StorageLimits
from acprelay.storage.syncer import Unsynced

# Little enough for what is written to leave memory soon.
_GROUP_BYTES = 1024 * 1024


class SegmentWriter:
    """Writes segments.

    Args:
        disk: Where to.
        clock: Tells when an owner is to try again; monotonic.
        limits: Bounds and intervals.
        unsynced: Has made durable what was written.
        emit: Takes what is to be told.
    """

    def __init__(
        self,
        *,
        disk: Disk,
        clock: Clock,
        limits: StorageLimits,
        unsynced: Unsynced,
        emit: Callable[[Event], None],
    ) -> None:
        self._disk = disk
        self._clock = clock
        self._retry_s = limits.retry_s
        self._unsynced = unsynced
        self._emit = emit
        self._files = OpenFiles(
            limit=limits.open_files // 2, flags=os.O_WRONLY | os.O_CREAT | os.O_APPEND
        )
        self._pauses: dict[StreamOwner, float] = {}  # till when; what ends first comes first

    @property
    def retry_at(self) -> float | None:
        """When the next owner is to try again; None if none is waiting for that."""
        return next(iter(self._pauses.values()), None)

    def write(self, file: SegmentFile, batches: Sequence[Batch]) -> None:
        """Writes batches in order; tells as they are written, or that the stream has failed.

        Args:
            file: Where to.
            batches: What; no more than one call can write, at two buffers to a batch.
        """
        group: list[Batch] = []
        size = 0
        for batch in batches:
            group.append(batch)
            size += len(batch.payload)
            if size >= _GROUP_BYTES:
                self._write_group(file, group)
                group = []
                size = 0
        if group:
            self._write_group(file, group)

    def on_synced(self, file: SegmentFile, error: Exception | None) -> None:
        """What was written to a segment is durable, or its stream has failed."""
        if error is not None:
            self._fail(file, error)

    def seal(self, file: SegmentFile) -> None:
        """Closes a segment, and has it made durable."""
        self._unsynced.sync(file)
        self._files.close(file.path)

    def keep_time(self, now: float) -> None:
        """Tells the owners of streams that failed to try again, if it is time."""
        while (at := self.retry_at) is not None and now >= at:
            owner = next(iter(self._pauses))
            del self._pauses[owner]
            self._emit(PauseEnded(owner))

    def close_below(self, path: Path) -> None:
        """Closes a segment, or all those of a directory, durable or not."""
        self._files.close_below(path)
        self._unsynced.forget_below(path)

    def close(self) -> None:
        """Closes every segment."""
        self._files.close_all()

    def _write_group(self, file: SegmentFile, group: Sequence[Batch]) -> None:
        if file.stream.failed:
            return
        try:
            self._append(file, group)
        except Exception as error:  # noqa: BLE001 - one log's trouble must not stop the others
            self._cut(file)
            self._fail(file, error)
            return
        runs = sum(batch.runs for batch in group if batch.payload)
        size = sum(len(batch.payload) for batch in group)
        last = group[-1].first + group[-1].entries - 1
        self._emit(Written(file.stream, runs, size, last))

    def _append(self, file: SegmentFile, group: Sequence[Batch]) -> None:
        self._disk.check()
        is_new = not file.size
        buffers: list[Buffer] = [file.header] if is_new else []
        size = len(file.header) if is_new else 0
        for batch in group:
            if payload := batch.payload:
                buffers.append(encode_batch_header(batch.first, batch.entries, payload))
                buffers.append(payload)
                size += BATCH_HEADER_BYTES + len(payload)
        fd = self._make(file.path) if is_new else self._files.get(file.path)
        self._unsynced.note(file, file.path)
        write_all(self._disk, fd, buffers)
        file.size += size

    def _make(self, path: str) -> int:
        directory = os.path.dirname(path)
        make_directories(directory, on_name=self._unsynced.note_name)
        fd = self._files.get(path)
        self._unsynced.note_name(directory)
        os.ftruncate(fd, 0)  # an attempt before this one may have left its remains
        return fd

    def _cut(self, file: SegmentFile) -> None:
        # What cannot be cut is recognised by its checksum when it is read again.
        with suppress(OSError):
            self._disk.check()
            if file.size:
                os.truncate(file.path, file.size)
            else:
                self._unsynced.forget(file)
                os.unlink(file.path)

    def _fail(self, file: SegmentFile, error: Exception) -> None:
        self._files.close(file.path)
        stream = file.stream
        if not stream.failed:
            stream.failed = True
            self._pauses.pop(stream.owner, None)  # each owner once, and the latest last
            self._pauses[stream.owner] = self._clock.now() + self._retry_s
            self._emit(StreamFailed(stream, error))
