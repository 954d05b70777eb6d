"""A device that takes its time to make things durable holds up nobody but itself."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.session.models import SessionKey
from acprelay.storage import StorageLimits
from acprelay.storage.commands import (
    Audit,
    Barrier,
    Command,
    Save,
    SegmentFile,
    Stream,
    Sync,
)
from acprelay.storage.records import FORMER_NAME, RECORD_NAME
from acprelay.storage.syncer import SyncOrder, Unsynced
from acprelay.storage.writer import without_replaced
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World

LIMITS = StorageLimits(window_bytes=0, linger_s=0)
BROKEN = OSError(errno.EIO, os.strerror(errno.EIO))


async def test_what_is_given_while_something_is_synced_is_written_meanwhile(world: World) -> None:
    other = SessionKey("s", "other")
    entries = world.entries(20)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(entries[0], 1)
        world.disk.hold_syncs()
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        for entry in entries[1:]:
            log.append(entry, 1)
            storage.sync(world.key)
            storage.save(world.record(world.key))
            storage.save(world.record(other))
            storage.audit(b"{}")
            await world.settle(storage)
        assert storage.held_bytes == 0
        assert world.read_all(log) == b"".join(entries)
        assert {record.key for record in storage.records()} == {world.key, other}
        assert world.disk.synced == []


async def test_a_slow_device_is_asked_once_for_all_that_came_meanwhile(world: World) -> None:
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(text_frame(b"first"), 1)
        world.disk.hold_syncs()
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        for number in range(30):
            log.append(text_frame(b"%d" % number), 1)
            storage.save(world.record(world.key))
            storage.sync(world.key)
            await world.pass_time(storage, LIMITS.sync_interval_s)
        world.disk.release()
        await world.disk.has_synced(4 + len(world.named))
    (segment,) = world.segments
    assert world.disk.synced == [segment.name, *world.named, segment.name, "main", RECORD_NAME]


async def test_of_a_long_log_only_the_end_stays_in_the_memory_of_the_system(world: World) -> None:
    limits = StorageLimits(segment_bytes=2_000, cached_bytes=6_000, window_bytes=0, linger_s=0)
    entries = world.entries(200)
    async with world.storage(limits) as storage:
        log = world.open(storage)
        for entry in entries:
            log.append(entry, 1)
            await world.settle(storage)
        kept = limits.cached_bytes // limits.segment_bytes + 1  # the one that is written beside
        names = [path.name for path in world.segments]
        assert world.disk.evicted == names[:-kept]
        assert world.disk.evicted
        assert world.read_all(log) == b"".join(entries)


async def test_the_end_of_the_relay_waits_until_all_is_durable(world: World) -> None:
    storage = world.make_storage(LIMITS)
    await storage.__aenter__()
    log = world.open(storage)
    log.append(text_frame(b"one"), 1)
    storage.save(world.record(world.key))
    world.disk.hold_syncs()
    storage.sync(world.key)
    await world.disk.has_begun_to_sync()
    end = asyncio.get_running_loop().create_task(storage.__aexit__(None, None, None))
    await asyncio.sleep(0)
    assert not end.done()
    world.disk.release()
    async with asyncio.timeout(30):
        await end
    (segment,) = world.segments
    assert world.disk.synced == [segment.name, *world.named, RECORD_NAME]
    assert [path.name for path in world.conversation.glob("record*")] == [RECORD_NAME]


async def test_the_end_of_the_relay_may_be_given_up_and_comes_all_the_same(world: World) -> None:
    threads = threading.active_count()
    storage = world.make_storage(LIMITS)
    await storage.__aenter__()
    log = world.open(storage)
    await world.settle(storage)
    world.disk.hold()
    log.append(text_frame(b"one"), 1)
    end = asyncio.get_running_loop().create_task(storage.__aexit__(None, None, None))
    await asyncio.sleep(0)
    end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await end
    writers = [thread for thread in threading.enumerate() if "acprelay" in thread.name]
    assert len(writers) == 2
    world.disk.release()
    for thread in writers:
        thread.join(30)
    assert threading.active_count() == threads
    async with world.storage(LIMITS) as storage:
        assert world.open(storage).head == 1


async def test_a_sync_that_fails_costs_nothing_of_what_was_written_meanwhile(
    world: World,
) -> None:
    entries = world.entries(6)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        log.append(entries[0], 1)
        world.disk.hold_syncs()
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        for entry in entries[1:3]:
            log.append(entry, 1)
        await world.settle(storage)
        world.disk.sync_error = BROKEN
        world.disk.release()
        await world.hear_of_trouble()
        world.disk.sync_error = None
        for entry in entries[3:5]:
            log.append(entry, 1)
        await world.settle(storage)
        assert storage.held_bytes > 0
        await world.pass_time(storage, LIMITS.retry_s)
        assert storage.held_bytes == 0
        log.append(entries[5], 1)
        assert world.read_all(log) == b"".join(entries)
    assert len(world.troubles) == 1
    async with world.storage(LIMITS) as storage:
        assert world.read_all(world.open(storage)) == b"".join(entries)


async def test_a_conversation_is_deleted_while_it_is_synced_and_nobody_is_told_of_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.storage(LIMITS) as storage:
        world.open(storage).append(text_frame(b"one"), 1)
        storage.save(world.record(world.key))
        world.disk.hold_syncs()
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        async with asyncio.timeout(30):
            await storage.delete(world.key)
        assert not world.conversation.exists()
        world.disk.sync_error = BROKEN
        world.disk.release()
        await world.disk.has_synced(1)
        world.disk.sync_error = None
        again = world.open(storage)
        again.append(text_frame(b"new"), 1)
        storage.save(world.record(world.key, title="new"))
        storage.sync(world.key)
    async with world.storage(LIMITS) as storage:
        assert [record.title for record in storage.records()] == ["new"]
        assert world.read_all(world.open(storage)) == text_frame(b"new")
    assert (world.troubles, caplog.text) == ([], "")


async def test_a_log_is_flushed_without_waiting_for_more_to_come(world: World) -> None:
    async with world.storage(StorageLimits(linger_s=3_600)) as storage:
        log = world.open(storage)
        for number in range(300):  # more than is taken at once
            log.append(text_frame(b"%d" % number), 1)
        await world.settle(storage)
        log.append(text_frame(b"last"), 1)
        async with asyncio.timeout(30):
            await storage.delete(world.key)
        world.open(storage).append(text_frame(b"new"), 1)


@pytest.mark.parametrize("lost", ["empty", "zeros", "half"])
async def test_a_power_cut_that_costs_a_record_gives_back_the_durable_one_before(
    world: World, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    after = world.directory.with_name("after")
    async with world.storage(LIMITS) as storage:
        storage.save(world.record(world.key, title="durable"))
        storage.sync(world.key)
        await world.disk.has_synced(1 + len(world.named))
        await world.settle(storage)
        assert [path.name for path in world.conversation.iterdir()] == [RECORD_NAME]
        world.disk.hold_syncs()
        for title in ("lost", "last"):
            storage.save(world.record(world.key, title=title))
            await world.settle(storage)
            storage.sync(world.key)
        assert [record.title for record in storage.records()] == ["last"]
        shutil.copytree(world.directory, after)
    world.directory = after
    record = world.conversation / RECORD_NAME
    data = record.read_bytes()
    record.write_bytes({"empty": b"", "zeros": bytes(len(data)), "half": data[:50]}[lost])
    async with world.storage(LIMITS) as storage:
        assert [record.title for record in storage.records()] == ["durable"]
        assert [record.title for record in storage.records()] == ["durable"]
        storage.save(world.record(world.key, title="next"))
    assert "cannot read the record" in caplog.text
    kept = sorted(path.name for path in world.conversation.iterdir())
    assert kept == [RECORD_NAME, RECORD_NAME + ".damaged"]


async def test_a_relay_killed_between_two_names_of_a_record_has_the_one_before(
    world: World,
) -> None:
    async with world.storage(LIMITS) as storage:
        storage.save(world.record(world.key))
    (world.conversation / RECORD_NAME).rename(world.conversation / FORMER_NAME)
    async with world.storage(LIMITS) as storage:
        assert storage.records() == (world.record(world.key),)
        storage.save(world.record(world.key, title="next"))
        await world.settle(storage)
        assert (world.conversation / FORMER_NAME).exists()
    assert [path.name for path in world.conversation.iterdir()] == [RECORD_NAME]


@pytest.mark.parametrize("is_ordered_at_once", [False, True])
async def test_a_record_that_was_saved_again_while_it_was_synced_keeps_the_one_before(
    world: World, is_ordered_at_once: bool
) -> None:
    former = world.conversation / FORMER_NAME
    async with world.storage(LIMITS) as storage:
        storage.save(world.record(world.key, title="durable"))
        storage.sync(world.key)
        await world.disk.has_synced(1 + len(world.named))
        world.disk.hold_syncs()
        storage.save(world.record(world.key, title="second"))
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        storage.save(world.record(world.key, title="third"))
        if is_ordered_at_once:
            storage.sync(world.key)
        await world.settle(storage)
        world.disk.hold_syncs(but=2)
        await world.disk.has_synced(3 + len(world.named))
        await world.settle(storage)
        assert b"durable" in former.read_bytes()
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        assert b"durable" in former.read_bytes()
        world.disk.release()
        await world.until(storage, lambda: not former.exists())
        assert world.disk.synced == [RECORD_NAME, *world.named, *[RECORD_NAME, "main"] * 2]
        assert [record.title for record in storage.records()] == ["third"]


async def test_a_record_that_cannot_be_made_durable_is_told_of_and_written_again(
    world: World,
) -> None:
    former = world.conversation / FORMER_NAME
    async with world.storage(LIMITS) as storage:
        world.open(storage)
        storage.save(world.record(world.key, title="durable"))
        storage.sync(world.key)
        await world.disk.has_synced(2 + len(world.named))
        world.disk.sync_error = BROKEN
        storage.save(world.record(world.key, title="next"))
        storage.sync(world.key)
        await world.hear_of_trouble()
        assert former.exists()
        world.disk.sync_error = None
        await world.pass_time(storage, LIMITS.retry_s)
        storage.sync(world.key)
        await world.until(storage, lambda: not former.exists())
        assert [record.title for record in storage.records()] == ["next"]


async def test_a_record_that_cannot_take_its_place_does_not_cost_the_one_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def refuse(path: str, target: str) -> None:
        if Path(target).name == RECORD_NAME:
            raise BROKEN
        replace(path, target)

    async with world.storage(LIMITS) as storage:
        storage.save(world.record(world.key, title="first"))
        world.disk.hold_syncs()
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            storage.save(world.record(world.key, title="next"))
            await world.settle(storage)
            world.disk.release()
            await world.disk.has_synced(1 + len(world.named))
            storage.save(world.record(SessionKey("t", "main")))
            storage.sync(SessionKey("t", "main"))
            await world.settle(storage)
        assert "first" in [record.title for record in storage.records()]
        await world.pass_time(storage, LIMITS.retry_s)
        assert "next" in [record.title for record in storage.records()]


KILLED = """
import asyncio, sys, threading
from pathlib import Path
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, SystemDisk
from acprelay.testing.session import FakeClock, FakeIds
from acprelay.wire import text_frame

