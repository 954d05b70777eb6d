"""What passes between lines and messages, and who waits for whom."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator

import pytest

from acprelay.cli import bridge as bridge_module
from acprelay.cli.bridge import Bridge
from acprelay.cli.stdio import InputLines, Output
from acprelay.errors import RelayUnreachable

PATIENCE_S = 30.0
LOST = RelayUnreachable("cannot go on", hint="try again")


class FakeSocket:
    """A relay's end: takes messages when it may, says what it is told to."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.has_heard = asyncio.Event()
        self.may_take = asyncio.Event()
        self.may_take.set()
        self.incoming: asyncio.Queue[bytes | Exception] = asyncio.Queue(maxsize=10)
        self.closed = False

    async def send(self, message: bytes) -> None:
        self.heard.append(message)
        self.has_heard.set()
        await self.may_take.wait()

    async def receive(self) -> bytes:
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def close(self) -> None:
        self.closed = True


class Editor:
    """The client's end: two pipes, and what reads and writes at the other end of them."""

    def __init__(self) -> None:
        self._input, self._writing = os.pipe()
        self._reading, self._output = os.pipe()
        self._open = {self._input, self._writing, self._reading, self._output}
        self.lines = InputLines(descriptor=self._input)
        self.output = Output(descriptor=self._output)

    def writes(self, *lines: bytes) -> None:
        os.write(self._writing, b"".join(line + b"\n" for line in lines))

    def stops_writing(self) -> None:
        self._close(self._writing)

    def stops_reading(self) -> None:
        self._close(self._reading)

    def has_read(self) -> list[bytes]:
        """Gives the lines that were written to it since the last call."""
        os.set_blocking(self._reading, False)
        try:
            return os.read(self._reading, 1 << 16).splitlines()
        except BlockingIOError:
            return []

    async def aclose(self) -> None:
        """Closes the pipes once nobody reads from them."""
        self.stops_writing()
        async with asyncio.timeout(PATIENCE_S):
            async for _ in self.lines:
                pass
        self._close(*self._open)

    def _close(self, *ends: int) -> None:
        for end in ends:
            if end in self._open:
                self._open.remove(end)
                os.close(end)


@pytest.fixture
async def editor() -> AsyncIterator[Editor]:
    editor = Editor()
    async with editor.output:
        yield editor
    await editor.aclose()


@pytest.fixture
async def socket() -> FakeSocket:
    return FakeSocket()


@pytest.fixture
async def bridge(editor: Editor) -> Bridge:
    return Bridge(lines=editor.lines, output=editor.output)


async def _run(bridge: Bridge, socket: FakeSocket) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await bridge.run(socket)


async def test_a_line_waits_until_the_relay_has_taken_the_one_before(
    bridge: Bridge, socket: FakeSocket, editor: Editor
) -> None:
    socket.may_take.clear()
    editor.writes(b"1", b"2", b"3")
    editor.stops_writing()
    running = asyncio.get_running_loop().create_task(_run(bridge, socket))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(socket.heard) <= 1
    socket.may_take.set()
    await running
    assert socket.heard == [b"1", b"2", b"3"]
    assert socket.closed


async def test_requests_that_nobody_answers_in_time_keep_nobody_waiting(
    bridge: Bridge, socket: FakeSocket, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_module, "ANSWERS_S", 0.0)
    editor.writes(b'{"id":1,"method":"session/prompt"}')
    editor.stops_writing()
    await _run(bridge, socket)
    assert socket.closed


async def test_stopping_waits_for_no_answer(
    bridge: Bridge, socket: FakeSocket, editor: Editor
) -> None:
    editor.writes(b'{"id":1,"method":"session/prompt"}')
    bridge.stop()
    await _run(bridge, socket)
    assert socket.closed


async def test_a_relay_that_is_lost_while_answers_are_awaited_is_told(
    bridge: Bridge, socket: FakeSocket, editor: Editor
) -> None:
    editor.writes(b'{"id":1,"method":"session/prompt"}')
    editor.stops_writing()
    running = asyncio.get_running_loop().create_task(_run(bridge, socket))
    async with asyncio.timeout(PATIENCE_S):
        await socket.has_heard.wait()
    socket.incoming.put_nowait(LOST)
    with pytest.raises(RelayUnreachable):
        await running
    await bridge.refuse(LOST, await_first=False)
    (line,) = editor.has_read()
    assert json.loads(line)["id"] == 1


async def test_without_a_request_nothing_is_refused(bridge: Bridge, editor: Editor) -> None:
    editor.writes(b'{"method":"session/cancel"}')
    editor.stops_writing()
    async with asyncio.timeout(PATIENCE_S):
        await bridge.refuse(LOST, await_first=True)
    assert editor.has_read() == []


async def test_a_first_request_is_awaited_for_a_moment_only(
    bridge: Bridge, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_module, "FIRST_REQUEST_S", 0.0)
    async with asyncio.timeout(PATIENCE_S):
        await bridge.refuse(LOST, await_first=True)
    assert editor.has_read() == []


async def test_an_editor_that_is_gone_is_told_nothing(bridge: Bridge, editor: Editor) -> None:
    editor.writes(b'{"id":1,"method":"initialize"}')
    editor.stops_reading()
    async with asyncio.timeout(PATIENCE_S):
        await bridge.refuse(LOST, await_first=True)


async def test_an_editor_that_reads_no_more_ends_it_at_once(
    bridge: Bridge, socket: FakeSocket, editor: Editor
) -> None:
    editor.stops_reading()
    socket.incoming.put_nowait(b"{}")
    with pytest.raises(BrokenPipeError):
        await _run(bridge, socket)
