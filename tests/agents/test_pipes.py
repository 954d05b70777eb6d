"""Pipes that the event loop reads and writes; no process is involved."""

from __future__ import annotations

import asyncio
import fcntl
import os
from dataclasses import dataclass, field

import pytest

from acprelay.agents.pipes import ReadPipe, WritePipe

PATIENCE_S = 30.0
SIZE = 300_000  # more than a pipe holds


@dataclass
class Received:
    """What a `ReadPipe` passed on."""

    data: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class ReadEnd:
    pipe: ReadPipe
    received: Received
    other: int


@pytest.fixture
async def read_end() -> ReadEnd:
    fd, other = os.pipe()
    os.set_blocking(fd, False)
    received = Received()
    loop = asyncio.get_running_loop()
    pipe = ReadPipe(loop=loop, fd=fd, on_data=received.data.append, on_end=received.ended.set)
    return ReadEnd(pipe=pipe, received=received, other=other)


@dataclass
class WriteEnd:
    pipe: WritePipe
    other: int

    async def read_to_the_end(self) -> bytes:
        """Reads what was written, while the loop goes on, and closes the other end."""

        def read() -> bytes:
            with open(self.other, "rb") as file:  # noqa: PTH123 - a descriptor has no path
                return file.read()

        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(read)


@pytest.fixture
async def write_end() -> WriteEnd:
    other, fd = os.pipe()
    os.set_blocking(fd, False)
    return WriteEnd(
        pipe=WritePipe(loop=asyncio.get_running_loop(), fd=fd, on_end=lambda: None), other=other
    )


async def test_what_was_read_is_passed_on_and_then_the_end(read_end: ReadEnd) -> None:
    read_end.pipe.resume()
    read_end.pipe.resume()
    os.write(read_end.other, b"hello")
    os.close(read_end.other)
    async with asyncio.timeout(PATIENCE_S):
        await read_end.received.ended.wait()
    assert read_end.received.data == [b"hello"]
    read_end.pipe.resume()
    read_end.pipe.finish()
    read_end.pipe.close()
    assert read_end.received.data == [b"hello"]


async def test_a_wake_up_without_a_cause_passes_nothing_on(read_end: ReadEnd) -> None:
    read_end.pipe._on_readable()
    assert read_end.received.data == []
    assert not read_end.received.ended.is_set()
    read_end.pipe.close()
    os.close(read_end.other)


