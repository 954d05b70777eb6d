"""A joiner's socket: what the other end does to it, and what comes of that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from acprelay.cli.link_socket import dial
from acprelay.errors import (
    LimitReached,
    LinkGone,
    RelayError,
    RelayUnreachable,
    RemoteProtocolError,
    RoleTaken,
    Unauthorized,
)
from acprelay.server.problems import problem
from acprelay.wire.link import SUBPROTOCOL
from acprelay.wire.link_greeting import Claim

PATIENCE_S = 30.0

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FarEnd:
    """A server at the path of an agent that does what a test says."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Answer
        self.headers: list[dict[str, str]] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        return await self.answer(request)


@pytest.fixture
async def far() -> AsyncIterator[FarEnd]:
    far = FarEnd()
    app = web.Application()
    app.router.add_get("/agents/task/main", far.serve)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    far.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/agents/task/main"
    yield far
    await runner.cleanup()


def linked(script: Callable[[web.WebSocketResponse], Awaitable[object]]) -> Answer:
    """Takes the connection as one of a link."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await script(socket)
        return socket

    return answer


def refusing(error: RelayError) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return problem(error)

    return answer


async def test_messages_pass_as_bytes_both_ways_behind_what_is_shown(far: FarEnd) -> None:
    async def echo(socket: web.WebSocketResponse) -> None:
        await socket.send_str("hello")
        await socket.send_bytes(await socket.receive_bytes())
        await socket.close()

    far.answer = linked(echo)
    claim = Claim(link="l", secret="s", received=7)
    async with asyncio.timeout(PATIENCE_S), dial(far.url, "token", claim) as socket:
        assert await socket.receive() == b"hello"
        await socket.send(b"\x00\xff")
        assert await socket.receive() == b"\x00\xff"
        assert await socket.receive() is None
    assert far.headers[0]["Authorization"] == "Bearer token"
    assert far.headers[0]["Acprelay-Link"] == "l s 7"
    assert far.headers[0]["Sec-WebSocket-Protocol"] == SUBPROTOCOL


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (1001, RelayUnreachable),
        (1011, RelayUnreachable),
        (1002, RemoteProtocolError),
        (1008, RemoteProtocolError),
        (1009, RemoteProtocolError),
    ],
)
async def test_how_a_relay_closes_tells_whether_to_try_again(
    far: FarEnd, code: int, raised: type[RelayError]
) -> None:
    far.answer = linked(lambda socket: socket.close(code=code, message=b"so it is"))
    async with asyncio.timeout(PATIENCE_S), dial(far.url, "t", None) as socket:
        with pytest.raises(raised, match="so it is"):
            await socket.receive()


async def test_a_connection_that_breaks_is_lost(far: FarEnd) -> None:
    async def hang_up(socket: web.WebSocketResponse) -> None:
        transport = socket._req.transport  # type: ignore[union-attr] # it is connected
        assert transport is not None
        transport.abort()

    far.answer = linked(hang_up)
    async with asyncio.timeout(PATIENCE_S), dial(far.url, "t", None) as socket:
        with pytest.raises(RelayUnreachable, match="is lost"):
            await socket.receive()
        with pytest.raises(RelayUnreachable, match="is lost"):
            await socket.send(b"x")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (LinkGone(), LinkGone),
        (Unauthorized("cannot join: no", hint="ask"), Unauthorized),
        (RoleTaken(key="task:main"), RoleTaken),
        (LimitReached(limit="agents", most=1), RelayUnreachable),
    ],
)
async def test_why_a_relay_refuses_tells_whether_to_try_again(
    far: FarEnd, error: RelayError, raised: type[RelayError]
) -> None:
    far.answer = refusing(error)
    with pytest.raises(raised) as caught:
        async with asyncio.timeout(PATIENCE_S), dial(far.url, "t", None):
            pass
    assert caught.value.hint == error.hint
    assert far.headers[-1]["Authorization"] == "Bearer t"


async def test_what_answers_without_a_reason_is_no_relay_for_now(far: FarEnd) -> None:
    async def fail(_request: web.Request) -> web.Response:
        return web.Response(status=502, text=json.dumps("bad gateway"))

    far.answer = fail
    with pytest.raises(RelayUnreachable, match="502"):
        async with asyncio.timeout(PATIENCE_S), dial(far.url, "t", None):
            pass


async def test_what_knows_no_links_cannot_be_joined(far: FarEnd) -> None:
    async def accept(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        return socket

    far.answer = accept
    with pytest.raises(RemoteProtocolError, match="knows no links"):
        async with asyncio.timeout(PATIENCE_S), dial(far.url, "t", None):
            pass
