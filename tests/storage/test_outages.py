"""A disk that is full, slow or broken: the log goes on, and catches up."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import CursorExpired, Unavailable
from acprelay.session.models import SessionKey
from acprelay.storage import StorageLimits
from acprelay.storage.batches import BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World

    from acprelay.routing.log import PublicLog
    from acprelay.storage import FileStorage

LIMITS = StorageLimits(
    segment_bytes=5_000, window_bytes=300, backlog_bytes=1_000, unstored_bytes=1_100, linger_s=0
)
ENTRY = 102
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_disk_that_holds_up_writing_congests_every_log_until_half_is_written(
    world: World,
) -> None:
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        world.disk.hold()
        entries = world.entries(10)
        congested = []
        for entry in entries:
            log.append(entry, 1)
            congested.append(log.is_congested)
        assert congested == [False] * 9 + [True]
        assert world.read_all(log) == b"".join(entries)
        assert not world.relieved.is_set()
        world.disk.release()
        async with asyncio.timeout(30):
            await world.relieved.wait()
        assert not log.is_congested
        await world.settle(storage)
        assert storage.held_bytes <= LIMITS.window_bytes
        assert world.read_all(log) == b"".join(entries)


async def test_a_closed_log_is_not_told_of_relief(world: World) -> None:
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        world.disk.hold()
        for entry in world.entries(10):
            log.append(entry, 1)
        storage.close_log(world.key)
        world.disk.release()
        await world.settle(storage)
        assert not log.is_congested
        assert not world.relieved.is_set()


@pytest.mark.parametrize("room", [0, 1, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 150, 400])
async def test_a_full_disk_loses_nothing_while_memory_suffices(world: World, room: int) -> None:
    entries = world.entries(12)
    async with world.storage(LIMITS) as storage:
        world.disk.room = room
        log = world.open(storage)
        for entry in entries[:8]:
            log.append(entry, 1)
        await world.settle(storage)
        assert (log.start, log.head, log.is_congested) == (0, 8, False)
        assert world.read_all(log) == b"".join(entries[:8])
        (trouble,) = world.troubles
        assert isinstance(trouble, Unavailable)
        assert trouble.message == "cannot store the conversation: No space left on device"

        world.disk.room = None
        await world.pass_time(storage, LIMITS.retry_s - 1)
        log.append(entries[8], 1)
        await world.settle(storage)
        assert storage.held_bytes >= 2 * ENTRY, "it was tried again too early"
        await world.pass_time(storage, 1)
        assert storage.held_bytes <= LIMITS.window_bytes
        for entry in entries[9:]:
            log.append(entry, 1)
        assert world.read_all(log) == b"".join(entries)
    assert len(world.troubles) == 1
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        assert (log.start, log.head) == (0, 12)
        assert world.read_all(log) == b"".join(entries)


async def test_beyond_the_memory_for_it_the_oldest_is_given_up(world: World) -> None:
    entries = world.entries(30)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        for entry in entries[:5]:
            log.append(entry, 1)
        await world.settle(storage)
        assert log.start == 0
        world.disk.error = NO_SPACE
        for entry in entries[5:25]:
            log.append(entry, 1)
            await world.settle(storage)
            assert storage.held_bytes <= LIMITS.unstored_bytes + LIMITS.window_bytes
        assert (log.start, log.head) == (15, 25)
        assert world.read_all(log) == b"".join(entries[15:25])
        with pytest.raises(CursorExpired):
            log.read(14, upto=25, limit=1)
        with pytest.raises(CursorExpired):
            log.locate(log.position(3))
        assert len(world.troubles) == 1

        world.disk.error = None
        await world.pass_time(storage, LIMITS.retry_s)
        for entry in entries[25:]:
            log.append(entry, 1)
            await world.settle(storage)
        assert (log.start, log.head) == (15, 30)
        assert world.read_all(log) == b"".join(entries[15:])
        assert storage.held_bytes <= LIMITS.window_bytes
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        assert (log.start, log.head) == (15, 30)
        assert world.read_all(log) == b"".join(entries[15:])


async def test_an_outage_that_lasts_is_told_once_and_a_new_one_again(world: World) -> None:
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        for troubles in (1, 2):
            world.disk.error = NO_SPACE
            for entry in world.entries(3):
                log.append(entry, 1)
                await world.pass_time(storage, LIMITS.retry_s)
            assert len(world.troubles) == troubles
            world.disk.error = None
            log.append(text_frame(b"stored"), 1)
            await world.pass_time(storage, LIMITS.retry_s)
        assert (log.start, log.head) == (0, 8)


async def test_the_trouble_of_one_log_is_not_that_of_another(world: World) -> None:

    entries = world.entries(3)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        log.append(entries[0], 1)
        await world.settle(storage)
        world.disk.error = None
        other = world.open(storage, SessionKey("s", "other"))
        other.append(entries[1], 1)
        await world.settle(storage)
        assert len(world.troubles) == 1
    async with world.storage(LIMITS) as storage:
        assert world.read_all(world.open(storage, SessionKey("s", "other"))) == entries[1]


async def test_closing_a_log_that_could_not_be_written_tries_once_more(world: World) -> None:
    entries = world.entries(3)
    async with world.storage(LIMITS) as storage:
        world.disk.error = NO_SPACE
        log = world.open(storage)
        for entry in entries:
            log.append(entry, 1)
        await world.settle(storage)
        world.disk.error = None
        storage.close_log(world.key)
        await world.settle(storage)
        assert storage.held_bytes == 0
        assert world.read_all(world.open(storage)) == b"".join(entries)


async def test_a_log_that_is_opened_while_its_end_is_still_to_be_written_has_it(
    world: World,
) -> None:
    entries = world.entries(4)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        world.disk.hold()
        for entry in entries[:3]:
            log.append(entry, 1)
        storage.close_log(world.key)
        again = world.open(storage)
        assert (again.generation, again.head) == ("id-2", 3)
        again.append(entries[3], 1)
        world.disk.release()
        await world.settle(storage)
        assert world.read_all(again) == b"".join(entries)
        assert [again.position(place).generation for place in (3, 4)] == ["id-1", "id-2"]
    assert len(world.segments) == 2


async def test_a_sync_that_fails_is_an_outage(world: World) -> None:
    entries = world.entries(2)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(entries[0], 1)
        await world.settle(storage)
        world.disk.sync_error = OSError(errno.EIO, os.strerror(errno.EIO))
        storage.sync(world.key)
        await world.hear_of_trouble()
        (trouble,) = world.troubles
        assert trouble.message == "cannot store the conversation: Input/output error"
        world.disk.sync_error = None
        log.append(entries[1], 1)
        await world.pass_time(storage, LIMITS.retry_s)
        assert storage.held_bytes <= LIMITS.window_bytes
        assert world.read_all(log) == b"".join(entries)


@pytest.mark.parametrize("what", ["log", "record"])
async def test_files_that_are_lost_behind_a_check_are_told_of_as_lost(
    world: World, what: str
) -> None:
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        await world.settle(storage)
        world.disk.loss = OSError(errno.ESTALE, "another directory is in its place")
        world.disk.sync_error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if what == "log":
            log.append(world.entries(1)[0], 1)
        else:
            storage.save(world.record(world.key))
        storage.sync(world.key)
        await world.hear_of_trouble()
        world.disk.loss = world.disk.sync_error = None
    (trouble,) = world.troubles
    assert trouble.message == "cannot store the conversation: another directory is in its place"
    assert "put the state directory back" in (trouble.hint or "")


async def test_a_failure_in_one_segment_keeps_what_follows_out_of_the_next(world: World) -> None:
    entries = world.entries(8)
    limits = StorageLimits(segment_bytes=200, window_bytes=0, linger_s=0)
    async with world.storage(limits) as storage:
        log = world.open(storage)
        world.disk.hold()
        for entry in entries:
            log.append(entry, 1)
        # The first segment has two batches, written as one group after the header.
        world.disk.room = 2 * (BATCH_HEADER_BYTES + ENTRY) + SEGMENT_HEADER_BYTES - 1
        world.disk.release()
        await world.settle(storage)
        world.disk.room = None
        assert world.read_all(log) == b"".join(entries)
        log.append(text_frame(b"last"), 1)
        await world.pass_time(storage, limits.retry_s)
        assert storage.held_bytes == 0
        assert world.read_all(log) == b"".join([*entries, text_frame(b"last")])
    async with world.storage(limits) as storage:
        assert world.open(storage).head == 9


async def test_a_log_that_was_closed_in_an_outage_is_kept_and_written_once_that_is_over(
    world: World,
) -> None:
    entries = world.entries(3)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(entries[0], 1)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        for entry in entries[1:]:
            log.append(entry, 1)
        storage.close_log(world.key)
        for _ in range(3):
            await world.pass_time(storage, LIMITS.retry_s)
            assert storage.held_bytes >= 2 * ENTRY
        world.disk.error = None
        await world.pass_time(storage, LIMITS.retry_s)
        assert storage.held_bytes == 0
    async with world.storage(LIMITS) as storage:
        again = world.open(storage)
        assert (again.start, again.head) == (0, 3)
        assert again.locate(log.position(3)) == 3
        assert world.read_all(again) == b"".join(entries)


async def test_a_log_that_is_opened_again_in_an_outage_is_whole_and_so_is_what_is_stored_of_it(
    world: World,
) -> None:
    entries = world.entries(4)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        for entry in entries[:2]:
            log.append(entry, 1)
        await world.settle(storage)
        storage.close_log(world.key)
        await world.settle(storage)
        again = world.open(storage)
        assert (again.generation, again.start, again.head) == ("id-2", 0, 2)
        await world.settle(storage)
        assert len(world.troubles) == 2, "who opened it again knows nothing of the outage yet"
        again.append(entries[2], 1)
        assert world.read_all(again) == b"".join(entries[:3])
        world.disk.error = None
        await world.pass_time(storage, LIMITS.retry_s)
        again.append(entries[3], 1)
        positions = [again.position(place) for place in range(5)]
        assert [position.generation for position in positions] == ["id-1"] * 3 + ["id-2"] * 2
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        assert [log.locate(position) for position in positions] == list(range(5))
        assert world.read_all(log) == b"".join(entries)


async def test_a_closed_log_that_is_given_up_is_told_of_and_its_numbers_are_never_given_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    other = SessionKey("s", "other")
    entries = world.entries(40)
    async with world.storage(LIMITS) as storage:
        log, filler = world.open(storage), world.open(storage, other)
        log.append(entries[0], 1)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        for entry in entries[1:4]:
            log.append(entry, 1)
        storage.close_log(world.key)
        await world.settle(storage)
        for entry in entries:
            filler.append(entry, 1)
            await world.settle(storage)
            assert storage.held_bytes <= LIMITS.unstored_bytes + LIMITS.window_bytes
        await world.pass_time(storage, LIMITS.retry_s)
        assert f"cannot keep 3 entries of the conversation in {world.conversation}" in caplog.text
        again = world.open(storage)
        assert (again.start, again.head) == (4, 4)
        with pytest.raises(CursorExpired):
            again.locate(log.position(2))
        assert again.locate(log.position(4)) == 4
        storage.close_log(world.key)
        world.disk.error = None
        await world.pass_time(storage, LIMITS.retry_s)
        assert caplog.text.count(f"conversation in {world.conversation}:") == 1
    async with world.storage(LIMITS) as storage:
        again = world.open(storage)
        assert (again.start, again.head) == (4, 4)
        assert again.locate(log.position(4)) == 4
        with pytest.raises(CursorExpired):
            again.locate(log.position(2))
        more = text_frame(b"more")
        again.append(more, 1)
        assert world.read_all(again) == more
    async with world.storage(LIMITS) as storage:
        again = world.open(storage)
        assert (again.start, again.head) == (4, 5)
        assert world.read_all(again) == more


async def test_who_has_seen_all_that_was_given_up_goes_on_behind_it_also_in_another_generation(
    world: World,
) -> None:
    entries = world.entries(13)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(entries[0], 1)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        for entry in entries[1:3]:
            log.append(entry, 1)
        storage.close_log(world.key)
        await world.settle(storage)
        again = world.open(storage)
        for entry in entries[3:13]:
            again.append(entry, 1)
        await world.settle(storage)
        assert (again.start, again.head) == (3, 13)
        positions = [again.position(place) for place in range(3, 14)]
        assert [position.generation for position in positions] == ["id-1"] + ["id-2"] * 10
        world.disk.error = None
        await world.pass_time(storage, LIMITS.retry_s)
        assert [again.locate(position) for position in positions] == list(range(3, 14))
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        assert (log.start, log.head) == (3, 13)
        assert [log.locate(position) for position in positions] == list(range(3, 14))
        assert world.read_all(log) == b"".join(entries[3:13])


async def test_what_cannot_be_written_when_the_relay_ends_is_told_of_and_leaves_a_gap(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    entries = world.entries(5, size=120)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(entries[0], 1)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        for entry in entries[1:]:
            log.append(entry, 1)
        await world.settle(storage)
        world.disk.error = None
        world.disk.most = SEGMENT_HEADER_BYTES
    assert f"cannot keep 4 entries of the conversation in {world.conversation}" in caplog.text
    world.disk.most = None
    async with world.storage(LIMITS) as storage:
        again = world.open(storage)
        assert (again.start, again.head) == (5, 5)
        with pytest.raises(CursorExpired):
            again.locate(log.position(1))


async def test_where_not_even_a_gap_can_be_written_the_loss_is_told_of_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    entries = world.entries(3)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(entries[0], 1)
        storage.save(world.record(world.key, title="kept"))
        await world.settle(storage)
        world.disk.error = NO_SPACE
        for entry in entries[1:]:
            log.append(entry, 1)
        storage.save(world.record(world.key, title="lost"))
        storage.close_log(world.key)
        await world.settle(storage)
        caplog.clear()
    assert caplog.text.count("cannot keep 2 entries of the conversation") == 1
    assert caplog.text.count("cannot write the record of s:main") == 1
    world.disk.error = None
    async with world.storage(LIMITS) as storage:
        assert [record.title for record in storage.records()] == ["kept"]
        again = world.open(storage)
        assert (again.start, again.head) == (0, 1)
        with pytest.raises(CursorExpired):
            again.locate(log.position(3))


def has_entries(world: World, role: str) -> bool:
    """Whether a log's files have more than headers."""
    segments = world.conversation.with_name(role).glob("*.segment")
    return any(path.stat().st_size > SEGMENT_HEADER_BYTES for path in segments)


