"""What is left of a log when its relay ends where it stands, and what the next one makes of it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import CursorExpired
from acprelay.routing.log import Position
from acprelay.storage import StorageLimits
from acprelay.storage.batches import BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World

ONE_SEGMENT = StorageLimits(linger_s=0)


@pytest.mark.requirement("positions.lost-tail-is-told")
async def test_a_log_cut_off_anywhere_ends_with_its_last_whole_batch(world: World) -> None:
    entries = world.entries(4, size=60)
    await world.write(entries, limits=ONE_SEGMENT)
    whole = world.directory.with_name("whole")
    world.directory.rename(whole)
    batch = BATCH_HEADER_BYTES + len(entries[0])
    size = SEGMENT_HEADER_BYTES + 4 * batch
    for kept in range(size + 1):
        shutil.copytree(whole, world.directory)
        (segment,) = world.segments
        assert segment.stat().st_size == size
        with segment.open("r+b") as file:
            file.truncate(kept)
        left = max(kept - SEGMENT_HEADER_BYTES, 0) // batch
        async with world.storage(ONE_SEGMENT) as storage:
            log = world.open(storage)
            assert (log.start, log.head) == (0, left)
            assert log.generation != "id-1"
            assert world.read_all(log) == b"".join(entries[:left])
            if kept >= SEGMENT_HEADER_BYTES:
                assert log.locate(Position("id-1", left)) == left
            with pytest.raises(CursorExpired):
                log.locate(Position("id-1", left + 1))
            more = text_frame(b"more")
            log.append(more, 1)
            await world.settle(storage)
            with pytest.raises(CursorExpired):
                log.locate(Position("id-1", left + 1))
            assert log.locate(Position(log.generation, left + 1)) == left + 1
        async with world.storage(ONE_SEGMENT) as storage:
            log = world.open(storage)
            assert world.read_all(log) == b"".join(entries[:left]) + more
        shutil.rmtree(world.directory)
    assert world.troubles == []


async def test_the_bytes_of_a_torn_batch_are_gone_from_the_file(world: World) -> None:
    entries = world.entries(2)
    await world.write(entries, limits=ONE_SEGMENT)
    (segment,) = world.segments
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-1])
    async with world.storage(ONE_SEGMENT) as storage:
        world.open(storage)
        batch = BATCH_HEADER_BYTES + len(entries[1])
        assert segment.read_bytes() == whole[:-batch]


async def test_an_end_of_zeros_is_cut_as_an_end_that_was_never_written(world: World) -> None:
    entries = world.entries(2)
    await world.write(entries, limits=ONE_SEGMENT)
    (segment,) = world.segments
    with segment.open("ab") as file:
        file.write(bytes(5_000))
    async with world.storage(ONE_SEGMENT) as storage:
        assert world.read_all(world.open(storage)) == b"".join(entries)
    assert (world.troubles, sorted(world.conversation.glob("*.cut"))) == ([], [])


async def test_each_opening_is_a_generation_and_all_of_them_are_remembered(world: World) -> None:
    for _ in range(3):
        async with world.storage() as storage:
            log = world.open(storage)
            for entry in world.entries(2, first=log.head + 1):
                log.append(entry, 1)
    async with world.storage() as storage:
        log = world.open(storage)
        assert log.generation == "id-4"
        places = [str(log.position(place)) for place in range(7)]
        assert places == ["id-1:0", "id-1:1", "id-1:2", "id-2:3", "id-2:4", "id-3:5", "id-3:6"]
        assert log.locate(Position("id-2", 2)) == 2
        assert log.locate(Position("id-4", 6)) == 6
        for beyond in (Position("id-1", 3), Position("id-2", 1), Position("id-2", 5)):
            with pytest.raises(CursorExpired):
                log.locate(beyond)


async def test_opening_a_log_without_writing_to_it_leaves_no_file_behind(world: World) -> None:
    await world.write(world.entries(1))
    for _ in range(3):
        await world.write([])
    assert len(world.segments) == 1


async def test_an_empty_log_is_known_by_its_first_generation_after_a_restart(world: World) -> None:
    await world.write([])
    await world.write([])
    async with world.storage() as storage:
        log = world.open(storage)
        assert log.generation == "id-3"
        assert log.position(0) == Position("id-1", 0)
        log.append(text_frame(b"one"), 1)
        assert [log.locate(Position("id-1", 0)), log.locate(Position("id-3", 1))] == [0, 1]
    assert len(world.segments) == 2
    async with world.storage() as storage:
        assert world.read_all(world.open(storage)) == text_frame(b"one")


WRITER = """
import asyncio, sys
from pathlib import Path
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, StorageLimits, SystemDisk
from acprelay.testing.session import FakeClock, FakeIds
from acprelay.wire import text_frame

async def main():
    storage = FileStorage(
        directory=Path(sys.argv[1]), ids=FakeIds("killed"), clock=FakeClock(), disk=SystemDisk(),
        limits=StorageLimits(segment_bytes=50_000),
    )
    async with storage:
        log = storage.open_log(
            SessionKey("s", "main"), on_relief=lambda: None, on_trouble=lambda error: None
        )
        while True:
            for _ in range(100):
                log.append(text_frame(str(log.head + 1).encode() * 50), 1)
            await storage.flush()
            print(log.head, flush=True)

asyncio.run(main())
"""


@pytest.mark.process
async def test_a_relay_that_is_killed_while_it_writes_leaves_all_that_was_written(
    world: World,
) -> None:
    async with asyncio.timeout(60):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(world.directory), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        written = 0
        while written < 2_000:
            written = int(await writer.stdout.readline())
        writer.kill()
        written = max([written, *map(int, (await writer.stdout.read()).split())])
        assert await writer.wait() == -signal.SIGKILL
    async with world.storage() as storage:
        log = world.open(storage)
        assert log.head >= written
        entries = [text_frame(str(number).encode() * 50) for number in range(1, log.head + 1)]
        assert world.read_all(log, limit=1 << 20) == b"".join(entries)
        assert log.locate(Position("killed", log.head)) == log.head
    assert world.troubles == []
