"""What clients see of a relay that stops, and that none of them can keep it from stopping."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Self, cast

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from tests.agents.cable import turns_until
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S, WebSocketPeer, connect, refused, request_http
from tests.server.relays import serve

from acprelay.compose import open_relay
from acprelay.config import Limits, RelayConfig
from acprelay.routing.access import LOCAL, Principal
from acprelay.routing.choosing import Choice
from acprelay.runtime.live_connections import LiveConnections
from acprelay.runtime.measurements import Measures, Traffic
from acprelay.runtime.outbox import Outbox
from acprelay.runtime.system import RandomIds
from acprelay.server.acp import AcpEndpoint
from acprelay.server.edge import Doors, EdgeSite
from acprelay.server.http_connections import Connect, HttpConnections
from acprelay.server.principals import admit
from acprelay.server.quotas import Quotas
from acprelay.server.streamable_http import StreamableHttp
from acprelay.wire import text_frame


async def test_clients_are_told_that_the_relay_goes_away() -> None:
    async with open_relay(RelayConfig(auth=False, port=0)) as relay:
        silent, speaking = await connect(relay.url), AcpClient(await connect(relay.url))
        await speaking.open_session()
    for peer in (silent, speaking.peer):
        closed = await peer.expect_end()
        assert (closed.code, closed.reason) == (1001, "the relay is stopping")
        peer.abort()


async def test_a_prompt_in_flight_is_answered_before_its_client_is_dismissed() -> None:
    async with open_relay(RelayConfig(auth=False, port=0)) as relay:
        client = AcpClient(await connect(relay.url))
        session_id = await client.open_session()
        prompt_id = await client.begin_prompt(session_id, "/think\n/slow 1000")
        await client.until("session/update")
        await client.until("session/update")
    answer = await client.answer_to(prompt_id)
    assert answer["error"]["data"]["code"] == "session_ended"
    assert "stopping" in answer["error"]["data"]["reason"]
    assert (await client.peer.expect_end()).code == 1001
    client.peer.abort()


async def test_streams_that_nobody_reads_do_not_keep_the_relay() -> None:
    peers = []
    async with asyncio.timeout(PATIENCE_S), open_relay(RelayConfig(auth=False, port=0)) as relay:
        for _ in range(3):
            client = AcpClient(await connect(relay.url, receive_buffer=4096))
            session_id = await client.open_session()
            await client.begin_prompt(session_id, "/stream 100000 1000")
            await client.until("session/update")
            peers.append(client.peer)
    for peer in peers:
        await peer.expect_end()
        peer.abort()


class FakeConnection:
    """Writes until its client's socket takes no more, and takes nothing."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002, ARG002 - as a connection is made
        principal: Principal,  # noqa: ARG002
        choice: Choice,  # noqa: ARG002
        outbox: Outbox,
    ) -> None:
        self.backlog_bytes = 0
        self._outlet = outbox._outlet

    async def __aenter__(self) -> Self:
        while not self._outlet.writing_paused:
            self._outlet.write(text_frame(b"x" * 10_000))
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_a_client_whose_socket_is_full_is_cut_off_within_a_bound() -> None:
    endpoint = _endpoint(FakeConnection, LiveConnections(forsake=lambda _principal: None))
    async with _serving(endpoint) as base_url:
        url = base_url.replace("http:", "ws:") + "/acp"
        peers = [await connect(url, receive_buffer=4096) for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            await endpoint.close()
            await endpoint.close()
        answer = await refused(url)
        assert (answer.status, answer.problem["code"]) == (503, "unavailable")
    for peer in peers:
        assert (await peer.expect_end()).code is None  # there was no room for a close frame
        peer.abort()


class QuietConnection(FakeConnection):
    """Says nothing and takes everything."""

    async def __aenter__(self) -> Self:
        return self

    def receive(self, _frame: bytes) -> None:
        pass


@pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "full"])
async def test_severing_a_principal_ends_its_connections_within_a_bound(quiet: bool) -> None:
    connections = LiveConnections(forsake=lambda _principal: None)
    endpoint = _endpoint(QuietConnection if quiet else FakeConnection, connections)
    async with _serving(endpoint) as base_url:
        url = base_url.replace("http:", "ws:") + "/acp"
        peers = [await connect(url, receive_buffer=4096) for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            ended = [tasks.create_task(peer.expect_end()) for peer in peers if quiet]
            assert await connections.sever(LOCAL.id) == len(peers)
            assert connections.count == 0
            ends = [await end for end in ended]
            # It came with a token that has been taken back meanwhile.
            late = await connect(url)
            ends.append(await late.expect_end())
        assert {end.code for end in ends} == {1008}
        assert connections.count == 0
    for peer in [*peers, late]:
        peer.abort()


class TalkativeConnection(FakeConnection):
    """Its client has begun, reads nothing, and talks on; what it says is kept."""

    heard: asyncio.Queue[bytes]
    is_begun = True

    def receive(self, frame: bytes) -> None:
        self.heard.put_nowait(frame)


async def test_what_a_client_says_once_it_is_dismissed_is_not_dealt_with() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    TalkativeConnection.heard = heard
    endpoint = _endpoint(TalkativeConnection, LiveConnections(forsake=lambda _principal: None))
    async with asyncio.timeout(PATIENCE_S), _serving(endpoint, edge=True) as base_url:
        url = base_url.replace("http:", "ws:") + "/acp"
        peer = await connect(url, receive_buffer=4096)
        for said in (b"one", b"two"):
            await peer.send(said)
            assert await heard.get() == said
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(endpoint.close())
            await turns_until(lambda: all(socket.closed for socket in endpoint._open))
            for _ in range(3):
                await peer.send(b"late")
        peer.abort()
    # aiohttp lets one through: it was waiting for that already.
    assert heard.qsize() <= 1


def _endpoint(kind: type[FakeConnection], connections: LiveConnections) -> AcpEndpoint:
    measures = Measures(traffic=Traffic(), delivered=lambda _lag_s: None)
    connect_fake = cast("Connect", kind)
    quotas = Quotas.within(Limits())
    over_http = HttpConnections(
        connect=connect_fake,
        ids=RandomIds(),
        limits=Limits(),
        quotas=quotas,
        connections=connections,
        measures=measures,
    )
    return AcpEndpoint(
        agents=["demo"],
        connect=connect_fake,
        http=StreamableHttp(
            agents=["demo"],
            connections=over_http,
            limits=Limits(),
            quotas=quotas,
            keep_alive_s=15,
        ),
        ids=RandomIds(),
        limits=Limits(),
        quotas=quotas,
        connections=connections,
        measures=measures,
    )


@web.middleware
async def _let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    admit(request)
    return await handler(request)


@asynccontextmanager
async def _serving(endpoint: AcpEndpoint, *, edge: bool = False) -> AsyncIterator[str]:
    app = web.Application(middlewares=[_let_in])
    app.router.add_get("/acp", endpoint.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    if edge:
        limits = Limits()
        doors = Doors(limits=limits)
        site: web.BaseSite = EdgeSite(runner, doors=doors, limits=limits, host="127.0.0.1", port=0)
    else:
        site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_an_http_connection_that_is_kept_alive_does_not_keep_the_relay() -> None:
    async with asyncio.timeout(PATIENCE_S), open_relay(RelayConfig(auth=False, port=0)) as relay:
        host = relay.base_url.removeprefix("http://")
        reader, writer = await asyncio.open_connection(*host.rsplit(":", 1))
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await reader.readuntil(b"}")
    assert await reader.read() == b""
    writer.close()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Lets this process open some thousands of sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this system lets a process open {hard} files; {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
async def test_a_thousand_connections_that_never_speak_burden_nobody() -> None:
    async with serve(RelayConfig(port=0)) as (relay, dial):
        peers: list[WebSocketPeer] = [await dial.peer() for _ in range(1000)]
        assert len({peer.headers["acp-connection-id"] for peer in peers}) == 1000
        assert json.loads((await request_http(relay.base_url, "/healthz")).body)["status"] == "ok"
        client = await dial()
        session_id = await client.open_session()
        answer = await client.prompt(session_id, "hello")
        assert answer["result"]["stopReason"] == "end_turn"
