"""Streamable HTTP on `/acp`: what is limited, and how connections end."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from tests.server.http_clients import (
    EVENTS,
    INITIALIZE,
    JSON,
    HttpClient,
    until_answer,
    until_method,
)
from tests.server.peers import (
    PATIENCE_S,
    Answer,
    Closed,
    StreamPeer,
    open_stream,
    request_http,
)
from tests.server.relays import count_sessions, serve

from acprelay.compose import RunningRelay
from acprelay.config import Limits, RelayConfig
from acprelay.server.http_connections import HttpConnection

_KEEP_ALIVE_S = 15.0


async def test_the_open_streams_of_a_connection_are_limited() -> None:
    config = RelayConfig(port=0, limits=Limits(http_streams=2))
    async with serve(config) as (relay, _):
        with HttpClient(relay.base_url) as client:
            await client.initialize()
            await client.stream()
            await client.stream("a:main")
            answer = await request_http(
                relay.base_url, "/acp", headers={**EVENTS, **client.headers("b:main")}
            )
            assert (answer.status, answer.problem["code"]) == (429, "limit_reached")
            await client.stream("a:main")


async def test_the_open_connections_are_limited() -> None:
    config = RelayConfig(port=0, limits=Limits(http_connections=1))
    async with serve(config) as (relay, _):
        with HttpClient(relay.base_url) as client:
            await client.initialize()
            answer = await request_http(
                relay.base_url, "/acp", method="POST", headers=JSON, body=INITIALIZE
            )
            assert (answer.status, answer.problem["code"]) == (429, "limit_reached")
            await client.leave()
            await client_of(relay)


def test_one_principal_leaves_others_room_to_connect() -> None:
    limits = Limits()
    assert limits.principal_connections < limits.http_connections
    assert limits.principal_connections < limits.connections


async def client_of(relay: RunningRelay) -> None:
    """Another client is let in."""
    with HttpClient(relay.base_url) as client:
        await client.initialize()


async def test_who_asks_and_does_not_read_is_told_so() -> None:
    config = RelayConfig(port=0, limits=Limits(lane_bytes=1000))
    async with serve(config) as (relay, _):
        with HttpClient(relay.base_url) as client:
            await client.initialize()
            answers = [
                await client.post({"id": n, "method": "session/list", "params": {}})
                for n in range(50)
            ]
            statuses = [answer.status for answer in answers]
            assert statuses == sorted(statuses)
            assert statuses[-1] == 429
            assert answers[-1].problem["code"] == "limit_reached"
            stream = await client.stream()
            for _ in range(statuses.count(202)):
                await stream.receive()
            assert (await client.post({"id": 99, "method": "session/list"})).status == 202


async def test_a_connection_that_is_ended_leaves_its_sessions_and_ends_its_streams(
    client: HttpClient, other: HttpClient, relay: RunningRelay
) -> None:
    await client.initialize()
    connection = await client.stream()
    session = await client.open_session(connection)
    stream = await client.stream(session)
    assert (await client.leave()).status == 202
    await connection.expect_end()
    await stream.expect_end()
    assert await count_sessions(relay.base_url) == 1
    await other.initialize()
    load = await other.begin_load(session)
    assert "result" in (await until_answer(await other.stream(), load))[-1].message


@pytest.mark.requirement("http.idle-connections-are-reaped")
async def test_a_connection_that_vanishes_is_reaped_and_its_session_stays() -> None:
    config = RelayConfig(port=0, limits=Limits(http_idle_s=1.0, http_connections=1))
    async with serve(config) as (relay, _):
        with HttpClient(relay.base_url) as client:
            await client.initialize()
            connection = await client.stream()
            session = await client.open_session(connection)
            stream = await client.stream(session)
            await until_answer(stream, await client.begin_prompt(session, "hello"))
            connection.abort()
            stream.abort()
            async with asyncio.timeout(PATIENCE_S):
                while await is_full(relay):
                    pass
            assert await count_sessions(relay.base_url) == 1
            assert (await client.post({"method": "x"})).status == 404


async def test_a_quiet_stream_whose_client_is_gone_makes_room_before_anything_is_written() -> None:
    async with serve(RelayConfig(port=0, limits=Limits(streams=1))) as (relay, _):
        with HttpClient(relay.base_url) as client:
            await client.initialize()
            events = await open_stream(relay.base_url, "/api/v1/events", headers={})
            events.abort()
            (await stream_of(client)).abort()
            await stream_of(client)


async def stream_of(client: HttpClient) -> StreamPeer:
    """Opens a stream once there is room, which must be before a quiet one is written to."""
    async with asyncio.timeout(_KEEP_ALIVE_S / 2):
        while True:
            with suppress(AssertionError):
                return await client.stream()


async def is_full(relay: RunningRelay) -> bool:
    """Whether no connection is let in."""
    answer = await request_http(
        relay.base_url, "/acp", method="POST", headers=JSON, body=INITIALIZE
    )
    return answer.status == 429


async def test_a_relay_that_stops_ends_the_streams() -> None:
    async with serve(RelayConfig(port=0)) as (relay, _):
        client = HttpClient(relay.base_url)
        await client.initialize()
        connection = await client.stream()
        session = await client.open_session(connection)
        stream = await client.stream(session)
    for each in (connection, stream):
        await each.expect_end()
        with pytest.raises(Closed):
            await each.receive()
        each.abort()


async def test_a_prompt_in_flight_is_answered_before_the_streams_end() -> None:
    async with serve(RelayConfig(port=0)) as (relay, _):
        client = HttpClient(relay.base_url)
        await client.initialize()
        connection = await client.stream()
        session = await client.open_session(connection)
        stream = await client.stream(session)
        prompt = await client.begin_prompt(session, "/think\n/slow 1000")
        await until_method(stream, "session/update")
    answer = (await until_answer(stream, prompt))[-1].message
    assert answer["error"]["data"]["code"] == "session_ended"
    await stream.expect_end()
    for each in (connection, stream):
        each.abort()


async def test_what_a_body_says_that_came_too_late_for_its_connection_is_not_heard() -> None:
    async with serve(RelayConfig(port=0)) as (relay, _):
        with HttpClient(relay.base_url) as client, HttpClient(relay.base_url) as other:
            await client.initialize()
            session = await client.open_session(await client.stream())
            params = {"sessionId": session, "cwd": "/", "mcpServers": []}
            load = {"jsonrpc": "2.0", "id": 9, "method": "session/load", "params": params}
            late = await begin_post(relay.base_url, json.dumps(load).encode(), client.headers())
            assert (await client.leave()).status == 202
            answer = await late()
            assert (answer.status, answer.problem["code"]) == (404, "connection_not_found")
            await other.initialize()


async def test_nothing_is_kept_of_a_connection_that_ended_before_its_last_request() -> None:
    async with serve(RelayConfig(port=0)) as (relay, _):
        with HttpClient(relay.base_url) as client, HttpClient(relay.base_url) as other:
            await client.initialize()
            late = await begin_post(relay.base_url, b"{}", client.headers())
            await client.leave()
            await late()
            await other.initialize()
            await other.stream()
            assert ids_of_connections() == [other.connection_id]


def ids_of_connections() -> list[str]:
    """The ids of the connections that are kept in memory."""
    gc.collect()
    return [each.client.id for each in gc.get_objects() if isinstance(each, HttpConnection)]


async def begin_post(
    base_url: str, body: bytes, headers: Mapping[str, str]
) -> Callable[[], Awaitable[Answer]]:
    """Posts all of a body but its last byte; gives what posts that, and reads the answer."""
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    said = {"Host": parts.netloc, "Content-Length": str(len(body)), **JSON, **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    writer.write(f"POST /acp HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode() + body[:-1])
    await writer.drain()

    async def finish() -> Answer:
        writer.write(body[-1:])
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        start, _, text = answer.partition(b"\r\n\r\n")
        kind = re.search(rb"(?i)content-type: (.+?)\r\n", start)
        kinds = {} if kind is None else {"content-type": kind[1].decode()}
        return Answer(int(start.split()[1]), kinds, text)

    return finish
