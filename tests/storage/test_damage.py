"""Files that are not as they were written: nobody is given a wrong byte, and it is told."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import CursorExpired, StoreError, Unavailable
from acprelay.routing.log import PublicLog
from acprelay.storage import StorageLimits
from acprelay.storage.batches import BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES

if TYPE_CHECKING:
    from tests.storage.conftest import World

LIMITS = StorageLimits(segment_bytes=400, window_bytes=0, linger_s=0)
BATCH = BATCH_HEADER_BYTES + 102
PER_SEGMENT = 3
"""How many entries of `World.entries` the first segments have with these limits."""


@contextmanager
def flipped(path: Path, offset: int) -> Iterator[None]:
    """One bit of a file is wrong."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
    yield


def drain(world: World, log: PublicLog, entries: list[bytes]) -> int:
    """Reads a log as a client does that begins again where it is told to; tells from where."""
    while True:
        start = log.start
        try:
            given = world.read_all(log)
        except CursorExpired as error:
            expired = error
        else:
            assert given == b"".join(entries[start : log.head])
            return start
        assert expired.fields["oldest"] == str(log.position(log.start))
        assert log.start > start


async def test_a_wrong_bit_anywhere_in_an_old_segment_costs_what_lies_before_its_end(
    world: World,
) -> None:
    entries = world.entries(9)
    await world.write(entries, limits=LIMITS)
    assert [segment.stat().st_size for segment in world.segments] == [
        SEGMENT_HEADER_BYTES + PER_SEGMENT * BATCH
    ] * 3
    whole = world.directory.with_name("whole")
    world.directory.rename(whole)
    for offset in range(SEGMENT_HEADER_BYTES + PER_SEGMENT * BATCH):
        shutil.copytree(whole, world.directory)
        world.troubles.clear()
        damaged = world.segments[1]
        with flipped(damaged, offset):
            async with world.storage(LIMITS) as storage:
                log = world.open(storage)
                assert log.head == 9
                assert drain(world, log, entries) == 2 * PER_SEGMENT
                await world.settle(storage)
        assert [type(trouble) for trouble in world.troubles] == [StoreError]
        assert damaged.name in world.troubles[0].message
        assert [path.name for path in world.quarantined] == [damaged.name + ".damaged"]
        async with world.storage(LIMITS) as storage:
            log = world.open(storage)
            assert (log.start, log.head) == (2 * PER_SEGMENT, 9)
            assert drain(world, log, entries) == 2 * PER_SEGMENT
        assert len(world.troubles) == 1
        shutil.rmtree(world.directory)


async def test_a_wrong_bit_anywhere_in_the_last_segment_costs_what_lies_behind_it(
    world: World,
) -> None:
    entries = world.entries(6)
    await world.write(entries, limits=LIMITS)
    whole = world.directory.with_name("whole")
    world.directory.rename(whole)
    for offset in range(SEGMENT_HEADER_BYTES + PER_SEGMENT * BATCH):
        shutil.copytree(whole, world.directory)
        world.troubles.clear()
        last = world.segments[-1]
        left = PER_SEGMENT + max(offset - SEGMENT_HEADER_BYTES, 0) // BATCH
        more = world.entries(1, first=100)
        with flipped(last, offset):
            async with world.storage(LIMITS) as storage:
                log = world.open(storage)
                assert (log.start, log.head) == (0, left)
                assert drain(world, log, entries) == 0
                log.append(more[0], 1)
                await world.settle(storage)
        async with world.storage(LIMITS) as storage:
            log = world.open(storage)
            assert (log.start, log.head) == (0, left + 1)
            assert drain(world, log, entries[:left] + more) == 0
        shutil.rmtree(world.directory)


async def test_intact_batches_behind_damage_are_kept_in_a_file_and_told_of(world: World) -> None:
    entries = world.entries(3)
    await world.write(entries, limits=LIMITS)
    (segment,) = world.segments
    second = SEGMENT_HEADER_BYTES + BATCH
    with flipped(segment, second + BATCH_HEADER_BYTES + 50):
        rest = segment.read_bytes()[second:]
        async with world.storage(LIMITS) as storage:
            assert world.read_all(world.open(storage)) == entries[0]
            await world.settle(storage)
    (kept,) = world.conversation.glob("*.cut")
    assert kept.read_bytes() == rest
    assert kept.stat().st_mode & 0o777 == 0o600
    (trouble,) = world.troubles
    assert (trouble.code, trouble.data["path"]) == ("store_error", str(kept))


