"""Conversations in files: what is where, in which order, for whom, and in whose memory."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from acprelay.errors import LocalProtocolError, Unavailable
from acprelay.session.models import SessionKey
from acprelay.storage import StorageLimits
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_everything_is_for_the_relays_owner_alone(world: World) -> None:
    async with world.storage() as storage:
        storage.save(world.record(world.key))
        storage.audit(b"{}")
        world.open(storage).append(text_frame(b"one"), 1)
        await world.settle(storage)
        modes = {
            str(path.relative_to(world.directory)): path.stat().st_mode & 0o777
            for path in world.directory.rglob("*")
        }
    segment = "conversations/s/main/00000000000000000001.id-1.segment"
    assert modes == {
        "audit.jsonl": 0o600,
        "conversations": 0o700,
        "conversations/s": 0o700,
        "conversations/s/main": 0o700,
        "conversations/s/main/record.json": 0o600,
        segment: 0o600,
    }


async def test_a_record_holds_its_raw_json_as_json(world: World) -> None:
    async with world.storage() as storage:
        storage.save(world.record(world.key, title="T"))
        await world.settle(storage)
        stored = json.loads((world.conversation / "record.json").read_bytes())
    assert stored == {
        "format": 1,
        "key": "s:main",
        "agent": "coder",
        "cwd": "/",
        "worktree": None,
        "params": {"cwd": "/", "x": [1.0, 1]},
        "agent_session_id": "own",
        "run": 1,
        "snapshot": {},
        "turn": None,
        "position": None,
        "title": "T",
        "created_at": 1.5,
        "updated_at": 2.5,
    }


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"key":"s:main"}', b"\0" * 100, b"[" * 100_000]
)
async def test_an_unreadable_record_is_put_aside_and_the_others_are_listed(
    world: World, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    other = world.record(SessionKey("t", "main"))
    async with world.storage() as storage:
        storage.save(world.record(world.key))
        storage.save(other)
    (world.conversation / "record.json").write_bytes(content)
    async with world.storage() as storage:
        assert storage.records() == (other,)
    assert (world.conversation / "record.json.damaged").read_bytes() == content
    assert "cannot read the record" in caplog.text


async def test_a_record_with_half_a_character_is_given_back_as_it_was_saved(world: World) -> None:
    half = replace(
        world.record(world.key),
        params=b'{"cwd": "/", "_meta": {"x": "\\ud83d", "y": "\\ud83d\\ude00"}}',
        snapshot=b'{"updates":{"plan":{"entries":[{"content":"a roof \\ud83d"}]}}}',
    )
    async with world.storage() as storage:
        storage.save(half)
    async with world.storage() as storage:
        assert storage.records() == (half,)


async def test_a_record_that_names_something_twice_is_put_aside(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.storage() as storage:
        storage.save(replace(world.record(world.key), params=b'{"x":"\\ud83d"}'))
    record = world.conversation / "record.json"
    record.write_bytes(b'{"params":{},' + record.read_bytes()[1:])
    async with world.storage() as storage:
        assert storage.records() == ()
    assert "cannot read the record" in caplog.text


async def test_a_record_in_the_place_of_another_is_put_aside(world: World) -> None:
    async with world.storage() as storage:
        storage.save(world.record(world.key))
    (world.directory / "conversations" / "s").rename(world.directory / "conversations" / "t")
    async with world.storage() as storage:
        assert storage.records() == ()


async def test_of_records_that_wait_only_the_last_is_written_after_the_log(world: World) -> None:
    async with world.storage(StorageLimits(linger_s=0)) as storage:
        world.disk.hold()
        storage.audit(b"held")  # the writer takes this alone, and then all the rest together
        log = world.open(storage)
        for number in range(5):
            storage.save(world.record(world.key, title=str(number)))
            log.append(text_frame(b"%d" % number), 1)
        storage.save(world.record(world.key, title="last"))
        world.disk.release()
        await world.settle(storage)
        (record,) = storage.records()
        assert record.title == "last"
    assert 1 <= len([n for n in world.disk.calls if n == 1]) - 1 <= 2


async def test_a_record_that_could_not_be_saved_is_told_of_and_saved_later(world: World) -> None:
    async with world.storage() as storage:
        world.open(storage)
        await world.settle(storage)
        world.disk.error = NO_SPACE
        storage.save(world.record(world.key, title="old"))
        storage.save(world.record(world.key, title="new"))
        await world.settle(storage)
        assert storage.records() == ()
        assert [type(trouble) for trouble in world.troubles] == [Unavailable]
        world.disk.error = None
        await world.pass_time(storage, 30)
        (record,) = storage.records()
        assert record.title == "new"
    assert len(world.troubles) == 1


async def test_a_record_that_could_not_be_saved_is_tried_again_at_the_end(world: World) -> None:
    async with world.storage() as storage:
        world.disk.error = NO_SPACE
        storage.save(world.record(world.key))
        await world.settle(storage)
        world.disk.error = None
    async with world.storage() as storage:
        assert storage.records() == (world.record(world.key),)


async def test_a_record_that_could_not_be_saved_does_not_outlive_its_conversation(
    world: World,
) -> None:
    async with world.storage() as storage:
        world.disk.error = NO_SPACE
        storage.save(world.record(world.key))
        await world.settle(storage)
        world.disk.error = None
        await storage.delete(world.key)
    async with world.storage() as storage:
        assert storage.records() == ()


@pytest.mark.requirement("policy.decisions-are-audited")
async def test_the_audit_log_has_a_line_for_each_decision_and_is_added_to(world: World) -> None:
    for number in range(2):
        async with world.storage() as storage:
            storage.audit(b'{"n": %d}' % number)
            storage.audit(b'{"text":\n"\\n"}')
    lines = (world.directory / "audit.jsonl").read_bytes().splitlines()
    assert lines == [b'{"n": 0}', b'{"text": "\\n"}', b'{"n": 1}', b'{"text": "\\n"}']


async def test_audit_lines_that_wait_are_written_together(world: World) -> None:
    async with world.storage(StorageLimits(linger_s=0)) as storage:
        world.disk.hold()
        storage.audit(b"held")  # the writer takes this alone, and then all the rest together
        log = world.open(storage)
        for number in range(3):
            storage.audit(b"%d" % number)
            log.append(text_frame(b"%d" % number), 1)
        world.disk.release()
        await world.settle(storage)
    lines = (world.directory / "audit.jsonl").read_bytes().splitlines()
    assert lines == [b"held", b"0", b"1", b"2"]
    assert len(world.disk.calls) <= 3  # what was held, the log, the other lines


async def test_an_audit_line_that_was_cut_off_is_ended_before_the_next(world: World) -> None:
    world.directory.mkdir()
    (world.directory / "audit.jsonl").write_bytes(b'{"whole":1}\n{"cut":')
    async with world.storage() as storage:
        storage.audit(b'{"next":1}')
        await world.settle(storage)
        world.disk.room = 3
        storage.audit(b'{"torn":1}')
        await world.settle(storage)
        world.disk.room = None
        storage.audit(b'{"last":1}')
    lines = (world.directory / "audit.jsonl").read_bytes().splitlines()
    assert lines == [b'{"whole":1}', b'{"cut":', b'{"next":1}', b'{"t', b'{"last":1}']


@pytest.mark.parametrize(
    ("lost", "said"), [(1, "an entry is lost"), (3, "up to 3 entries are lost")]
)
async def test_the_relays_log_says_how_many_audit_entries_are_lost(
    world: World, caplog: pytest.LogCaptureFixture, lost: int, said: str
) -> None:
    path = world.directory / "audit.jsonl"
    async with world.storage() as storage:
        world.disk.error = NO_SPACE
        for _ in range(lost):
            storage.audit(b"{}")
        await world.settle(storage)
        world.disk.error = None
    assert f"cannot write to the audit log {path}, {said}: No space left" in caplog.text


async def test_a_log_is_opened_once(world: World) -> None:
    async with world.storage() as storage:
        world.open(storage)
        with pytest.raises(LocalProtocolError, match=r"^cannot open the log of s:main"):
            world.open(storage)


async def test_a_closed_log_is_neither_in_memory_nor_open(world: World) -> None:
    keys = [SessionKey("s", f"r{n}") for n in range(20)]
    async with world.storage(StorageLimits(open_files=4, linger_s=0)) as storage:
        for key in keys:
            log = world.open(storage, key)
            log.append(text_frame(b"entry"), 1)
        await world.settle(storage)
        assert storage.held_bytes == 20 * 7
        assert open_segments(world) <= 4
        for key in keys:
            storage.close_log(key)
        await world.settle(storage)
        assert storage.held_bytes == 0
        await world.until(storage, lambda: open_segments(world) == 0)


def open_segments(world: World) -> int:
    """How many files below its directory this process has open."""
    links: list[Path] = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the others
            links.append(fd.readlink())
    return len([link for link in links if link.is_relative_to(world.directory / "conversations")])


async def test_readers_of_many_logs_keep_few_files_open(world: World) -> None:
    limits = StorageLimits(window_bytes=0, open_files=4, linger_s=0)
    async with world.storage(limits) as storage:
        logs = [world.open(storage, SessionKey("s", f"r{n}")) for n in range(20)]
        for log in logs:
            log.append(text_frame(b"entry"), 1)
        await world.settle(storage)
        for log in logs:
            assert world.read_all(log) == text_frame(b"entry")
        assert open_segments(world) <= 4


async def test_what_is_appended_is_durable_once_synced(world: World) -> None:
    async with world.storage() as storage:
        log = world.open(storage)
        log.append(text_frame(b"one"), 1)
        await world.settle(storage)
        assert world.disk.synced == []
        storage.sync(world.key)
        (segment,) = world.segments
        await world.disk.has_synced(1 + len(world.named))
        storage.sync(world.key)
        log.append(text_frame(b"two"), 1)
        storage.sync(world.key)
        await world.disk.has_synced(2 + len(world.named))
    assert world.disk.synced == [segment.name, *world.named, segment.name]


async def test_what_is_written_is_synced_when_the_interval_is_over(world: World) -> None:
    async with world.storage() as storage:
        world.open(storage).append(text_frame(b"one"), 1)
        await world.settle(storage)
        storage.save(world.record(world.key))
        await world.pass_time(storage, 0.99)
        assert world.disk.synced == []
        await world.pass_time(storage, 0.02)
        await world.disk.has_synced(2 + len(world.named))
    (segment,) = world.segments
    assert world.disk.synced == [segment.name, *world.named, "record.json"]


async def test_leaving_writes_and_syncs_everything_and_ends_the_threads(world: World) -> None:
    before = threading.active_count()
    async with world.storage() as storage:
        log = world.open(storage)
        entries = world.entries(50)
        for entry in entries:
            log.append(entry, 1)
        storage.save(world.record(world.key))
        assert threading.active_count() == before + 2
    assert threading.active_count() == before
    assert {path.name for path in world.segments} | {"record.json"} <= set(world.disk.synced)
    assert open_segments(world) == 0
    async with world.storage() as storage:
        assert world.read_all(world.open(storage)) == b"".join(entries)


async def test_deleting_follows_no_symbolic_link(world: World) -> None:
    elsewhere = world.directory.with_name("elsewhere")
    (elsewhere / "main").mkdir(parents=True)
    mine = elsewhere / "main" / "mine"
    mine.write_text("mine")
    linked = world.directory / "conversations" / "s"
    linked.mkdir(parents=True)
    (linked / "main").symlink_to(elsewhere / "main")
    async with world.storage() as storage:
        await storage.delete(world.key)
        assert mine.read_text() == "mine"
        assert not linked.exists()
        linked.symlink_to(elsewhere)
        with pytest.raises(Unavailable, match=r"^cannot remove the conversation's files"):
            await storage.delete(world.key)
    assert mine.read_text() == "mine"


async def test_a_cancelled_flush_harms_nobody(world: World) -> None:
    async with world.storage() as storage:
        log = world.open(storage)
        world.disk.hold()
        log.append(text_frame(b"one"), 1)
        flush = asyncio.ensure_future(storage.flush())  # noqa: TID251 - awaited below
        await asyncio.sleep(0)
        flush.cancel()
        world.disk.release()
        await world.settle(storage)
        assert flush.cancelled()
        assert log.head == 1


async def test_a_record_that_is_no_json_harms_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with world.storage() as storage:
        storage.save(world.record(world.key, title="\ud800"))
        await world.settle(storage)
        log = world.open(storage)
        log.append(text_frame(b"one"), 1)
        await world.settle(storage)
    assert "cannot write the record of s:main" in caplog.text
    assert len(world.segments) == 1


async def test_much_that_waits_is_written_and_told_in_parts(world: World) -> None:
    entries = world.entries(300, size=20_000)
    async with world.storage(StorageLimits(window_bytes=0, linger_s=0)) as storage:
        log = world.open(storage)
        world.disk.hold()
        for entry in entries:
            log.append(entry, 1)
        world.disk.release()
        await world.settle(storage)
        assert max(world.disk.calls) <= 2 * 53 + 1  # 53 entries have 1 MiB
        assert storage.held_bytes == 0
        assert world.read_all(log, limit=1 << 20) == b"".join(entries)


async def test_what_was_never_appended_need_not_be_synced(world: World) -> None:
    await world.write(world.entries(1))
    async with world.storage() as storage:
        world.open(storage)
        synced = list(world.disk.synced)
        storage.sync(world.key)
        await world.settle(storage)
    assert world.disk.synced == synced


async def test_one_write_takes_what_is_waiting_together(world: World) -> None:
    async with world.storage() as storage:
        log = world.open(storage)
        await world.settle(storage)
        world.disk.calls.clear()
        world.disk.hold()
        for entry in world.entries(10):
            log.append(entry, 1)
        world.disk.release()
        await world.settle(storage)
    assert len(world.disk.calls) <= 3
    assert sum(world.disk.calls) == 20
