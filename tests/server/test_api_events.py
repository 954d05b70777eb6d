"""The stream of events: what it tells, how it goes on after a break, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from tests.server.api_client import ApiClient, api_client, crew

from acprelay.compose import RunningRelay
from acprelay.config import Limits
from acprelay.routing.feed import EventKind
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.live_connections import LiveConnections
from acprelay.server.api.events import EventResource
from acprelay.server.api.serving import add_operations
from acprelay.server.principals import admit
from acprelay.server.quotas import Quotas
from acprelay.session.models import SessionKey
from acprelay.testing.feed import memory_feed

KEY = SessionKey("login", "auth")


@asynccontextmanager
async def streaming(
    feed: EventFeed,
    *,
    keepalive_s: float = 60.0,
    patience_s: float = 60.0,
    on_end: Callable[[], None] = lambda: None,
    connections: LiveConnections | None = None,
) -> AsyncIterator[str]:
    """Serves the events of a feed, and nothing else; gives the address."""

    @web.middleware
    async def admit_everybody(request: web.Request, handler: Handler) -> web.StreamResponse:
        admit(request)
        try:
            return await handler(request)
        finally:
            on_end()

    app = web.Application(middlewares=[admit_everybody])
    events = EventResource(
        feed=feed,
        streams=Quotas.within(Limits()).streams,
        connections=connections or LiveConnections(forsake=lambda _: None),
        keepalive_s=keepalive_s,
        patience_s=patience_s,
    )
    add_operations(app, events.operations(), limits=Limits())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        feed.close()
        await runner.cleanup()


def add(feed: EventFeed, count: int, *, text: str = "") -> None:
    for _ in range(count):
        feed.add(EventKind.NOTICE, KEY, {"text": text})


# -- what it tells


@pytest.fixture
async def api(relay: RunningRelay) -> AsyncIterator[ApiClient]:
    async with api_client(relay.base_url) as client:
        yield client


@pytest.mark.process
async def test_the_life_of_a_session_is_told_in_order(relay: RunningRelay, api: ApiClient) -> None:
    async with api.events() as events:
        await crew(relay, "login", "auth")
        opened = await events.until("session_opened")
        prompted = await api("POST", "/sessions/login:auth/prompts", {"text": "/tool edit"})
        started = await events.until("turn_started")
        asked = await events.until("permission_asked")
        await api("POST", f"/permissions/{asked['ask']}", {"optionId": "allow"})
        settled = await events.until("permission_settled")
        ended = await events.until("turn_ended")
        await api("POST", "/sessions/login:auth/close", {})
        ending = await events.until("session_state")
        gone = await events.until("session_state")
        await api("DELETE", "/sessions/login:auth")
        deleted = await events.until("session_deleted")

    assert (opened["sessionId"], opened["agent"]) == ("login:auth", "demo")
    assert started["turn"] == asked["turn"] == ended["turn"] == prompted.body["turn"]
    assert (settled["ask"], settled["outcome"], settled["optionId"], settled["by"]) == (
        asked["ask"],
        "selected",
        "allow",
        "client",
    )
    assert (ended["outcome"], ended["stopReason"]) == ("ended", "end_turn")
    assert (ending["state"], gone["state"]) == ("terminating", "dormant")
    assert deleted["sessionId"] == "login:auth"


@pytest.mark.process
async def test_a_stream_is_ended_with_the_reason_when_the_relay_stops(
    relay: RunningRelay, api: ApiClient
) -> None:
    async with api.events() as events:
        await relay.dismiss()
        why = await events.until("ended")
        assert await events.is_over()

    assert (why["code"], why["retryable"]) == ("unavailable", True)


@pytest.mark.parametrize(
    ("query", "count"),
    [("?session=login:auth", 1), ("?group=login", 1), ("?session=login:db", 0), ("?group=a", 0)],
)
async def test_a_stream_can_be_for_one_session_or_group(query: str, count: int) -> None:
    feed = memory_feed()
    async with (
        streaming(feed) as url,
        api_client(url) as api,
        api.events(query) as events,
    ):
        add(feed, 1)
        feed.close()
        kinds = []
        while (event := await events.next()).kind != "ended":
            kinds.append(event.kind)

    assert kinds == ["notice"] * count


# -- going on


@pytest.mark.requirement("api.events-resume")
@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_stream_goes_on_behind_the_last_event_that_came(way: str) -> None:
    feed = memory_feed()
    add(feed, 5)
    query = "?after=life:3" if way == "query" else ""
    headers = {"Last-Event-ID": "life:3"} if way == "header" else None
    async with (
        streaming(feed) as url,
        api_client(url) as api,
        api.events(query, headers=headers) as events,
    ):
        seen = [(await events.next()).id for _ in range(2)]

    assert seen == ["life:4", "life:5"]


@pytest.mark.requirement("api.events-resume")
@pytest.mark.parametrize("known", ["life:1", "earlier:4", "life:99"])
async def test_what_the_relay_no_longer_remembers_is_said_to_be_lost(known: str) -> None:
    feed = memory_feed(most=3)
    add(feed, 5)
    async with (
        streaming(feed) as url,
        api_client(url) as api,
        api.events(headers={"Last-Event-ID": known}) as events,
    ):
        seen = [await events.next() for _ in range(4)]

    assert [(each.kind, each.id) for each in seen] == [
        ("lost", "life:2"),
        *[("notice", f"life:{number}") for number in (3, 4, 5)],
    ]


async def test_a_stream_begins_now_where_nothing_else_is_said() -> None:
    feed = memory_feed()
    add(feed, 3)
    async with streaming(feed) as url, api_client(url) as api, api.events() as events:
        add(feed, 1)
        assert (await events.next()).id == "life:4"


async def test_an_id_that_was_never_given_out_is_refused() -> None:
    async with streaming(memory_feed()) as url, api_client(url) as api:
        answer = await api("GET", "/events?after=yesterday")

    assert (answer.status, answer.body["code"]) == (400, "invalid_params")


# -- slow readers


@pytest.mark.requirement("api.slow-readers-are-ended")
async def test_a_reader_that_the_ring_has_passed_is_told_so_and_ended() -> None:
    feed = memory_feed(most=3)
    async with streaming(feed) as url, api_client(url) as api, api.events() as events:
        add(feed, 10)  # at once, so that nobody can have read in between
        why = await events.until("ended")
        assert await events.is_over()

    assert why["code"] == "limit_reached"


@pytest.mark.requirement("api.slow-readers-are-ended")
async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    feed, is_over = memory_feed(), asyncio.Event()
    async with streaming(feed, patience_s=0.05, on_end=is_over.set) as url:
        host, port = url.removeprefix("http://").split(":")
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(deaf, (host, int(port)))
            await loop.sock_sendall(deaf, b"GET /api/v1/events HTTP/1.1\r\nHost: a\r\n\r\n")
            await loop.sock_recv(deaf, 1)
            add(feed, 64, text="x" * 1_000_000)
            async with asyncio.timeout(30):
                await is_over.wait()
        finally:
            deaf.close()


async def test_a_stream_ends_at_once_when_its_principal_is_no_longer_let_in() -> None:
    feed, connections = memory_feed(), LiveConnections(forsake=lambda _: None)
    async with (
        streaming(feed, connections=connections) as url,
        api_client(url) as api,
        api.events() as events,
    ):
        assert await events.comment() == "events follow"
        async with asyncio.timeout(30):
            assert await connections.sever("local") == 1
            with pytest.raises(aiohttp.ClientError):
                await events.is_over()
        refused = await api("GET", "/events")

    assert (refused.status, refused.body["code"]) == (401, "unauthorized")


async def test_a_silent_stream_says_that_it_is_there() -> None:
    feed = memory_feed()
    async with (
        streaming(feed, keepalive_s=0.01) as url,
        api_client(url) as api,
        api.events() as events,
    ):
        assert await events.comment() == "events follow"
        assert await events.comment() == "nothing new"
        add(feed, 1)
        assert (await events.next()).kind == "notice"


async def test_nobody_between_may_keep_events_back() -> None:
    async with (
        streaming(memory_feed()) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/api/v1/events") as response,
    ):
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