class Stuck(SystemDisk):
    def __init__(self):
        self.is_asked = threading.Event()

    def sync(self, fd):
        self.is_asked.set()
        threading.Event().wait()

def record(key, title):
    return ConversationRecord(
        key=key, agent="coder", cwd="/", params=b"{}", agent_session_id="own", title=title,
        created_at=1.5, updated_at=2.5,
    )

async def main():
    disk = Stuck()
    async with FileStorage(
        directory=Path(sys.argv[1]), ids=FakeIds("killed"), clock=FakeClock(), disk=disk
    ) as storage:
        logs = {}
        for role in ("main", "other"):
            key = SessionKey("s", role)
            logs[key] = storage.open_log(
                key, on_relief=lambda: None, on_trouble=lambda error: None
            )
            for n in range(50):
                logs[key].append(text_frame(b"%d" % n), 1)
                storage.save(record(key, str(n)))
            storage.sync(key)
            await asyncio.to_thread(disk.is_asked.wait)
            await storage.flush()
        print("flushed", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.process
async def test_a_relay_that_is_killed_while_the_device_hangs_leaves_all_that_was_given(
    world: World,
) -> None:
    async with asyncio.timeout(60):
        relay = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, str(world.directory), stdout=asyncio.subprocess.PIPE
        )
        assert relay.stdout is not None
        assert await relay.stdout.readline() == b"flushed\n"
        relay.kill()
        assert await relay.wait() == -signal.SIGKILL
    entries = b"".join(text_frame(b"%d" % n) for n in range(50))
    async with world.storage(LIMITS) as storage:
        assert [record.title for record in storage.records()] == ["49", "49"]
        for role in ("main", "other"):
            log = world.open(storage, SessionKey("s", role))
            assert (log.head, world.read_all(log)) == (50, entries)
    assert world.troubles == []