def capacity(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


async def test_a_pipe_that_is_found_full_holds_more_and_one_read_takes_it(
    read_end: ReadEnd,
) -> None:
    os.set_blocking(read_end.other, False)
    narrow = os.write(read_end.other, bytes(SIZE))
    read_end.pipe._on_readable()
    wide = os.write(read_end.other, bytes(SIZE))
    read_end.pipe._on_readable()
    assert list(map(len, read_end.received.data)) == [narrow, wide]
    assert wide == capacity(read_end.other) > narrow
    read_end.pipe.close()
    os.close(read_end.other)


async def test_a_pipe_that_may_not_hold_more_is_read_as_it_is(
    read_end: ReadEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = capacity(read_end.other)

    def refuse(fd: int, command: int, size: int) -> int:
        raise PermissionError(fd, command, size)

    os.write(read_end.other, bytes(narrow))
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "fcntl", refuse)
        read_end.pipe._on_readable()
    assert read_end.received.data == [bytes(narrow)]
    assert capacity(read_end.other) == narrow
    read_end.pipe.close()
    os.close(read_end.other)


async def test_a_pipe_that_is_hardly_used_stays_as_it_is(read_end: ReadEnd) -> None:
    narrow = capacity(read_end.other)
    os.write(read_end.other, b"x" * 1000)
    read_end.pipe._on_readable()
    assert capacity(read_end.other) == narrow
    read_end.pipe.close()
    os.close(read_end.other)


async def test_finishing_takes_what_is_there_though_the_writer_lives(read_end: ReadEnd) -> None:
    os.write(read_end.other, b"x" * 60_000)
    read_end.pipe.finish()
    assert read_end.received.data == [b"x" * 60_000]
    assert not read_end.received.ended.is_set()
    with pytest.raises(BrokenPipeError):
        os.write(read_end.other, b"late")
    os.close(read_end.other)


async def test_finishing_an_empty_pipe_passes_nothing_on(read_end: ReadEnd) -> None:
    read_end.pipe.finish()
    assert read_end.received.data == []
    os.close(read_end.other)


async def test_what_the_pipe_does_not_take_waits_and_follows_in_order(write_end: WriteEnd) -> None:
    assert write_end.pipe.write(b"a" * SIZE)
    assert 0 < write_end.pipe.waiting < SIZE
    assert write_end.pipe.write(b"b")
    write_end.pipe.close()
    assert not write_end.pipe.write(b"late")
    assert await write_end.read_to_the_end() == b"a" * SIZE + b"b"
    assert write_end.pipe.waiting == 0


async def test_what_meets_a_pipe_that_is_exactly_full_waits_whole(write_end: WriteEnd) -> None:
    capacity = fcntl.fcntl(write_end.other, fcntl.F_GETPIPE_SZ)
    assert write_end.pipe.write(b"a" * capacity)
    assert write_end.pipe.waiting == 0
    assert write_end.pipe.write(b"b" * 5)
    assert write_end.pipe.waiting == 5
    write_end.pipe.close()
    assert await write_end.read_to_the_end() == b"a" * capacity + b"b" * 5


async def test_what_waits_is_written_as_soon_as_there_is_room(write_end: WriteEnd) -> None:
    write_end.pipe.write(b"a" * SIZE)
    written = SIZE - write_end.pipe.waiting
    assert os.read(write_end.other, written) == b"a" * written
    await _loop_turns(20)
    assert write_end.pipe.waiting < SIZE - written
    write_end.pipe.close()
    assert await write_end.read_to_the_end() == b"a" * (SIZE - written)


async def _loop_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_closing_a_pipe_that_took_all_closes_it_at_once(write_end: WriteEnd) -> None:
    assert write_end.pipe.write(b"all")
    write_end.pipe.close()
    write_end.pipe.close()
    assert os.read(write_end.other, 10) == b"all"
    assert os.read(write_end.other, 10) == b""
    os.close(write_end.other)


async def test_aborting_loses_what_waits(write_end: WriteEnd) -> None:
    write_end.pipe.write(b"a" * SIZE)
    taken = SIZE - write_end.pipe.waiting
    write_end.pipe.abort()
    write_end.pipe.abort()
    assert await write_end.read_to_the_end() == b"a" * taken


async def test_a_pipe_that_its_reader_deserted_takes_nothing(write_end: WriteEnd) -> None:
    os.close(write_end.other)
    assert not write_end.pipe.write(b"x")
    assert not write_end.pipe.write(b"x")


async def test_a_reader_that_deserts_while_something_waits_is_noticed(write_end: WriteEnd) -> None:
    write_end.pipe.write(b"a" * SIZE)
    os.close(write_end.other)
    await _loop_turns(20)
    assert write_end.pipe.waiting == 0
    assert not write_end.pipe.write(b"x")


async def test_it_is_told_since_when_the_reader_has_taken_nothing(write_end: WriteEnd) -> None:
    pipe, loop = write_end.pipe, asyncio.get_running_loop()

    def since() -> float | None:
        return pipe.waiting_since

    assert since() is None
    before = loop.time()
    pipe.write(b"x" * SIZE)
    assert before <= (since() or 0) <= loop.time()
    pipe._stuck_since = -1.0  # a long time ago
    pipe.write(b"x")
    assert since() == -1.0
    os.read(write_end.other, 64 * 1024)
    await _loop_turns(20)
    assert (since() or 0) >= before
    pipe.close()
    assert await write_end.read_to_the_end() == b"x" * (SIZE + 1 - 64 * 1024)
    assert since() is None
