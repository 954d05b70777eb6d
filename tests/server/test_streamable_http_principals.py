"""Streamable HTTP on `/acp`: whose a connection is, and its end when its token is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from tests.server.http_clients import EVENTS, JSON, HttpClient
from tests.server.peers import PATIENCE_S, Answer, request_http

from acprelay.config import Limits
from acprelay.routing.access import LOCAL, Principal
from acprelay.runtime.live_connections import LiveConnections
from acprelay.runtime.measurements import Measures, Traffic
from acprelay.runtime.ports import ClientWriter
from acprelay.runtime.system import RandomIds
from acprelay.server.http_connections import Connect, HttpConnections
from acprelay.server.principals import admit
from acprelay.server.quotas import Quotas
from acprelay.server.streamable_http import StreamableHttp
from acprelay.wire import Envelope

ANN = {"X-Test-Principal": "ann"}
BEN = {"X-Test-Principal": "ben"}


class EchoingConnection:
    """Answers each request with an empty result."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - as a connection is made
        principal: Principal,
        choice: object,  # noqa: ARG002
        outbox: ClientWriter,
    ) -> None:
        self.id = id
        self.principal = principal
        self.backlog_bytes = 0
        self._outbox = outbox

    async def __aenter__(self) -> EchoingConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._outbox.close()

    def deal_with(self, envelope: Envelope) -> None:
        if envelope.id is not None:
            self._outbox.say(b'{"jsonrpc":"2.0","id":%b,"result":{}}' % envelope.id)


@web.middleware
async def _admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    name = request.headers["X-Test-Principal"]
    admit(request, Principal(id=name, name=name, grants=LOCAL.grants))
    return await handler(request)


@asynccontextmanager
async def serving(connections: LiveConnections, **limits: Any) -> AsyncIterator[str]:
    """Serves connections that echo; gives the address."""
    bounds = Limits(**limits)
    connect = cast("Connect", EchoingConnection)
    over_http = HttpConnections(
        connect=connect,
        ids=RandomIds(),
        limits=bounds,
        connections=connections,
        measures=Measures(traffic=Traffic(), delivered=lambda _lag_s: None),
        quotas=(quotas := Quotas.within(bounds)),
    )
    http = StreamableHttp(
        agents=["demo"],
        connections=over_http,
        limits=bounds,
        quotas=quotas,
        keep_alive_s=0.01,
    )
    app = web.Application(middlewares=[_admit])
    app.router.add_get("/acp", http.stream)
    app.router.add_post("/acp", http.post)
    app.router.add_delete("/acp", http.delete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await http.close()
        await runner.cleanup()


@pytest.fixture
def connections() -> LiveConnections:
    return LiveConnections(forsake=lambda _principal: None)


async def try_all(base_url: str, headers: dict[str, str]) -> list[Answer]:
    """Everything that can be done with a connection."""
    return [
        await request_http(
            base_url,
            "/acp",
            method="POST",
            headers={**JSON, **headers},
            body=b'{"id":1,"method":"session/list"}',
        ),
        await request_http(base_url, "/acp", headers={**EVENTS, **headers}),
        await request_http(base_url, "/acp", method="DELETE", headers=headers),
    ]


@pytest.mark.requirement("http.connection-ids-are-no-credentials")
async def test_who_knows_the_id_of_anothers_connection_is_told_that_there_is_none(
    connections: LiveConnections,
) -> None:
    async with serving(connections) as base_url:
        with HttpClient(base_url, ANN) as ann, HttpClient(base_url, BEN) as ben:
            await ann.initialize()
            known = await try_all(base_url, {**BEN, "Acp-Connection-Id": ann.connection_id})
            unknown = await try_all(base_url, {**BEN, "Acp-Connection-Id": "x"})
            assert [(each.status, each.body) for each in known] == [
                (404, each.body) for each in unknown
            ]
            await ben.initialize()
            stream = await ann.stream()
            await ann.begin("session/list", {})
            assert (await stream.receive()).message["result"] == {}


async def test_a_token_that_is_taken_back_ends_its_connections_and_their_streams(
    connections: LiveConnections,
) -> None:
    async with serving(connections) as base_url:
        with HttpClient(base_url, ANN) as ann, HttpClient(base_url, BEN) as ben:
            await ann.initialize()
            await ben.initialize()
            gone, stays = await ann.stream(), await ben.stream()
            async with asyncio.timeout(PATIENCE_S):
                assert await connections.sever("ann") == 1
            await gone.expect_end()
            answers = await try_all(base_url, ann.headers())
            assert {answer.status for answer in answers} == {404}
            late = await request_http(
                base_url,
                "/acp",
                method="POST",
                headers={**JSON, **ANN},
                body=b'{"id":1,"method":"initialize"}',
            )
            assert (late.status, late.problem["code"]) == (401, "unauthorized")
            await ben.begin("session/list", {})
            assert (await stays.receive()).message["result"] == {}
            assert connections.count == 1


async def test_a_quiet_stream_carries_comments(connections: LiveConnections) -> None:
    async with serving(connections) as base_url:
        with HttpClient(base_url, ANN) as ann:
            await ann.initialize()
            stream = await ann.stream()
            assert [await stream.receive_block() for _ in range(3)] == ["id: 0", ":", ":"]
            await ann.begin("session/list", {})
            assert (await stream.receive()).message["result"] == {}


async def test_a_peer_that_does_not_read_cannot_keep_its_stream_open(
    connections: LiveConnections,
) -> None:
    async with serving(connections) as base_url:
        with HttpClient(base_url, ANN) as ann:
            await ann.initialize()
            await ann.stream(receive_buffer=4096)
            huge = "x" * 500_000
            for _ in range(20):
                await ann.post({"id": huge, "method": "session/list", "params": {}})
            async with asyncio.timeout(PATIENCE_S):
                assert await connections.sever("ann") == 1
            assert connections.count == 0