async def test_of_records_that_follow_one_another_the_last_is_kept_before_each_barrier(
    world: World,
) -> None:
    other = SessionKey("s", "other")
    one, two, three = (Save(world.record(world.key, title=title)) for title in "123")
    aside = Save(world.record(other))
    audit, barrier = Audit(b"{}"), Barrier(asyncio.get_running_loop().create_future())
    assert without_replaced([]) == []
    assert without_replaced([one, aside, audit, two]) == [aside, audit, two]
    assert without_replaced([one, two, barrier, three]) == [two, barrier, three]


async def test_what_has_a_record_made_durable_comes_behind_the_one_that_replaces_it(
    world: World,
) -> None:
    other = SessionKey("s", "other")
    one, two, three = (Save(world.record(world.key, title=title)) for title in "123")
    aside, sync, audit = Save(world.record(other)), Sync(world.key), Audit(b"{}")
    barrier = Barrier(asyncio.get_running_loop().create_future())
    assert without_replaced([one, sync, two]) == [two, sync]
    assert without_replaced([one, sync, two, sync, three]) == [three, sync]
    assert without_replaced([one, two, sync]) == [two, sync]
    assert without_replaced([sync, aside, Sync(other)]) == [sync, aside, Sync(other)]
    later = Save(world.record(other, title="2"))
    mixed: list[Command] = [one, sync, aside, Sync(other), audit, two, later]
    assert without_replaced(mixed) == [audit, two, sync, later, Sync(other)]
    assert without_replaced([one, sync, barrier, two]) == [one, sync, barrier, two]