async def test_each_log_is_tried_again_after_its_own_last_failure(world: World) -> None:
    other = SessionKey("s", "other")
    async with world.storage(LIMITS) as storage:
        log, late = world.open(storage), world.open(storage, other)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        log.append(text_frame(b"one"), 1)
        await world.pass_time(storage, 10)
        late.append(text_frame(b"two"), 1)
        await world.pass_time(storage, 10)
        storage.close_log(world.key)  # tries at once
        await world.settle(storage)
        world.disk.error = None
        tried = []
        for _ in range(3):
            await world.pass_time(storage, 10)
            tried.append([has_entries(world, role) for role in ("main", "other")])
        assert tried == [[False, False], [False, True], [True, True]]


async def test_a_conversation_that_is_deleted_in_an_outage_is_not_tried_again(
    world: World,
) -> None:
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        log.append(text_frame(b"one"), 1)
        await world.settle(storage)
        await storage.delete(world.key)
        assert storage.held_bytes == 0
        world.disk.error = None
        await world.pass_time(storage, LIMITS.retry_s)
    assert not world.conversation.exists()


async def test_a_new_log_whose_first_segment_cannot_be_made_is_known_once_it_can(
    world: World,
) -> None:
    async with world.storage(LIMITS) as storage:
        world.disk.error = NO_SPACE
        log = world.open(storage)
        await world.pass_time(storage, LIMITS.retry_s)
        assert world.segments == []
        world.disk.error = None
        await world.pass_time(storage, LIMITS.retry_s)
        assert len(world.segments) == 1
    async with world.storage(LIMITS) as storage:
        assert world.open(storage).locate(log.position(0)) == 0


