"""Open files, and writing that is whole or not at all."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import mmap
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from acprelay.errors import Unavailable
from acprelay.session.models import SessionKey
from acprelay.storage import StorageLimits, SystemDisk
from acprelay.storage.commands import Done
from acprelay.storage.disk import Buffer, OpenFiles, make_directories, replace_file, write_all
from acprelay.storage.inbox import Inbox
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World

FLAGS = os.O_RDWR | os.O_CREAT


class SlowDisk(SystemDisk):
    """Writes some bytes at a time."""

    def write(self, fd: int, buffers: Sequence[Buffer]) -> int:
        return super().write(fd, [b"".join(buffers)[:7]])


def test_what_is_written_in_parts_is_written_whole(tmp_path: Path) -> None:
    replace_file(SlowDisk(), tmp_path / "file", b"0123456789" * 5)
    assert (tmp_path / "file").read_bytes() == b"0123456789" * 5
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def pages_in_memory(path: Path) -> int:
    """How many of a file's pages the system keeps in its memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        states = (ctypes.c_ubyte * (len(mapped) // mmap.PAGESIZE))()
        assert libc.mincore(ctypes.byref(first), ctypes.c_size_t(len(mapped)), states) == 0
        del first  # it keeps the file mapped
    return sum(state & 1 for state in states)


def file_system_of(path: Path) -> str:
    """What kind of file system a path is in."""
    mounts = psutil.disk_partitions(all=True)
    below = [mount for mount in mounts if path.is_relative_to(mount.mountpoint)]
    return max(below, key=lambda mount: len(mount.mountpoint)).fstype


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice")
def test_what_is_evicted_is_on_the_device_and_in_no_memory(tmp_path: Path) -> None:
    if file_system_of(tmp_path) == "tmpfs":
        pytest.skip("files that are in memory alone are not evicted from it")
    replace_file(SystemDisk(), tmp_path / "file", bytes(64 * mmap.PAGESIZE))
    assert pages_in_memory(tmp_path / "file") == 64
    SystemDisk().evict(str(tmp_path / "file"))
    assert pages_in_memory(tmp_path / "file") == 0
    assert (tmp_path / "file").read_bytes() == bytes(64 * mmap.PAGESIZE)