async def test_a_record_that_is_saved_again_before_it_is_written_is_made_durable_no_later(
    world: World,
) -> None:
    async with world.storage(StorageLimits(linger_s=3_600)) as storage:
        storage.save(world.record(world.key, title="first"))
        storage.sync(world.key)
        storage.save(world.record(world.key, title="second"))
        await world.settle(storage)
        await world.disk.has_synced(1 + len(world.named))  # no time has passed
        assert world.disk.synced == [RECORD_NAME, *world.named]
        assert [record.title for record in storage.records()] == ["second"]


class FakeOwner:
    """Of a stream that nothing is told of."""

    def on_written(self, runs: int, size: int, last: int) -> None:
        raise NotImplementedError

    def on_failed(self, error: Exception) -> None:
        raise NotImplementedError

    def on_pause_ended(self) -> None:
        raise NotImplementedError


def segment(path: str) -> SegmentFile:
    return SegmentFile(path, b"", Stream(FakeOwner()))


def test_one_order_is_given_at_a_time_and_what_came_meanwhile_is_one_more() -> None:
    orders: list[SyncOrder] = []
    unsynced = Unsynced(put=orders.append)
    file, key = segment("/c/a/1"), SessionKey("s", "main")
    unsynced.sync(file)
    assert (orders, unsynced.is_idle, unsynced.is_ordered) == ([], True, True)
    unsynced.note_name("/c/a")
    unsynced.note(file, "/c/a/1")
    unsynced.note(file, "/c/a/1")
    assert file in unsynced
    assert not unsynced.is_ordered
    unsynced.sync(file)
    assert orders == [SyncOrder(file, ("/c/a/1", "/c/a"))]
    assert file in unsynced
    unsynced.note(key, "/c/a/r")
    for _ in range(3):
        unsynced.note(file, "/c/a/1")
        unsynced.sync_all()
    assert (len(orders), unsynced.is_ordered, unsynced.is_idle) == (1, True, False)
    assert unsynced.take_back(None)
    assert file in unsynced, "there is more of it"
    assert key in unsynced
    assert unsynced.take_back(None)
    assert key not in unsynced
    assert file in unsynced, "that is under way"
    assert unsynced.take_back(None)
    assert file not in unsynced
    assert [order.target for order in orders] == [file, key, file]
    assert unsynced.is_idle


def test_what_is_forgotten_is_not_ordered_and_what_was_ordered_no_longer_matters() -> None:
    orders: list[SyncOrder] = []
    unsynced = Unsynced(put=orders.append)
    files = [segment(path) for path in ("/c/a/1", "/c/a/2", "/c/a/3", "/c/ab/1")]
    for file in files:
        unsynced.note(file, file.path)
    for file in files[:2]:
        unsynced.sync(file)
    unsynced.forget_below(Path("/c/a"))
    assert unsynced.take_back(None) is False
    unsynced.sync_all()
    assert [order.target for order in orders] == [files[0], files[3]]
    unsynced.forget(files[1])
    assert unsynced.take_back(None) is True


