"""Storage over a disk that a test can hold, fill and break, in a directory of the test's own."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Condition, Event

import pytest

from acprelay.errors import RelayError
from acprelay.routing.log import PublicLog
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, MemoryStorage, StorageLimits, SystemDisk
from acprelay.storage.disk import Buffer
from acprelay.testing.session import FakeClock, FakeIds
from acprelay.wire import text_frame

ALL = 1 << 40
"""A limit that no test reaches."""

SMALL = StorageLimits(
    segment_bytes=2_000, window_bytes=1_000, backlog_bytes=4_000, unstored_bytes=3_000, linger_s=0
)
"""Limits that a few entries reach."""


class FakeDisk(SystemDisk):
    """The system's disk, until a test holds it, fills it or breaks it.

    Attributes:
        room: How many more bytes it takes; None for any number.
        most: How many bytes it takes at once; None for any number.
        error: What every write raises, if anything.
        sync_error: What every sync raises, if anything.
        loss: What a check raises once a sync has failed, if anything.
        synced: The names of what was synced, or was tried to be.
        evicted: The names of what was evicted from the system's memory.
        calls: How many buffers each write had.
    """

    def __init__(self) -> None:
        self.room: int | None = None
        self.most: int | None = None
        self.error: OSError | None = None
        self.sync_error: OSError | None = None
        self.loss: OSError | None = None
        self._is_lost = False
        self.synced: list[str] = []
        self.evicted: list[str] = []
        self.calls: list[int] = []
        self._gate = Event()
        self._gate.set()
        self._syncs_left: int | None = None
        self._syncing = 0
        self._changed = Condition()

    def hold(self) -> None:
        """Lets no write through until `release`."""
        self._gate.clear()

    def hold_syncs(self, *, but: int = 0) -> None:
        """Lets no sync through until `release`, but so many."""
        with self._changed:
            self._syncs_left = but
            self._changed.notify_all()

    def release(self) -> None:
        """Lets writes and syncs through."""
        self._gate.set()
        with self._changed:
            self._syncs_left = None
            self._changed.notify_all()

    async def has_begun_to_sync(self) -> None:
        """Returns once a sync is under way, which has to be held."""
        assert await asyncio.to_thread(self._await, lambda: self._syncing > 0)

    async def has_synced(self, count: int) -> None:
        """Returns once so many syncs are over."""
        assert await asyncio.to_thread(self._await, lambda: len(self.synced) >= count), self.synced

    def _await(self, predicate: Callable[[], bool]) -> bool:
        with self._changed:
            return self._changed.wait_for(predicate, 30)

    def write(self, fd: int, buffers: Sequence[Buffer]) -> int:
        assert self._gate.wait(30), "nobody released the disk"
        self.calls.append(len(buffers))
        if self.error is not None:
            raise self.error
        if self.most is not None and sum(map(len, buffers)) > self.most:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.room is None:
            return super().write(fd, buffers)
        data = b"".join(buffers)[: self.room]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return super().write(fd, [data])

    def sync(self, fd: int) -> None:
        # The device is not waited for, as no test cuts the power.
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        with self._changed:
            self._syncing += 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._syncs_left != 0, 30), "it is held"
            if self._syncs_left is not None:
                self._syncs_left -= 1
            self._syncing -= 1
            self.synced.append(name)
            self._changed.notify_all()
        if self.sync_error is not None:
            self._is_lost = self.loss is not None
            raise self.sync_error

    def evict(self, path: str) -> None:
        self.evicted.append(Path(path).name)
        super().evict(path)

    def check(self) -> None:
        if self._is_lost and self.loss is not None:
            raise self.loss


class World:
    """A directory, a disk, a clock, and what a log's owner was told.

    Attributes:
        key: The conversation that a test is about.
        troubles: What was told of its log.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.disk = FakeDisk()
        self.clock = FakeClock()
        self.ids = FakeIds()
        self.key = SessionKey("s", "main")
        self.troubles: list[RelayError] = []
        self.relieved = asyncio.Event()
        self._is_told = asyncio.Event()

    @property
    def conversation(self) -> Path:
        return self.directory / "conversations" / "s" / "main"

    @property
    def named(self) -> list[str]:
        """The directories with new names in them once the first file is there, nearest first."""
        return ["main", "s", "conversations", "state", self.directory.parent.name]

    @property
    def segments(self) -> list[Path]:
        """The segment files, oldest first."""
        return sorted(self.conversation.glob("*.segment"))

    @property
    def quarantined(self) -> list[Path]:
        return sorted(self.conversation.glob("*.damaged"))

    def make_storage(self, limits: StorageLimits = SMALL) -> FileStorage:
        """Storage as a relay has it, which a test enters and leaves itself."""
        return FileStorage(
            directory=self.directory, ids=self.ids, clock=self.clock, disk=self.disk, limits=limits
        )

    @asynccontextmanager
    async def storage(self, limits: StorageLimits = SMALL) -> AsyncIterator[FileStorage]:
        """Storage as a relay has it, which ends in time or fails the test."""
        storage = self.make_storage(limits)
        await storage.__aenter__()
        try:
            yield storage
        finally:
            self.disk.release()
            async with asyncio.timeout(30):
                await storage.__aexit__(None, None, None)

    def open(self, storage: FileStorage, key: SessionKey | None = None) -> PublicLog:
        return storage.open_log(
            key or self.key, on_relief=self.relieved.set, on_trouble=self._on_trouble
        )

    def _on_trouble(self, trouble: RelayError) -> None:
        self.troubles.append(trouble)
        self._is_told.set()

    async def hear_of_trouble(self) -> None:
        """Returns once somebody was told of trouble."""
        async with asyncio.timeout(30):
            await self._is_told.wait()

    async def write(self, entries: Sequence[bytes], *, limits: StorageLimits = SMALL) -> None:
        """Has a relay write entries, one batch for each, and end."""
        async with self.storage(limits) as storage:
            log = self.open(storage)
            for entry in entries:
                log.append(entry, 1)

    async def settle(self, storage: FileStorage) -> None:
        """Returns once all is written, and everybody told what there is to tell."""
        async with asyncio.timeout(30):
            await storage.flush()
            await asyncio.sleep(0)

    async def until(self, storage: FileStorage, holds: Callable[[], bool]) -> None:
        """Returns once something holds that the writer will see to."""
        async with asyncio.timeout(30):
            while not holds():
                await storage.flush()

    async def pass_time(self, storage: FileStorage, by_s: float) -> None:
        """Lets time pass; returns once all is written that was due by then."""
        await self.settle(storage)  # the writer looks at the clock after what came before it
        self.clock.advance(by_s)
        await self.settle(storage)  # the writer looks at the clock after it
        await self.settle(storage)  # what is to be tried again is given to it
        await self.settle(storage)

    @staticmethod
    def entries(count: int, *, first: int = 1, size: int = 100) -> list[bytes]:
        """Frames that all differ."""
        return [text_frame(f"{first + n}:".encode().ljust(size, b".")) for n in range(count)]

    @staticmethod
    def read_all(log: PublicLog, after: int | None = None, *, limit: int = 1) -> bytes:
        """What a reader gets that reads on until it is at the head."""
        place = log.start if after is None else after
        given: list[bytes] = []
        while place < log.head:
            blobs, cursor = log.read(place, upto=log.head, limit=limit)
            assert cursor > place
            given += blobs
            place = cursor
        return b"".join(given)

    @staticmethod
    def record(key: SessionKey, *, title: str | None = None) -> ConversationRecord:
        return ConversationRecord(
            key=key,
            agent="coder",
            cwd="/",
            params=b'{"cwd": "/",  "x": [1.0, 1]}',
            agent_session_id="own",
            title=title,
            created_at=1.5,
            updated_at=2.5,
        )