async def test_a_sync_that_fails_as_a_log_is_closed_holds_nothing_back(world: World) -> None:
    entries = world.entries(2)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        for entry in entries:
            log.append(entry, 1)
        await world.settle(storage)
        storage.close_log(world.key)
        await world.disk.has_synced(1 + len(world.named))
        again = world.open(storage)
        again.append(entries[0], 1)
        await world.settle(storage)
        world.disk.sync_error = OSError(errno.EIO, os.strerror(errno.EIO))
        storage.sync(world.key)
        await world.hear_of_trouble()
        world.disk.sync_error = None
        storage.close_log(world.key)
        await world.settle(storage)
        assert storage.held_bytes == 0
        await world.pass_time(storage, LIMITS.retry_s)
        assert world.read_all(world.open(storage)) == b"".join([*entries, entries[0]])


async def test_a_log_that_was_let_go_of_stays_as_it_was_written_where_that_cannot_be_synced(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.storage(LIMITS) as storage:
        log = await let_go_behind_a_gap(world, storage, caplog)
        world.disk.error = NO_SPACE
        await world.pass_time(storage, LIMITS.retry_s)
        world.disk.error = None
        again = world.open(storage)
        assert (again.start, again.head) == (25, 25)
        assert again.locate(log.position(25)) == 25
        again.append(text_frame(b"more"), 1)
    async with world.storage(LIMITS) as storage:
        assert world.read_all(world.open(storage)) == text_frame(b"more")


async def test_a_conversation_that_was_let_go_of_and_deleted_stays_deleted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.storage(LIMITS) as storage:
        await let_go_behind_a_gap(world, storage, caplog)
        await storage.delete(world.key)
        await world.pass_time(storage, LIMITS.retry_s)
        assert not world.conversation.exists()


async def let_go_behind_a_gap(
    world: World, storage: FileStorage, caplog: pytest.LogCaptureFixture
) -> PublicLog:
    """A log of 25 entries that all are given up; where it ends is written, and cannot be synced."""
    outage = "cannot write a conversation's log"
    log = world.open(storage)
    log.append(text_frame(b"one"), 1)
    await world.settle(storage)
    world.disk.error = NO_SPACE
    log.append(world.entries(1, size=LIMITS.unstored_bytes)[0], 1)
    log.append(b"".join(world.entries(23, size=LIMITS.unstored_bytes)), 23)
    await world.until(storage, lambda: outage in caplog.text)
    assert (log.start, log.head) == (25, 25)
    world.disk.error = None
    world.disk.sync_error = OSError(errno.EIO, os.strerror(errno.EIO))
    storage.close_log(world.key)
    await world.until(storage, lambda: caplog.text.count(outage) == 2)
    world.disk.sync_error = None
    return log


FULL = """
import asyncio, resource, sys
from pathlib import Path
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, StorageLimits, SystemDisk
from acprelay.testing.session import FakeClock, FakeIds
from acprelay.wire import text_frame

entries = [text_frame(str(n).encode() * 100) for n in range(100)]

async def main():
    told, clock = [], FakeClock()
    storage = FileStorage(
        directory=Path(sys.argv[1]), ids=FakeIds(), clock=clock, disk=SystemDisk(),
        limits=StorageLimits(window_bytes=0),
    )
    async with storage:
        log = storage.open_log(
            SessionKey("s", "main"), on_relief=lambda: None, on_trouble=told.append
        )
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, most))
        for entry in entries[:99]:
            log.append(entry, 1)
            await storage.flush()
        assert [error.code for error in told] == ["unavailable"], told
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        log.append(entries[99], 1)
        clock.advance(30)
        for _ in range(3):  # the time is noticed, what is to be tried again is given, and written
            await storage.flush()
        place, given = 0, b""
        while place < log.head:
            blobs, place = log.read(place, upto=log.head, limit=1)
            given += b"".join(blobs)
        assert given == b"".join(entries)
        assert storage.held_bytes == 0

asyncio.run(main())
"""


@pytest.mark.process
async def test_a_file_that_the_system_lets_grow_no_further_is_followed_by_another(
    world: World,
) -> None:
    async with asyncio.timeout(60):
        relay = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FULL, str(world.directory), stderr=asyncio.subprocess.PIPE
        )
        _, said = await relay.communicate()
    assert (relay.returncode, b"File too large" in said) == (0, True), said.decode()
    first, second = world.segments
    assert first.stat().st_size <= 4_000 < second.stat().st_size
    async with world.storage(LIMITS) as storage:
        entries = [text_frame(str(n).encode() * 100) for n in range(100)]
        assert world.read_all(world.open(storage)) == b"".join(entries)