def test_an_order_has_the_new_names_above_its_file_until_they_are_durable() -> None:
    orders: list[SyncOrder] = []
    unsynced = Unsynced(put=orders.append)
    for path in ("/c/a/1", "/c/a/2", "/c/b/1", "/c/b/2"):
        unsynced.note(segment(path), path)
    for directory in ("/", "/c", "/c/a", "/c/b"):
        unsynced.note_name(directory)
    unsynced.sync_all()
    unsynced.take_back(BROKEN)  # nothing of it is certain
    unsynced.note_name("/c")  # and this may have come after what is under way
    unsynced.take_back(None)
    unsynced.take_back(None)
    unsynced.take_back(None)
    assert [order.paths for order in orders] == [
        ("/c/a/1", "/c/a", "/c", "/"),
        ("/c/a/2", "/c/a", "/c", "/"),
        ("/c/b/1", "/c/b", "/c"),
        ("/c/b/2",),
    ]


def test_names_in_a_directory_that_is_gone_are_forgotten_and_those_beside_it_are_not() -> None:
    orders: list[SyncOrder] = []
    unsynced = Unsynced(put=orders.append)
    for directory in ("/c", "/c/a", "/c/ab"):
        unsynced.note_name(directory)
    unsynced.forget_below(Path("/c/a"))
    for path in ("/c/a/1", "/c/ab/1"):
        unsynced.note(segment(path), path)
    unsynced.sync_all()
    unsynced.take_back(None)
    assert [order.paths for order in orders] == [("/c/a/1", "/c"), ("/c/ab/1", "/c/ab")]


async def test_a_conversation_is_durable_with_the_names_of_all_directories_above_it(
    world: World,
) -> None:
    other, apart = SessionKey("s", "other"), SessionKey("t", "main")
    async with world.storage(LIMITS) as storage:
        for key, named in [
            (world.key, world.named),
            (other, ["other", "s"]),
            (apart, ["main", "t", "conversations"]),
        ]:
            world.disk.synced.clear()
            world.open(storage, key)
            storage.sync(key)
            await world.disk.has_synced(1 + len(named))
            assert world.disk.synced[1:] == named


async def test_directories_that_were_made_for_what_could_not_be_written_are_durable_with_the_next(
    world: World,
) -> None:
    async with world.storage(LIMITS) as storage:
        world.disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        world.open(storage)
        await world.hear_of_trouble()
        assert world.segments == []
        world.disk.error = None
        storage.save(world.record(world.key))
        storage.sync(world.key)
        await world.disk.has_synced(1 + len(world.named))
        assert world.disk.synced == [RECORD_NAME, *world.named]


async def test_a_conversation_that_follows_a_deleted_one_under_its_name_is_durable(
    world: World,
) -> None:
    async with world.storage(LIMITS) as storage:
        for named in (world.named, ["main", "s", "conversations"]):
            world.disk.synced.clear()
            storage.save(world.record(world.key))
            storage.sync(world.key)
            await world.disk.has_synced(1 + len(named))
            assert world.disk.synced == [RECORD_NAME, *named]
            await storage.delete(world.key)


async def test_a_directory_made_beside_one_that_is_being_made_durable_is_durable_too(
    world: World,
) -> None:
    other = SessionKey("s", "other")
    async with world.storage(LIMITS) as storage:
        storage.save(world.record(world.key))
        world.disk.hold_syncs()
        storage.sync(world.key)
        await world.disk.has_begun_to_sync()
        storage.save(world.record(other))
        storage.sync(other)
        await world.settle(storage)
        world.disk.release()
        await world.disk.has_synced(4 + len(world.named))
        assert world.disk.synced == [RECORD_NAME, *world.named, RECORD_NAME, "other", "s"]


async def test_the_audit_log_is_made_durable_when_the_interval_is_over(world: World) -> None:
    async with world.storage(LIMITS) as storage:
        for synced in (["audit.jsonl", *world.named[-2:]], ["audit.jsonl"]):
            world.disk.synced.clear()
            storage.audit(b"{}")
            await world.pass_time(storage, LIMITS.sync_interval_s)
            await world.disk.has_synced(len(synced))
            assert world.disk.synced == synced


async def test_an_audit_log_that_was_taken_away_goes_on_in_a_new_file_of_its_name(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    path = world.directory / "audit.jsonl"
    async with world.storage(LIMITS) as storage:
        storage.audit(b"1")
        await world.settle(storage)
        path.rename(world.directory / "older")
        await world.pass_time(storage, LIMITS.sync_interval_s)
        await world.until(storage, lambda: "cannot make the audit log" in caplog.text)
        storage.audit(b"2")
    assert path.read_bytes() == b"2\n"
    assert caplog.text.count("cannot make the audit log") == 1
