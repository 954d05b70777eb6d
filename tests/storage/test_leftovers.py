"""What a relay leaves behind that was killed at the wrong moment is nobody's history."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import RelayError, Unavailable
from acprelay.storage.disk import REMOVED_SUFFIX
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World


def _ignore(*_: RelayError) -> None:
    pass


async def test_a_new_conversation_does_not_begin_with_what_another_one_left(world: World) -> None:
    directory = world.directory / "conversations" / world.key.session_id / world.key.role
    async with world.storage() as storage:
        log = storage.open_log(world.key, on_relief=_ignore, on_trouble=_ignore)
        log.append(text_frame(b"old"), 1)
    async with world.storage() as storage:
        log = storage.open_log(world.key, on_relief=_ignore, on_trouble=_ignore, is_new=True)
        assert (log.start, log.head) == (0, 0)
        log.append(text_frame(b"new"), 1)
        await storage.flush()
    [aside] = [path for path in directory.parent.iterdir() if path != directory]
    assert aside.name.endswith(".damaged")
    assert any(b"old" in path.read_bytes() for path in aside.iterdir())
    assert not any(b"old" in path.read_bytes() for path in directory.iterdir())


async def test_a_removal_that_was_cut_off_is_finished_at_the_next_start(world: World) -> None:
    conversations = world.directory / "conversations"
    removed = conversations / "gone" / f"main{REMOVED_SUFFIX}"
    removed.mkdir(parents=True)
    (removed / "record.json").write_text("{}")
    async with world.storage() as storage:
        assert storage.records() == ()
    assert not (conversations / "gone").exists()


async def test_a_removal_that_was_cut_off_does_not_stop_another_of_the_same_name(
    world: World,
) -> None:
    removed = world.conversation.with_name(f"main{REMOVED_SUFFIX}")
    removed.mkdir(parents=True)
    (removed / "record.json").write_text("{}")
    async with world.storage() as storage:
        storage.save(world.record(world.key))
        await storage.delete(world.key)
        assert not world.conversation.parent.exists()


async def test_a_new_conversation_where_nothing_is_left_begins_at_once(world: World) -> None:
    async with world.storage() as storage:
        log = storage.open_log(world.key, on_relief=_ignore, on_trouble=_ignore, is_new=True)
        assert (log.start, log.head) == (0, 0)


async def test_a_new_conversation_does_not_begin_where_leftovers_cannot_be_moved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path), None, str(target))

    world.conversation.mkdir(parents=True)
    async with world.storage() as storage:
        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(Unavailable, match=r"^cannot begin a conversation in .*: Operation not"):
            storage.open_log(world.key, on_relief=_ignore, on_trouble=_ignore, is_new=True)
