"""Both logs and a plain list agree, whatever is done to them in whatever order."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from acprelay.errors import CursorExpired, RelayError
from acprelay.routing.log import Position, PublicLog
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, MemoryStorage, StorageLimits, SystemDisk
from acprelay.testing.session import FakeClock, FakeIds
from acprelay.wire import text_frame

ALL = 1 << 40
KEY = SessionKey("s", "main")
OTHER = SessionKey("s", "other")


class LogMachine(RuleBasedStateMachine):
    """A log in memory and one in files are given the same, and have to give the same.

    Of the files some are copied to a place of their own at any moment, as a crash would leave them,
    and read there by another relay.
    """

    @initialize(
        segment_bytes=st.sampled_from([1, 300, 2_000, 10_000]),
        window_bytes=st.sampled_from([0, 200, 1_000, ALL]),
        open_files=st.sampled_from([2, 4, 64]),
    )
    def begin(self, segment_bytes: int, window_bytes: int, open_files: int) -> None:
        self.limits = StorageLimits(
            segment_bytes=segment_bytes,
            window_bytes=window_bytes,
            open_files=open_files,
            linger_s=0,
        )
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.ids = FakeIds()
        self.entries: list[bytes] = []
        self.positions: dict[Position, int] = {}
        self.troubles: list[RelayError] = []
        self.memory = MemoryStorage(ids=FakeIds("memory"), history_bytes=ALL)
        self.memory_log = self.open(self.memory, KEY)
        self.start_relay()

    def start_relay(self) -> None:
        self.files = self.loop.run_until_complete(self.storage(self.directory).__aenter__())
        self.other = self.open(self.files, OTHER)
        self.log = self.open(self.files, KEY)

    def storage(self, directory: Path) -> FileStorage:
        return FileStorage(
            directory=directory,
            ids=self.ids,
            clock=FakeClock(),
            disk=SystemDisk(),
            limits=self.limits,
        )

    def open(self, storage: FileStorage | MemoryStorage, key: SessionKey) -> PublicLog:
        return storage.open_log(key, on_relief=lambda: None, on_trouble=self.troubles.append)

    def end_relay(self, storage: FileStorage) -> None:
        self.loop.run_until_complete(storage.__aexit__(None, None, None))

    @rule(sizes=st.lists(st.sampled_from([0, 5, 60, 125, 126, 400]), min_size=1, max_size=6))
    def append(self, sizes: list[int]) -> None:
        frames = [
            text_frame(f"{len(self.entries) + n}".encode().ljust(size, b"."))
            for n, size in enumerate(sizes)
        ]
        self.entries += frames
        for log in (self.log, self.memory_log):
            log.append(b"".join(frames), len(frames))

    @rule()
    def append_elsewhere(self) -> None:
        self.other.append(text_frame(b"another conversation" * 10), 1)

    @rule(data=st.data(), limit=st.sampled_from([0, 1, 100, 1_000, ALL]))
    def read(self, data: st.DataObject, limit: int) -> None:
        after = data.draw(st.integers(0, len(self.entries)))
        upto = data.draw(st.integers(after, len(self.entries)))
        for log in (self.log, self.memory_log):
            blobs, cursor = log.read(after, upto=upto, limit=limit)
            assert after < cursor <= upto or after == cursor == upto
            assert b"".join(blobs) == b"".join(self.entries[after:cursor])
            assert len(blobs) <= 1 or sum(map(len, blobs)) <= limit

    @rule(data=st.data())
    def remember_a_position(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.entries)))
        self.positions[self.log.position(place)] = place
        assert self.memory_log.position(place) == Position("memory", place)

    @rule(ahead=st.integers(1, 3))
    def look_for_what_was_never_written(self, ahead: int) -> None:
        head = len(self.entries)
        positions = [Position(known.generation, head + ahead) for known in self.positions]
        for position in [*positions, Position("unknown", head)]:
            try:
                found = self.log.locate(position)
            except CursorExpired:
                continue
            raise AssertionError(f"{position} was found at {found}")

    @rule()
    def settle(self) -> None:
        self.loop.run_until_complete(self.files.flush())
        assert self.files.held_bytes <= self.limits.window_bytes
        assert self.files.backlog_bytes == 0

    @rule(data=st.data())
    def close_and_open(self, data: st.DataObject) -> None:
        before = self.log.generation
        for storage in (self.files, self.memory):
            storage.close_log(KEY)
        if data.draw(st.booleans()):
            self.settle()
        self.log = self.open(self.files, KEY)
        self.memory_log = self.open(self.memory, KEY)
        assert self.log.generation != before

    @rule()
    def restart(self) -> None:
        self.end_relay(self.files)
        self.start_relay()

    @rule(flushed=st.booleans())
    def crash(self, flushed: bool) -> None:
        if flushed:
            self.settle()
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(self.directory, copy, dirs_exist_ok=True)
            relay = self.loop.run_until_complete(self.storage(Path(copy)).__aenter__())
            log = self.open(relay, KEY)
            head = log.head
            assert head == len(self.entries) if flushed else head <= len(self.entries)
            place, given = 0, b""
            while place < head:
                blobs, place = log.read(place, upto=head, limit=1_000)
                given += b"".join(blobs)
            assert given == b"".join(self.entries[:head])
            if head or flushed:  # else not even the first generation's name may be written
                for position, at in self.positions.items():
                    assert at > head or log.locate(position) == at
            self.end_relay(relay)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        for log in (self.log, self.memory_log):
            assert (log.start, log.head) == (0, len(self.entries))
        assert all(self.log.locate(known) == at for known, at in self.positions.items())
        assert self.files.held_bytes <= self.limits.window_bytes + self.files.backlog_bytes
        assert self.troubles == []

    def teardown(self) -> None:
        self.end_relay(self.files)
        self.loop.close()
        shutil.rmtree(self.directory)


TestLogsAgree = LogMachine.TestCase
TestLogsAgree.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