class Subject:
    """A log, whatever keeps it."""

    def __init__(
        self,
        log: PublicLog,
        *,
        world: World,
        storage: FileStorage | None = None,
        is_read_from_disk: bool = False,
    ) -> None:
        self.log = log
        self._world = world
        self._storage = storage
        self._is_read_from_disk = is_read_from_disk

    async def settle(self) -> None:
        """Returns once everything is where it stays."""
        if self._storage is not None:
            await self._world.settle(self._storage)
            if self._is_read_from_disk:
                assert self._storage.held_bytes == 0

    def given(self, after: int, upto: int, *, limit: int = 1) -> bytes:
        """What a reader gets between two places."""
        given = b""
        place = after
        while place < upto:
            blobs, cursor = self.log.read(place, upto=upto, limit=limit)
            assert place < cursor <= upto
            given += b"".join(blobs)
            place = cursor
        return given


@pytest.fixture(params=["memory", "files, read from memory", "files, read from disk"])
async def subject(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Subject]:
    """A log of the generation `g` that keeps all it ever had."""
    world.ids = FakeIds("g")
    if request.param == "memory":
        async with MemoryStorage(ids=world.ids, history_bytes=ALL) as memory:
            log = memory.open_log(
                world.key, on_relief=world.relieved.set, on_trouble=world.troubles.append
            )
            yield Subject(log, world=world)
    else:
        from_disk = "disk" in request.param
        limits = StorageLimits(window_bytes=0 if from_disk else ALL, linger_s=0)
        async with world.storage(limits) as storage:
            yield Subject(
                world.open(storage), world=world, storage=storage, is_read_from_disk=from_disk
            )
    assert world.troubles == []


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")
