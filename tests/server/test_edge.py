"""What the edge bears before a request is known: silence, floods, heads too large."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from tests.server.peers import (
    PATIENCE_S,
    UPGRADE,
    Answer,
    Opcode,
    connect,
    refused,
    request_http,
    request_raw,
)
from tests.server.relays import serve

from acprelay.config import Limits, RelayConfig
from acprelay.server.first_frame import FirstFrame

LONG_S = 600.0
"""A deadline that no test reaches."""


class Line:
    """A connection on which bytes are said as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def rest(self) -> bytes:
        """Everything that comes until the relay closes."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def answer(self) -> Answer:
        """The one answer with which the relay closes."""
        head, _, body = (await self.rest()).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers, body)

    async def get(self, path: str, host: str) -> int:
        """Asks for something, reads the answer, and gives its status; the connection stays."""
        async with asyncio.timeout(PATIENCE_S):
            self.writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.split("content-length: ")[1].split("\r\n")[0])
            await self.reader.readexactly(size)
            return int(head.split()[1])


@asynccontextmanager
async def line(base_url: str) -> AsyncIterator[Line]:
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


def config(**limits: float) -> RelayConfig:
    return RelayConfig(port=0, limits=Limits(**limits))  # type: ignore[arg-type] # named by tests


@pytest.mark.requirement("limits.handshakes-have-a-deadline")
@pytest.mark.parametrize(
    "said",
    [b"", b"GET", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"GET /healthz HTTP/1.1\r\nX: y"],
    ids=["silence", "half a line", "half a head", "half a header"],
)
async def test_who_does_not_finish_a_head_in_time_is_told_and_cut_off(said: bytes) -> None:
    async with serve(config(handshake_s=0.05)) as (relay, _), line(relay.base_url) as slow:
        slow.writer.write(said)
        answer = await slow.answer()
    assert answer.status == 408
    assert answer.headers["connection"] == "close"
    assert answer.problem["code"] == "limit_reached"
    assert answer.problem["setting"] == "handshake-s"


async def test_who_is_slow_but_in_time_is_served() -> None:
    async with serve(config(handshake_s=LONG_S)) as (relay, _), line(relay.base_url) as slow:
        head = f"GET /healthz HTTP/1.1\r\nHost: {urlsplit(relay.base_url).netloc}\r\n"
        for each in f"{head}Connection: close\r\n\r\n":
            slow.writer.write(each.encode())
            await slow.writer.drain()
        assert (await slow.rest()).startswith(b"HTTP/1.1 200")


@pytest.mark.requirement("limits.silent-connections-give-way")
async def test_the_connection_that_was_silent_longest_gives_way_to_one_more() -> None:
    async with (
        serve(config(handshakes=2, handshake_s=LONG_S)) as (relay, _),
        line(relay.base_url) as first,
        line(relay.base_url) as second,
    ):
        host = urlsplit(relay.base_url).netloc
        async with line(relay.base_url) as third:
            answer = await first.answer()
            assert (answer.status, answer.problem["setting"]) == (503, "handshakes")
            assert await third.get("/healthz", host) == 200
        assert await second.get("/healthz", host) == 200


@pytest.mark.requirement("limits.connections")
@pytest.mark.parametrize(
    ("name", "status"), [("connections", 503), ("address_connections", 429)], ids=["all", "one's"]
)
async def test_a_connection_too_many_is_refused_and_hurts_nobody_who_is_there(
    name: str, status: int
) -> None:
    async with serve(config(**{name: 1})) as (relay, _):
        host = urlsplit(relay.base_url).netloc
        async with line(relay.base_url) as there:
            assert await there.get("/healthz", host) == 200
            refused = await request_http(relay.base_url, "/healthz")
            assert refused.status == status
            assert refused.problem["code"] == "limit_reached"
            assert refused.problem["setting"] == name.replace("_", "-")
            assert refused.headers["retry-after"] == "1"
            assert await there.get("/healthz", host) == 200
            there.writer.close()
            await there.rest()
        async with asyncio.timeout(PATIENCE_S):
            while (await request_http(relay.base_url, "/healthz")).status != 200:
                pass


async def test_who_leaves_before_its_upgrade_is_answered_leaves_no_error_in_the_log() -> None:
    # The fixture `complaints` fails this test where one is logged.
    async with serve(config()) as (relay, _):
        host = urlsplit(relay.base_url).netloc
        upgrade = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        for _ in range(50):
            async with line(relay.base_url) as hasty:
                hasty.writer.write(f"GET /acp HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n".encode())
                await hasty.writer.drain()
        assert (await request_http(relay.base_url, "/healthz")).status == 200


async def test_a_connection_that_is_idle_is_closed() -> None:
    async with serve(config(keep_alive_s=0.05)) as (relay, _), line(relay.base_url) as idle:
        assert await idle.get("/healthz", urlsplit(relay.base_url).netloc) == 200
        assert await idle.rest() == b""


@pytest.mark.requirement("limits.heads")
@pytest.mark.parametrize(
    ("said", "setting"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", "line-bytes"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", "line-bytes"),
        (b"GET / HTTP/1.1\r\n" + b"x" * 9000 + b": y\r\n\r\n", "line-bytes"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", "headers"),
    ],
    ids=["line", "value", "name", "headers"],
)
async def test_a_head_too_large_is_refused_with_the_name_of_its_limit(
    said: bytes, setting: str
) -> None:
    async with serve(config()) as (relay, _):
        answer = await request_raw(relay.base_url, said)
        assert answer.status == 431
        assert answer.problem["code"] == "limit_reached"
        assert answer.problem["setting"] == setting


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"POST /acp HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /acp HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /acp HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["TLS", "prose", "two lengths", "length and chunks", "a negative length"],
)
async def test_what_is_no_http_gets_a_problem_document(said: bytes) -> None:
    async with serve(config()) as (relay, _), line(relay.base_url) as stranger:
        stranger.writer.write(said)
        answer = await stranger.answer()  # which is the last thing
        assert (answer.status, answer.problem["code"]) == (400, "invalid_request")


@pytest.mark.requirement("edges.upgrades-check-origin-and-host")
async def test_two_origins_are_refused_although_one_of_them_is_the_relays_own() -> None:
    async with serve(config()) as (relay, _):
        host = urlsplit(relay.base_url).netloc
        headers = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        for origins in (("evil.example", host), (host, "evil.example")):
            both = "".join(f"Origin: http://{origin}\r\n" for origin in origins)
            head = f"GET /acp HTTP/1.1\r\nHost: {host}\r\n{both}{headers}\r\n"
            answer = await request_raw(relay.base_url, head.encode())
            assert (answer.status, answer.problem["code"]) == (403, "forbidden")


@pytest.mark.requirement("limits.frames-are-masked")
@pytest.mark.parametrize("parts", [1, 2], ids=["at once", "in two reads"])
async def test_a_client_that_does_not_mask_its_frames_is_closed(parts: int) -> None:
    async with serve(config()) as (relay, _):
        peer = await connect(relay.url)
        unmasked = bytes([0x80 | Opcode.TEXT, 2]) + b"{}"
        if parts == 1:
            await peer.write(unmasked)
        else:
            await peer.write(unmasked[:1])
            await peer.write(unmasked[1:])
        assert (await peer.expect_end()).code == 1002
        peer.abort()


def test_only_the_first_frame_is_looked_at() -> None:
    class Reader:
        def __init__(self) -> None:
            self.fed: list[bytes] = []

        def feed_data(self, data: bytes) -> tuple[bool, bytes]:
            self.fed.append(data)
            return False, b""

        def feed_eof(self) -> None:
            self.fed.append(b"")

    reader = Reader()
    guarded = FirstFrame(reader)  # type: ignore[arg-type] # as far as it goes
    for data in (b"\x81", b"\x80\0\0\0\0", b"\x81\x01", b"\x81\x01"):
        guarded.feed_data(data)
    guarded.feed_eof()
    assert reader.fed == [b"\x81\x80\0\0\0\0", b"\x81\x01", b"\x81\x01", b""]
    assert guarded.feed_data == reader.feed_data


@pytest.mark.requirement("limits.greetings-have-a-deadline")
@pytest.mark.parametrize("said", [[], [b"{}", b'{"id":1,"method":"session/list"}']])
async def test_who_never_says_initialize_is_closed_with_the_name_of_the_limit(
    said: list[bytes],
) -> None:
    async with serve(config(greeting_s=0.05)) as (_, dial):
        peer = await dial.peer()
        for each in said:
            await peer.send(each)
        closed = await peer.expect_end()
    assert closed.code == 1008
    assert closed.reason == "limit greeting-s: no initialize within 0.05 s"


async def test_who_has_said_initialize_may_be_silent_for_as_long_as_it_likes() -> None:
    async with serve(config(greeting_s=1.0)) as (_, dial):
        client = await dial()
        begun = await client.begin("initialize", {"protocolVersion": 1})
        silent = await dial.peer()
        assert (await silent.expect_end()).code == 1008
        assert "result" in await client.answer_to(begun)
        assert await client.new_session()


@pytest.mark.requirement("limits.connections-per-principal")
async def test_a_principal_has_so_many_connections_and_gets_one_back_when_one_ends() -> None:
    async with serve(config(principal_connections=1)) as (relay, dial):
        client = await dial()
        await client.initialize()
        answer = await refused(relay.url)
        assert (answer.status, answer.problem["setting"]) == (429, "principal-connections")
        assert await client.new_session()
        await client.peer.close()
        async with asyncio.timeout(PATIENCE_S):
            while (await request_http(relay.base_url, "/acp", headers=UPGRADE)).status != 101:
                pass


async def test_a_refusal_is_the_same_document_with_and_without_a_request() -> None:
    async with serve(config(handshake_s=0.05)) as (relay, _), line(relay.base_url) as slow:
        answer = await slow.answer()
    assert json.loads(answer.body)["type"] == "about:blank"
    assert int(answer.headers["content-length"]) == len(answer.body)


@pytest.mark.requirement("limits.streams")
async def test_a_principal_has_so_many_streams_and_gets_one_back_when_one_ends() -> None:
    events = "/api/v1/events"
    async with serve(config(streams=1)) as (relay, dial):
        host = urlsplit(relay.base_url).netloc
        ask = f"GET {events} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        async with line(relay.base_url) as watching, asyncio.timeout(PATIENCE_S):
            watching.writer.write(ask)
            await watching.reader.readuntil(b": events follow")
            refused_one = await request_http(relay.base_url, events)
            assert (refused_one.status, refused_one.problem["setting"]) == (429, "streams")
            watching.writer.close()
        client = await dial()
        await client.initialize()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await client.new_session()  # an event, which finds nobody there
                async with line(relay.base_url) as again:
                    again.writer.write(ask)
                    if b" 200 " in await again.reader.readline():
                        break


@pytest.mark.requirement("limits.bodies")
async def test_a_body_that_the_control_api_does_not_take_names_its_limit() -> None:
    async with serve(config(body_bytes=100, body_s=0.05)) as (relay, _):
        host = urlsplit(relay.base_url).netloc
        head = f"POST /api/v1/groups HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        large = await request_raw(relay.base_url, f"{head}Content-Length: 101\r\n\r\n".encode())
        assert (large.status, large.problem["code"]) == (413, "frame_too_large")
        slow = await request_raw(relay.base_url, f"{head}Content-Length: 9\r\n\r\n{{".encode())
        assert (slow.status, slow.problem["setting"]) == (429, "body-s")


@pytest.mark.requirement("limits.connections-per-principal")
async def test_connections_of_all_transports_count_for_their_principal() -> None:
    async with serve(config(principal_connections=1)) as (relay, dial):
        await (await dial()).initialize()
        host = urlsplit(relay.base_url).netloc
        body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'
        head = (
            f"POST /acp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answer = await request_raw(relay.base_url, head.encode() + body)
        assert (answer.status, answer.problem["setting"]) == (429, "principal-connections")
