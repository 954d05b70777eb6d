"""Reading lines from, and writing to, descriptors that block."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acprelay.cli.stdio import InputLines, Output

PATIENCE_S = 30.0


class Pipe:
    """A pipe whose ends are closed once."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self._open = {self.reading, self.writing}

    def close(self, *ends: int) -> None:
        for end in ends or (self.reading, self.writing):
            if end in self._open:
                self._open.remove(end)
                os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


async def _all(lines: InputLines) -> list[bytes]:
    async with asyncio.timeout(PATIENCE_S):
        return [line async for line in lines]


async def test_lines_come_without_their_newlines_the_last_one_too(pipe: Pipe) -> None:
    os.write(pipe.writing, b"one\n\ntwo\r\n  three")
    pipe.close(pipe.writing)
    lines = InputLines(descriptor=pipe.reading)
    assert await _all(lines) == [b"one", b"", b"two\r", b"  three"]
    assert await _all(lines) == []


async def test_a_line_comes_as_soon_as_it_is_whole(pipe: Pipe) -> None:
    lines = InputLines(descriptor=pipe.reading)
    async with asyncio.timeout(PATIENCE_S):
        os.write(pipe.writing, b"one\ntw")
        assert await anext(lines) == b"one"
        os.write(pipe.writing, b"o\n")
        assert await anext(lines) == b"two"


async def test_a_call_that_was_cancelled_costs_no_line(pipe: Pipe) -> None:
    lines = InputLines(descriptor=pipe.reading)
    waiting = asyncio.get_running_loop().create_task(anext(lines))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.write(pipe.writing, b"one\n")
    pipe.close(pipe.writing)
    assert await _all(lines) == [b"one"]


async def test_lines_are_read_only_a_few_ahead(pipe: Pipe) -> None:
    lines = InputLines(descriptor=pipe.reading)
    size, count = 10_000, 200
    line = b"x" * size + b"\n"
    written = 0

    def write() -> None:
        nonlocal written
        for _ in range(count):
            os.write(pipe.writing, line)
            written += 1
        pipe.close(pipe.writing)

    writer = asyncio.get_running_loop().run_in_executor(None, write)
    async with asyncio.timeout(PATIENCE_S):
        await anext(lines)
        taken = 1
        async for _ in lines:
            # The pipe and the reader's buffer hold less than fifteen of these lines.
            assert written <= taken + 16 + 15
            taken += 1
        await writer
    assert taken == count


async def test_lines_that_are_not_taken_at_once_are_kept_in_their_order(pipe: Pipe) -> None:
    written = [str(number).encode() for number in range(1000)]
    os.write(pipe.writing, b"".join(line + b"\n" for line in written))
    pipe.close(pipe.writing)
    lines = InputLines(descriptor=pipe.reading)
    taken = [await anext(lines)]
    for _ in range(1000):
        await asyncio.sleep(0)
    taken += await _all(lines)
    assert taken == written


async def test_a_file_has_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert await _all(InputLines(descriptor=descriptor)) == [b"one", b"two"]
    finally:
        os.close(descriptor)


async def test_an_input_that_cannot_be_read_has_no_lines(pipe: Pipe) -> None:
    assert await _all(InputLines(descriptor=pipe.writing)) == []


async def test_what_is_written_arrives_in_order_and_whole(pipe: Pipe) -> None:
    pieces = [f"{number};".encode() * 50 for number in range(1000)]

    def read() -> bytes:
        with os.fdopen(os.dup(pipe.reading), "rb") as file:
            return file.read()

    reader = asyncio.get_running_loop().run_in_executor(None, read)
    async with asyncio.timeout(PATIENCE_S), Output(descriptor=pipe.writing) as output:
        for piece in pieces:
            await output.write(piece)
        await output.drain()
        pipe.close(pipe.writing)
        assert await reader == b"".join(pieces)


async def test_writing_waits_while_more_than_the_high_water_mark_is_unwritten(pipe: Pipe) -> None:
    piece = b"x" * 50_000
    async with Output(descriptor=pipe.writing, high_water=100_000) as output:
        loop = asyncio.get_running_loop()
        # The pipe itself holds 65,536 bytes.
        filling = loop.create_task(_fill(output, piece, count=20))
        reader = loop.run_in_executor(None, _read_slowly, pipe.reading, len(piece) * 20)
        async with asyncio.timeout(PATIENCE_S):
            await filling
            await output.drain()
            assert await reader == piece * 20
    assert filling.result() <= 100_000 + len(piece)


async def _fill(output: Output, piece: bytes, *, count: int) -> int:
    """Writes the piece so often; gives the most that was unwritten after a write."""
    most = 0
    for _ in range(count):
        await output.write(piece)
        most = max(most, output._unwritten)
    return most


def _read_slowly(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(descriptor, 1000)
    return data


async def test_a_write_that_nobody_reads_blocks_neither_the_loop_nor_the_end(pipe: Pipe) -> None:
    async with Output(descriptor=pipe.writing, high_water=10) as output:
        writing = asyncio.get_running_loop().create_task(output.write(b"x" * 1_000_000))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not writing.done()
        writing.cancel()
    pipe.close(pipe.reading)  # lets the thread end


async def test_a_reader_that_is_gone_is_noticed_without_another_write(pipe: Pipe) -> None:
    pipe.close(pipe.reading)
    async with Output(descriptor=pipe.writing) as output, asyncio.timeout(PATIENCE_S):
        await output.write(b"lost")
        with pytest.raises(BrokenPipeError):
            await output.failure()


@pytest.mark.parametrize("how", ["write", "drain"])
async def test_a_reader_that_is_gone_is_a_broken_pipe(pipe: Pipe, how: str) -> None:
    pipe.close(pipe.reading)
    async with Output(descriptor=pipe.writing, high_water=0) as output:
        with pytest.raises(BrokenPipeError):
            await output.write(b"lost")
        with pytest.raises(BrokenPipeError):
            await (output.drain() if how == "drain" else output.write(b"lost too"))