def test_a_file_that_is_gone_is_in_no_memory(tmp_path: Path) -> None:
    SystemDisk().evict(str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_many_buffers_are_one_after_another(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        write_all(SlowDisk(), file.fileno(), [b"one", b"", memoryview(b"twotwo"), b"three"])
    assert (tmp_path / "file").read_bytes() == b"onetwotwothree"


def test_a_file_is_opened_once_and_the_one_used_longest_ago_is_closed(tmp_path: Path) -> None:
    files = OpenFiles(limit=2, flags=FLAGS)
    one, two, three = (str(tmp_path / name) for name in ("one", "two", "three"))
    first = files.get(one)
    files.get(two)
    assert files.get(one) == first
    files.get(three)
    assert len(files) == 2
    assert files.get(one) == first, "it was used after the other"
    files.close(one)
    files.close(one)
    assert len(files) == 1
    files.close_all()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)


def test_the_files_of_a_directory_are_closed_together(tmp_path: Path) -> None:
    files = OpenFiles(limit=9, flags=FLAGS)
    for name in ("a", "ab"):
        (tmp_path / name).mkdir()
        files.get(str(tmp_path / name / "file"))
    files.close_below(tmp_path / "a")
    assert len(files) == 1
    files.close_below(tmp_path / "ab" / "file")
    assert len(files) == 0


def test_no_symbolic_link_is_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        OpenFiles(limit=1, flags=FLAGS).get(str(tmp_path / "link"))
    assert not (tmp_path / "target").exists()


def fill_descriptors() -> list[int]:
    """Opens files until the process may open no more."""
    opened = []
    while True:
        try:
            opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            if error.errno == errno.EMFILE:
                return opened
            raise


@contextmanager
def no_descriptor_left() -> Iterator[list[int]]:
    """Every file that the process may open is open; gives those that stand in for others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    taken = fill_descriptors()
    try:
        yield taken
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_no_descriptor_is_left_those_at_hand_are_given_up(tmp_path: Path) -> None:
    files = OpenFiles(limit=9, flags=FLAGS)
    files.get(str(tmp_path / "one"))
    with no_descriptor_left() as taken:
        files.get(str(tmp_path / "two"))
        assert len(files) == 1
        files.close_all()
        taken.append(os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(OSError, match="Too many open files"):
            files.get(str(tmp_path / "three"))


async def test_a_log_that_finds_no_descriptor_to_read_with_is_not_damaged(world: World) -> None:
    entries = world.entries(3)
    async with world.storage(StorageLimits(window_bytes=0, linger_s=0)) as storage:
        log = world.open(storage)
        for entry in entries:
            log.append(entry, 1)
        await world.settle(storage)
        with (
            no_descriptor_left(),
            pytest.raises(Unavailable, match="Too many open files"),
        ):
            log.read(0, upto=3, limit=1)
        assert world.read_all(log) == b"".join(entries)
    assert world.troubles == []


def test_no_directory_is_made_in_the_place_of_a_file() -> None:
    with pytest.raises(FileExistsError):
        make_directories(Path(__file__))


@pytest.mark.parametrize("path", ["/there/new", "/there/new/below", "new"])
def test_a_directory_that_cannot_be_made_although_the_one_above_is_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def answer_as_proc_does(path: str, _mode: int) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    monkeypatch.setattr(os, "mkdir", answer_as_proc_does)
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/there")
    with pytest.raises(FileNotFoundError):
        make_directories(path)


async def test_a_defect_in_one_order_does_not_end_the_writer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise RuntimeError(f"a defect at {path.name}")

    async with world.storage() as storage:
        log = world.open(storage)
        log.append(text_frame(b"one"), 1)
        await world.settle(storage)
        monkeypatch.setattr("acprelay.storage.writer.remove_directory", fail)
        with pytest.raises(Unavailable, match="a defect at other"):
            await storage.delete(SessionKey("s", "other"))
        log.append(text_frame(b"two"), 1)
        await world.settle(storage)
        assert log.head == 2
    async with world.storage() as storage:
        assert world.open(storage).head == 2


async def test_a_conversation_that_is_deleted_while_it_is_written_leaves_nothing(
    world: World,
) -> None:
    async with world.storage() as storage:
        log = world.open(storage)
        world.disk.hold()
        for entry in world.entries(60):
            log.append(entry, 1)
        assert log.is_congested
        deletion = asyncio.get_running_loop().create_task(storage.delete(world.key))
        await asyncio.sleep(0)
        assert storage.held_bytes == 0
        world.disk.room = 1_000
        world.disk.release()
        async with asyncio.timeout(30):
            await deletion
        assert storage.backlog_bytes == 0
        assert not world.conversation.parent.exists()
    assert world.troubles == []


async def test_what_is_told_after_the_loop_has_ended_is_told_to_nobody() -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    handled: list[object] = []
    Inbox(loop=loop, handle=handled.append).put(Done(future, None))
    assert handled == []


async def test_an_audit_log_that_cannot_be_made_durable_is_told_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.storage() as storage:
        storage.audit(b"{}")
        await world.settle(storage)
        world.disk.sync_error = OSError(errno.EIO, os.strerror(errno.EIO))
    assert "cannot make the audit log" in caplog.text


async def test_a_record_that_cannot_be_put_aside_does_not_stop_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path), None, str(target))

    world.conversation.mkdir(parents=True)
    (world.conversation / "record.json").write_bytes(b"{")
    async with world.storage() as storage:
        monkeypatch.setattr(Path, "replace", refuse)
        assert storage.records() == ()
    assert "cannot put" in caplog.text
