"""A relay inside another program: mounted, authenticated by its host, and ended by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from tests.server.clients import AcpClient
from tests.server.peers import connect, refused, request_http

from acprelay.compose import Relay, RunningRelay
from acprelay.config import RelayConfig
from acprelay.errors import ConfigError
from acprelay.routing.access import LOCAL, Principal

PATIENCE_S = 30.0
CONFIG = RelayConfig(port=0, auth=False)


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serves an application as its own program would; gives its origin."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def mounted(relay: RunningRelay, prefix: str = "/relay") -> AsyncIterator[str]:
    """Serves a relay below a path of an application that has a page of its own."""
    parent = web.Application()
    parent.router.add_get("/", _welcome)
    parent.add_subapp(prefix, relay.app)
    async with listening(parent) as origin:
        relay.listens_at(origin)
        yield origin


async def _welcome(_request: web.Request) -> web.Response:
    return web.Response(text="welcome")


@pytest.mark.requirement("embedding.mounted-below-a-path")
async def test_a_mounted_relay_serves_a_whole_conversation_below_its_path() -> None:
    async with Relay(CONFIG) as relay, mounted(relay) as origin:
        assert relay.base_url == f"{origin}/relay"
        assert relay.url == relay.base_url.replace("http:", "ws:") + "/acp"
        client = AcpClient(await connect(relay.url))
        session_id = await client.open_session()
        answer = await client.prompt(session_id, "hello")
        assert answer["result"]["stopReason"] == "end_turn"
        assert (await request_http(origin, "/relay/readyz")).status == 200
        client.peer.abort()


async def test_the_host_program_keeps_its_own_pages() -> None:
    async with Relay(CONFIG) as relay, mounted(relay) as origin:
        assert (await request_http(origin, "/")).body == b"welcome"
        assert (await request_http(origin, "/acp")).status == 404


async def test_a_relay_that_is_mounted_deeper_knows_its_whole_path() -> None:
    async with Relay(CONFIG) as relay:
        between, parent = web.Application(), web.Application()
        between.add_subapp("/inner", relay.app)
        parent.add_subapp("/outer", between)
        async with listening(parent) as origin:
            relay.listens_at(origin)
            assert relay.base_url == f"{origin}/outer/inner"
            assert (await request_http(origin, "/outer/inner/healthz")).status == 200


async def test_two_relays_in_one_program_know_nothing_of_each_other() -> None:
    async with Relay(CONFIG) as one, Relay(CONFIG) as other:
        parent = web.Application()
        parent.add_subapp("/one", one.app)
        parent.add_subapp("/other", other.app)
        async with listening(parent) as origin:
            client = AcpClient(await connect(f"{origin.replace('http:', 'ws:')}/one/acp"))
            await client.open_session()
            counts = [
                json.loads((await request_http(origin, f"/{name}/readyz")).body)["sessions"]
                for name in ("one", "other")
            ]
            assert [sum(each.values()) for each in counts] == [1, 0]
            client.peer.abort()


@pytest.mark.requirement("embedding.mounted-below-a-path")
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "127.0.0.1:1"}],
    ids=str,
)
async def test_a_mounted_relay_refuses_foreign_pages_and_foreign_hosts(
    headers: dict[str, str],
) -> None:
    async with Relay(CONFIG) as relay, mounted(relay):
        answer = await refused(relay.url, headers=headers)
        assert (answer.status, answer.problem["code"]) == (403, "forbidden")


async def test_a_page_of_the_host_program_itself_may_connect() -> None:
    async with Relay(CONFIG) as relay, mounted(relay) as origin:
        (await connect(relay.url, headers={"Origin": origin})).abort()


@pytest.mark.requirement("embedding.authenticated-by-its-host")
async def test_the_host_program_decides_who_is_known() -> None:
    asked: list[str] = []

    def authenticate(request: web.Request) -> Principal | None:
        asked.append(request.path)
        return LOCAL if request.headers.get("X-User") == "me" else None

    async with Relay(CONFIG, authenticate=authenticate) as relay, mounted(relay):
        answer = await refused(relay.url)
        assert (answer.status, answer.problem["code"]) == (401, "unauthorized")
        client = AcpClient(await connect(relay.url, headers={"X-User": "me"}))
        await client.open_session()
        client.peer.abort()
        assert set(asked) == {"/relay/acp"}


async def test_whoever_looks_whether_it_is_alive_need_not_be_known() -> None:
    async with Relay(CONFIG, authenticate=lambda _: None) as relay, mounted(relay) as origin:
        assert (await request_http(origin, "/relay/healthz")).status == 200
        ready = await request_http(origin, "/relay/readyz")
        assert (ready.status, ready.body) == (200, b'{"status":"ready"}')


async def test_what_stands_before_the_host_programs_pages_stands_before_the_relay() -> None:
    @web.middleware
    async def closed(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/relay/") and "X-User" not in request.headers:
            raise web.HTTPUnauthorized
        return await handler(request)

    async with Relay(CONFIG) as relay:
        parent = web.Application(middlewares=[closed])
        parent.add_subapp("/relay", relay.app)
        async with listening(parent) as origin:
            relay.listens_at(origin)
            assert (await refused(relay.url)).status == 401
            (await connect(relay.url, headers={"X-User": "me"})).abort()


@pytest.mark.requirement("embedding.clients-are-told-of-the-end")
async def test_a_host_program_that_stops_tells_clients_what_becomes_of_their_turns() -> None:
    async with asyncio.timeout(PATIENCE_S), Relay(CONFIG) as relay:
        async with mounted(relay):
            client = AcpClient(await connect(relay.url))
            session_id = await client.open_session()
            prompt_id = await client.begin_prompt(session_id, "/think\n/slow 60000")
            for _ in range(2):  # the first one tells the agent's commands
                await client.until("session/update")
        answer = await client.answer_to(prompt_id)
        assert answer["error"]["data"]["code"] == "session_ended"
        closed = await client.peer.expect_end()
        assert (closed.code, closed.reason) == (1001, "the relay is stopping")
        client.peer.abort()
        await relay.dismiss()


async def test_a_relay_that_nobody_serves_ends_without_a_word() -> None:
    async with asyncio.timeout(PATIENCE_S), Relay(CONFIG) as relay:
        assert relay.agents == ("demo",)
        with pytest.raises(ConfigError, match="cannot tell the address"):
            _ = relay.url