async def test_damage_in_the_segment_that_is_written_begins_another_one(world: World) -> None:
    entries = world.entries(5)
    limits = StorageLimits(window_bytes=250, linger_s=0)
    async with world.storage(limits) as storage:
        log = world.open(storage)
        for entry in entries[:4]:
            log.append(entry, 1)
        await world.settle(storage)
        (segment,) = world.segments
        with flipped(segment, SEGMENT_HEADER_BYTES + BATCH + 30):
            assert log.read(0, upto=1, limit=1) == ([entries[0]], 1)
            with pytest.raises(CursorExpired) as caught:
                log.read(1, upto=4, limit=1)
        # Two entries are in memory still, and are served from there.
        assert (log.start, log.head) == (2, 4)
        assert caught.value.fields == {"oldest": "id-1:2"}
        assert world.read_all(log, 2) == b"".join(entries[2:4])
        log.append(entries[4], 1)
        await world.settle(storage)
        assert world.read_all(log) == b"".join(entries[log.start :])
        assert len(world.quarantined) == 1
        assert len(world.troubles) == 1
    async with world.storage(limits) as storage:
        log = world.open(storage)
        assert (log.start, log.head) == (4, 5)
        assert world.read_all(log) == entries[4]


async def test_what_ends_before_a_segment_that_was_put_aside_is_not_served(world: World) -> None:
    entries = world.entries(8)
    await world.write(entries, limits=LIMITS)
    middle, last = world.segments[1:]
    middle.write_bytes(middle.read_bytes()[:-1])
    more = world.entries(1, first=100)
    with flipped(last, 0):
        async with world.storage(LIMITS) as storage:
            log = world.open(storage)
            assert (log.start, log.head) == (6, 6)
            log.append(more[0], 1)
            await world.settle(storage)
            assert world.read_all(log) == more[0]
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        assert (log.start, log.head) == (6, 7)
        assert world.read_all(log) == more[0]
    assert len(world.troubles) == 1


async def test_a_segment_that_is_gone_costs_what_lies_before_its_end(world: World) -> None:
    entries = world.entries(9)
    await world.write(entries, limits=LIMITS)
    world.segments[1].unlink()
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        assert drain(world, log, entries) == 2 * PER_SEGMENT


async def test_a_segment_that_vanishes_while_the_log_is_open_is_told_of(world: World) -> None:
    entries = world.entries(9)
    await world.write(entries, limits=LIMITS)
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        world.segments[0].unlink()
        assert drain(world, log, entries) == PER_SEGMENT
        await world.settle(storage)
    assert [type(trouble) for trouble in world.troubles] == [StoreError]


async def test_a_symbolic_link_in_place_of_a_segment_is_not_followed(world: World) -> None:
    entries = world.entries(6)
    await world.write(entries, limits=LIMITS)
    first = world.segments[0]
    async with world.storage(LIMITS) as storage:
        log = world.open(storage)
        elsewhere = first.rename(world.directory / "elsewhere")
        first.symlink_to(elsewhere)
        assert drain(world, log, entries) == PER_SEGMENT


async def test_a_log_that_cannot_be_read_at_all_is_not_opened(world: World) -> None:
    world.conversation.parent.mkdir(parents=True)
    world.conversation.write_text("no directory")
    async with world.storage(LIMITS) as storage:
        with pytest.raises(Unavailable, match=r"^cannot read the log in .*: Not a directory$"):
            world.open(storage)


async def test_a_log_that_is_all_put_aside_goes_on_behind_its_last_number(world: World) -> None:
    entries = world.entries(4)
    limits = StorageLimits(window_bytes=250, linger_s=0)
    async with world.storage(limits) as storage:
        log = world.open(storage)
        for entry in entries:
            log.append(entry, 1)
        await world.settle(storage)
        with flipped(world.segments[0], SEGMENT_HEADER_BYTES + 30), pytest.raises(CursorExpired):
            log.read(0, upto=4, limit=1)
        world.disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        storage.close_log(world.key)
        await world.settle(storage)
        assert world.open(storage).head == 4
        storage.close_log(world.key)
        world.disk.error = None
        await world.pass_time(storage, limits.retry_s)
        assert storage.held_bytes == 0
        assert world.open(storage).head == 4
    async with world.storage(limits) as storage:
        log = world.open(storage)
        assert (log.start, log.head) == (4, 4)


async def test_files_that_are_no_segments_are_left_alone(world: World) -> None:
    entries = world.entries(2)
    await world.write(entries, limits=LIMITS)
    note = world.conversation / "note.segment"
    note.write_text("mine")
    async with world.storage(LIMITS) as storage:
        assert world.read_all(world.open(storage)) == b"".join(entries)
    assert note.read_text() == "mine"
    assert world.troubles == []
