"""A conversation that has just begun outlives the relay before it has a directory of its own."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from acprelay.errors import RelayError, Unavailable
from acprelay.routing.log import Position
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, StorageLimits
from acprelay.storage.records import decode_record
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World

PATIENT = StorageLimits(linger_s=60)
"""With these nothing that has just begun is written as all is, unless time passes."""
OTHER = SessionKey("s", "other")


def _ignore(*_: RelayError) -> None:
    pass


@pytest.fixture
def killed(world: World, tmp_path: Path) -> World:
    """A world for what a relay has left that is killed; `kill` leaves it there."""
    return type(world)(tmp_path / "killed")


def kill(world: World, into: World) -> None:
    shutil.copytree(world.directory, into.directory)


async def found(
    world: World, storage: FileStorage, key: SessionKey | None = None
) -> ConversationRecord:
    """Begins a conversation as the relay does."""
    record = world.record(key or world.key)
    log = storage.open_log(record.key, on_relief=_ignore, on_trouble=_ignore, is_new=True)
    record = replace(record, position=str(log.position(0)))
    await storage.found(record)
    return record


async def test_it_is_there_after_a_kill_without_a_directory(world: World, killed: World) -> None:
    async with world.storage(PATIENT) as storage:
        record = await found(world, storage)
        kill(world, killed)
    assert not killed.conversation.exists()
    for _ in range(2):  # the second one finds it finished
        async with killed.storage() as storage:
            assert storage.records() == (record,)
        assert decode_record((killed.conversation / "record.json").read_bytes()) == record


async def test_what_a_client_knows_of_its_log_is_known_to_the_next_relay(
    world: World, killed: World
) -> None:
    async with world.storage(PATIENT) as storage:
        record = await found(world, storage)
        kill(world, killed)
    async with killed.storage() as storage:
        storage.records()
        log = killed.open(storage)
        assert log.locate(Position.parse(record.position or "")) == 0
        assert killed.troubles == []


async def test_where_its_position_is_none_its_log_begins_anew(world: World, killed: World) -> None:
    async with world.storage(PATIENT) as storage:
        unplaced = world.record(world.key)
        odd = replace(world.record(OTHER), position="nowhere")
        await storage.found(unplaced)
        await storage.found(odd)
        kill(world, killed)
    async with killed.storage() as storage:
        assert storage.records() == (unplaced, odd)
        assert killed.segments == []


async def test_a_moment_later_it_has_a_record_as_all_have(world: World) -> None:
    async with world.storage(PATIENT) as storage:
        record = await found(world, storage)
        other = await found(world, storage, OTHER)
        await world.pass_time(storage, 600)
        assert (world.directory / "foundings").read_bytes() == b""
        assert storage.records() == (record, other)


async def test_when_the_relay_ends_it_has_too(world: World) -> None:
    async with world.storage(PATIENT) as storage:
        record = await found(world, storage)
    assert decode_record((world.conversation / "record.json").read_bytes()) == record
    assert (world.directory / "foundings").read_bytes() == b""


async def test_a_later_record_of_it_stays(world: World, killed: World) -> None:
    async with world.storage(PATIENT) as storage:
        first = await found(world, storage)
        later = replace(first, title="later")
        storage.save(later)
        await storage.flush()
        kill(world, killed)
        await world.pass_time(storage, 600)
        assert storage.records() == (later,)
    async with killed.storage() as storage:
        assert storage.records() == (later,)


async def test_the_log_that_it_has_already_stays(world: World, killed: World) -> None:
    async with world.storage(PATIENT) as storage:
        log = storage.open_log(world.key, on_relief=_ignore, on_trouble=_ignore, is_new=True)
        await storage.found(replace(world.record(world.key), position=str(log.position(0))))
        log.append(text_frame(b"one"), 1)
        await storage.flush()
        kill(world, killed)
    async with killed.storage() as storage:
        storage.records()
        assert killed.read_all(killed.open(storage)) == text_frame(b"one")


async def test_one_that_is_deleted_stays_deleted(world: World, killed: World) -> None:
    async with world.storage(PATIENT) as storage:
        await found(world, storage)
        other = await found(world, storage, OTHER)
        await storage.delete(world.key)
        kill(world, killed)
    async with killed.storage() as storage:
        assert storage.records() == (other,)


async def test_none_is_deleted_where_it_would_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with world.storage(PATIENT) as storage:
        await found(world, storage)
        with monkeypatch.context() as patch:
            patch.setattr(os, "truncate", refuse)
            with pytest.raises(
                Unavailable, match=r"^cannot remove the conversation's files: Input"
            ):
                await storage.delete(world.key)
            await found(world, storage, OTHER)
            await world.pass_time(storage, 600)  # no harm comes of it
        await storage.delete(world.key)
        assert not world.conversation.exists()


async def test_one_whose_record_was_cut_off_was_never_there(world: World, killed: World) -> None:
    async with world.storage(PATIENT) as storage:
        record = await found(world, storage)
        kill(world, killed)
    path = killed.directory / "foundings"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        async with killed.storage() as storage:
            assert storage.records() == ()
    path.write_bytes(whole[:-1] + whole)
    async with killed.storage() as storage:
        assert storage.records() == (record,)


async def test_where_that_cannot_be_written_it_is_told_as_of_any_record(world: World) -> None:
    async with world.storage(PATIENT) as storage:
        world.open(storage)
        world.disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await storage.found(world.record(world.key))
        await world.hear_of_trouble()
        world.disk.error = None
        await world.pass_time(storage, 600)
        assert storage.records() == (world.record(world.key),)


async def test_a_relay_that_cannot_finish_it_has_it_all_the_same(
    world: World, killed: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.storage(PATIENT) as storage:
        record = await found(world, storage)
        kill(world, killed)
    killed.disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    async with killed.storage() as storage:
        assert storage.records() == (record,)
        assert "cannot write the record of s:main" in caplog.text
        killed.disk.error = None
        await storage.delete(world.key)
    async with killed.storage() as storage:
        assert storage.records() == ()


async def test_a_file_that_cannot_be_read_keeps_nobody_from_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (world.directory / "foundings").mkdir(parents=True)
    async with world.storage() as storage:
        storage.save(world.record(world.key))
        await storage.flush()
        assert storage.records() == (world.record(world.key),)
    assert "cannot read" in caplog.text
