"""What an agent has said is written before a command says why it ends."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from acprelay.cli import run
from acprelay.cli.parser import build_parser
from acprelay.errors import RelayUnreachable

LOST = RelayUnreachable("cannot go on", hint="try again")
TEXT = "x" * 500_000  # less than the buffer takes, more than the pipe does


class FakeSocket:
    """A relay that serves a turn up to its middle, and is lost then."""

    def __init__(self) -> None:
        chunk = {"type": "text", "text": TEXT}
        update = {"sessionUpdate": "agent_message_chunk", "content": chunk}
        self._messages: Sequence[object] = (
            {"id": 1, "result": {"protocolVersion": 1}},
            {"id": 2, "result": {"sessionId": "s"}},
            {"method": "session/update", "params": {"update": update}},
        )
        self._asked = asyncio.Semaphore(0)
        self._next = 0
        self.lost = asyncio.Event()

    async def send(self, _message: bytes) -> None:
        self._asked.release()

    async def receive(self) -> bytes:
        if self._next == len(self._messages):
            self.lost.set()
            raise LOST
        await self._asked.acquire()
        self._next += 1
        return json.dumps(self._messages[self._next - 1]).encode()

    async def close(self) -> None:
        """Has nothing to close."""


async def test_the_text_before_a_lost_connection_is_written_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket = FakeSocket()

    @asynccontextmanager
    async def open_socket(_url: str, **_more: object) -> AsyncIterator[FakeSocket]:
        yield socket

    reading, writing = os.pipe()
    monkeypatch.setattr(run, "open_socket", open_socket)
    monkeypatch.setattr(run, "STANDARD_OUTPUT", writing)
    arguments = build_parser().parse_args(["run", "--url", "ws://h", "hello"])
    loop = asyncio.get_running_loop()
    running = loop.create_task(run._run(arguments))
    async with asyncio.timeout(30):
        await socket.lost.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()
        written = await loop.run_in_executor(None, _read, reading, len(TEXT))
        with pytest.raises(RelayUnreachable):
            await running
    assert written == TEXT.encode()
    os.close(writing)
    os.close(reading)


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(descriptor, 1 << 16)
    return data
