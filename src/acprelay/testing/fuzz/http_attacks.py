"""What is wrong with HTTP: heads, lengths, chunks, and those that take their time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from acprelay.testing.fuzz.line import Site, noise
from acprelay.testing.fuzz.message_attacks import message

_POSTS = (
    b"/acp",
    b"/api/v1/groups",
    b"/api/v1/sessions/x:main/prompts",
    b"/api/v1/tokens",
    b"/api/v1/invitations",
    b"/nothing",
)
_TYPES = (b"application/json", b"text/plain", b"", b"application/json; charset=utf-16")
_HEAD = b"GET /healthz HTTP/1.1\r\nHost: %b\r\n"
_POST = b"POST /acp HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
_PAUSE_S = 0.2


async def _tell(site: Site, *parts: bytes) -> str:
    async with site.line() as line:
        for part in parts:
            await line.say(part.replace(b"%b", line.host.encode()))
        return await line.status()


async def huge_headers(site: Site) -> Sequence[str]:
    """A line, a name, a value, and a number of headers that are too large."""
    size = site.random.randrange(9_000, 2_000_000)
    return [
        await _tell(site, b"GET /" + b"x" * size + b" HTTP/1.1\r\nHost: %b\r\n\r\n"),
        await _tell(site, _HEAD, b"X: " + b"y" * size + b"\r\n\r\n"),
        await _tell(site, _HEAD, b"x" * size + b": y\r\n\r\n"),
        await _tell(site, _HEAD, b"X: y\r\n" * 5_000 + b"\r\n"),
    ]


async def smuggling(site: Site) -> Sequence[str]:
    """Requests whose end two readers would find in two places."""
    hidden = b"GET /readyz HTTP/1.1\r\nHost: %b\r\n\r\n"
    heads = [
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: +5\r\n\r\nhello",
        b"Content-Length: 0x5\r\n\r\nhello",
        b"Content-Length: 99999999999999999999999\r\n\r\nhello",
        b" folded: yes\r\n\r\n",
        b"X: a\nContent-Length: 5\r\n\r\nhello",
        b"X: a\0b\r\n\r\n",
    ]
    return [await _tell(site, _POST, head, hidden) for head in heads]


async def bad_chunks(site: Site) -> Sequence[str]:
    """Chunked bodies that are none."""
    bodies = [
        b"zz\r\n",
        b"-1\r\nx\r\n",
        b"fffffffffffffffff\r\nx",
        b"1;" + b"x" * 100_000 + b"\r\nx\r\n0\r\n\r\n",
        b"1\r\nxx\r\n0\r\n\r\n",
        b"0\r\n" + b"Trailer: x\r\n" * 5_000 + b"\r\n",
    ]
    head = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
    return [await _tell(site, head, body) for body in bodies]


async def no_http(site: Site) -> Sequence[str]:
    """Bytes without meaning, and other protocols."""
    said = [
        noise(site.random, site.random.randrange(1, 5_000)) + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise(site.random, 500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: %b\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"GET /%00%ff/../../acp HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    ]
    return [await _tell(site, each) for each in said]


async def bad_upgrades(site: Site) -> Sequence[str]:
    """Upgrades that lack something, or have something twice."""
    asked = b"GET /acp HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    rests = [
        b"\r\n",
        b"Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xff\xfe\r\n\r\n",
        b"Sec-WebSocket-Version: 13\r\nOrigin: http://%b\r\nOrigin: http://%b\r\n\r\n",
        b"Sec-WebSocket-Version: 13\r\nOrigin: http://evil.example\r\n\r\n",
    ]
    return [await _tell(site, asked, rest) for rest in rests]


async def slow_heads(site: Site) -> Sequence[str]:
    """Lines and headers that come byte by byte, and never end."""

    async def trickle(begin: bytes) -> str:
        async with site.line() as line:
            await line.say(begin.replace(b"%b", line.host.encode()))
            async with line.saying_slowly(b"x" * 100, _PAUSE_S):
                return await line.status()

    begins = (b"", b"GET /", _HEAD, _HEAD + b"X: ", _HEAD + b"X: y\r\n")
    return await asyncio.gather(*map(trickle, begins))


async def slow_bodies(site: Site) -> Sequence[str]:
    """Bodies that come byte by byte, and never end."""

    async def trickle(begin: bytes) -> str:
        async with site.line() as line:
            await line.say((_POST + begin).replace(b"%b", line.host.encode()))
            async with line.saying_slowly(b"1" * 30, _PAUSE_S):
                return await line.status()

    begins = (b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n")
    return await asyncio.gather(*map(trickle, begins))


async def random_posts(site: Site) -> Sequence[str]:
    """Bodies of which nearly everything may be anything, to whatever takes one."""
    seen = []
    for _ in range(40):
        path, kind = site.random.choice(_POSTS), site.random.choice(_TYPES)
        body = message(site.random) if site.random.random() < 0.8 else noise(site.random, 500)  # noqa: PLR2004 - most are nearly right
        head = b"POST %s HTTP/1.1\r\nHost: %%b\r\nContent-Type: %s\r\n" % (path, kind)
        accept = b"Accept: application/json, text/event-stream\r\n"
        if site.random.random() < 0.3:  # noqa: PLR2004 - some name a connection that is not there
            accept += b"Acp-Connection-Id: " + str(site.random.random()).encode() + b"\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        async with site.line() as line:
            await line.say((head + accept + length).replace(b"%b", line.host.encode()) + body)
            seen.append(await line.status())
    return seen


async def unread_streams(site: Site) -> Sequence[str]:
    """Streams of events that are opened, many at once, and not read."""
    ask = b"GET /api/v1/events HTTP/1.1\r\nHost: %b\r\nAccept: text/event-stream\r\n\r\n"
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(site.line()) for _ in range(100)]
        for line in lines:
            await line.say(ask.replace(b"%b", line.host.encode()))
        return await asyncio.gather(*(line.status() for line in lines))


async def half_open(site: Site) -> Sequence[str]:
    """Connections whose other end says no more, in the middle of something or before it."""
    seen = []
    for said in (b"", b"GET /heal", _HEAD, _POST + b"Content-Length: 10\r\n\r\nhalf"):
        async with site.line() as line:
            await line.say(said.replace(b"%b", line.host.encode()))
            line.half_close()
            seen.append(await line.status())
    return seen


async def pipelining(site: Site) -> Sequence[str]:
    """Thousands of requests at once, none of whose answers is read for a while."""
    async with site.line() as line:
        request = (_HEAD + b"\r\n").replace(b"%b", line.host.encode())
        await line.say(request * 2_000)
        return [await line.status()]
