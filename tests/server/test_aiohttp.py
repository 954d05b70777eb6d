"""What the server relies on of aiohttp, and aiohttp does not promise in so many words.

Frames are written to the transport of an upgraded request, past aiohttp's own writer. That is worth
it only while flow control works there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractStreamWriter
from tests.server.peers import PATIENCE_S, Opcode, WebSocketPeer, connect

from acprelay.server.acp import SocketOutlet
from acprelay.wire import text_frame

FRAME = text_frame(b"x" * 10_000)

Handler = Callable[[web.Request, web.WebSocketResponse, AbstractStreamWriter], Awaitable[None]]


@asynccontextmanager
async def websocket(handle: Handler) -> AsyncIterator[WebSocketPeer]:
    """Serves one WebSocket; what its handler raises is raised when the context is left."""
    failures: list[BaseException] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=0, decode_text=False)
        writer = await socket.prepare(request)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await handle(request, socket, writer)
        except BaseException as failure:
            failures.append(failure)
            raise
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer = await connect(f"ws://127.0.0.1:{runner.addresses[0][1]}/", receive_buffer=262_144)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield peer
    finally:
        peer.abort()
        await runner.cleanup()
    if failures:
        raise failures[0]


def fill(outlet: SocketOutlet) -> int:
    """Writes frames until the transport is full, and gives their number."""
    count = 0
    while not outlet.writing_paused:
        outlet.write(FRAME)
        count += 1
        assert count < 10_000
    return count


async def test_writing_is_paused_by_a_client_that_does_not_read_and_drains_when_it_does() -> None:
    written = asyncio.get_running_loop().create_future()
    drained = asyncio.Event()

    async def handle(
        request: web.Request, _: web.WebSocketResponse, writer: AbstractStreamWriter
    ) -> None:
        outlet = SocketOutlet(request=request, writer=writer)
        await outlet.drain()
        written.set_result(fill(outlet))
        await outlet.drain()
        assert not outlet.writing_paused
        drained.set()

    async with websocket(handle) as peer:
        count = await written
        for _ in range(100):
            await asyncio.sleep(0)
        assert not drained.is_set()
        for _ in range(count):
            assert await peer.read_frame() == (True, Opcode.TEXT, b"x" * 10_000)
        await drained.wait()


async def test_a_transport_that_is_to_drain_wholly_holds_nothing_when_it_has_drained() -> None:
    written = asyncio.get_running_loop().create_future()

    async def handle(
        request: web.Request, _: web.WebSocketResponse, writer: AbstractStreamWriter
    ) -> None:
        outlet = SocketOutlet(request=request, writer=writer)
        transport = cast("asyncio.WriteTransport", request.transport)
        written.set_result(fill(outlet))
        outlet.drain_wholly()
        await outlet.drain()
        assert transport.get_write_buffer_size() == 0

    async with websocket(handle) as peer:
        for _ in range(await written):
            await peer.read_frame()
        assert (await peer.expect_end()).code == 1000


async def test_frames_written_to_the_transport_and_by_aiohttp_do_not_mix() -> None:
    async def handle(
        request: web.Request, socket: web.WebSocketResponse, writer: AbstractStreamWriter
    ) -> None:
        outlet = SocketOutlet(request=request, writer=writer)
        for number in range(50):
            outlet.write(FRAME)
            await socket.pong(b"%d" % number)

    async with websocket(handle) as peer:
        for number in range(50):
            assert await peer.read_frame() == (True, Opcode.TEXT, b"x" * 10_000)
            assert await peer.read_frame() == (True, Opcode.PONG, b"%d" % number)


@pytest.mark.parametrize("how", ["the client hangs up", "the relay aborts"])
async def test_a_lost_connection_ends_draining_and_makes_writing_do_nothing(how: str) -> None:
    filled = asyncio.Event()
    lost = asyncio.Event()

    async def handle(
        request: web.Request, __: web.WebSocketResponse, writer: AbstractStreamWriter
    ) -> None:
        outlet = SocketOutlet(request=request, writer=writer)
        fill(outlet)
        filled.set()
        if how == "the relay aborts":
            outlet.abort()
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await outlet.drain()
        outlet.write(FRAME)
        outlet.drain_wholly()
        outlet.abort()
        lost.set()

    async with websocket(handle) as peer:
        await filled.wait()
        if how == "the client hangs up":
            peer.abort()
        async with asyncio.timeout(PATIENCE_S):
            await lost.wait()


async def test_text_stays_bytes_even_where_it_is_no_utf_8() -> None:
    async def handle(
        _: web.Request, socket: web.WebSocketResponse, __: AbstractStreamWriter
    ) -> None:
        text, binary = await socket.receive(), await socket.receive()
        assert (text.type, text.data) == (WSMsgType.TEXT, b"\xff\xfe\xc3")
        assert (binary.type, binary.data) == (WSMsgType.BINARY, b"\xff\xfe\xc3")

    async with websocket(handle) as peer:
        await peer.send(b"\xff\xfe\xc3", Opcode.TEXT)
        await peer.send(b"\xff\xfe\xc3", Opcode.BINARY)
        assert (await peer.expect_end()).code == 1000
