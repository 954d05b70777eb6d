"""One WebSocket connection to a relay: every way to fail is one error, and says what to do."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from acprelay.client import websocket as websocket_module
from acprelay.client.websocket import open_socket
from acprelay.errors import RelayUnreachable, RequestRefused

if TYPE_CHECKING:
    from tests.cli.conftest import Conversation, FakeRelay

PATIENCE_S = 30.0


async def test_messages_pass_as_bytes_both_ways(fake_relay: FakeRelay) -> None:
    async def echo(conversation: Conversation) -> None:
        text = await conversation.websocket.receive_str()
        await conversation.websocket.send_bytes(b"binary")
        await conversation.websocket.send_str(text)
        await conversation.ends()

    fake_relay.script = echo
    async with asyncio.timeout(PATIENCE_S), open_socket(fake_relay.url) as relay:
        await relay.send("\u00e9 { }".encode())
        assert await relay.receive() == "\u00e9 { }".encode()
    await fake_relay.played()


async def test_a_close_is_told_with_its_code_and_its_reason(fake_relay: FakeRelay) -> None:
    async def close(conversation: Conversation) -> None:
        await conversation.websocket.close(code=1008, message=b"enough")

    fake_relay.script = close
    async with asyncio.timeout(PATIENCE_S), open_socket(fake_relay.url) as relay:
        for _ in range(2):
            with pytest.raises(RelayUnreachable, match=r"is lost: "):
                await relay.receive()
        with pytest.raises(RelayUnreachable, match=r"is lost: "):
            await relay.send(b"{}")


async def test_what_breaks_the_protocol_is_told(fake_relay: FakeRelay) -> None:
    async def send_nonsense(conversation: Conversation) -> None:
        transport = conversation.websocket._req.transport  # type: ignore[union-attr] # it is connected
        assert transport is not None
        transport.write(b"\xff\xff\xff\xff")
        await conversation.websocket.receive()

    fake_relay.script = send_nonsense
    async with asyncio.timeout(PATIENCE_S), open_socket(fake_relay.url) as relay:
        with pytest.raises(RelayUnreachable, match=r"is lost: "):
            await relay.receive()


async def test_a_relay_that_vanishes_without_a_word_is_noticed_by_the_system(
    fake_relay: FakeRelay,
) -> None:
    async def listen(conversation: Conversation) -> None:
        await conversation.websocket.receive()

    fake_relay.script = listen
    async with asyncio.timeout(PATIENCE_S), open_socket(fake_relay.url) as relay:
        connection = relay._websocket.get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_module, "_CONNECT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/acp"
        with pytest.raises(RelayUnreachable, match="did not answer within 0 s"):
            async with open_socket(url):
                pass


async def test_a_server_that_speaks_something_else_is_told() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-nothing\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, asyncio.timeout(PATIENCE_S):
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/acp"
        with pytest.raises(RelayUnreachable, match="cannot reach a relay at") as caught:
            async with open_socket(url):
                pass
    assert caught.value.hint == "check the address"


async def test_a_name_that_does_not_exist_is_told() -> None:
    with pytest.raises(RelayUnreachable, match=r"cannot reach a relay at ws://relay\.invalid/acp"):
        async with asyncio.timeout(PATIENCE_S), open_socket("ws://relay.invalid/acp"):
            pass


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (
            '{"title":"cannot find agent","hint":"choose"}',
            "application/problem+json",
            RequestRefused,
        ),
        ('{"title":"cannot find agent"}', "application/problem+json", RequestRefused),
        ("{}", "application/problem+json", RelayUnreachable),
        ("[]", "application/problem+json", RelayUnreachable),
        ("no json", "application/problem+json", RelayUnreachable),
        ('{"title":"t","hint":"h"}', "application/json", RelayUnreachable),
        ("", "text/plain", RelayUnreachable),
    ],
)
async def test_a_refusal_is_explained_where_the_answer_is_a_problem_document(
    body: str, content_type: str, error: type[Exception]
) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=400, text=body, content_type=content_type)

    app = web.Application()
    app.router.add_get("/acp", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(error, match=r"cannot find agent|HTTP status 400"):
            async with (
                asyncio.timeout(PATIENCE_S),
                open_socket(f"ws://127.0.0.1:{runner.addresses[0][1]}/acp"),
            ):
                pass
    finally:
        await runner.cleanup()
