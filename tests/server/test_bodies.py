"""Bodies are read within bounds of size and time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from tests.server.peers import Answer, request_raw

from acprelay.errors import RelayError
from acprelay.server.bodies import read_body
from acprelay.server.logs import http_logger
from acprelay.server.problems import problem

LONG_S = 600.0
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@asynccontextmanager
async def served(handle: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None, lingering_time=0, logger=http_logger)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def answer_of(said: bytes, *, within_s: float = LONG_S) -> Answer:
    """What a server says that takes bodies of four bytes, and gives them back."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return web.Response(body=await read_body(request, most=4, within_s=within_s))
        except RelayError as error:
            return problem(error)

    async with served(handle) as base_url:
        return await request_raw(base_url, HEAD + said)


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 4\r\n\r\nfour",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nfo\r\n2\r\nur\r\n0\r\n\r\n",
    ],
    ids=["length", "chunks"],
)
async def test_a_body_within_its_bounds_is_read(said: bytes) -> None:
    answer = await answer_of(said)
    assert (answer.status, answer.body) == (200, b"four")


@pytest.mark.requirement("limits.bodies")
@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 5\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nfiv\r\n2\r\nes\r\n",
    ],
    ids=["length", "chunks"],
)
async def test_a_body_too_large_is_refused_before_it_is_there(said: bytes) -> None:
    answer = await answer_of(said)
    assert (answer.status, answer.problem["code"]) == (413, "frame_too_large")
    assert answer.problem["limit"] == 4


@pytest.mark.requirement("limits.bodies")
async def test_a_body_that_takes_too_long_is_given_up() -> None:
    answer = await answer_of(b"Content-Length: 4\r\n\r\nfo", within_s=0.05)
    assert (answer.status, answer.problem["setting"]) == (429, "body-s")


async def test_a_body_that_cannot_be_unpacked_is_refused() -> None:
    answer = await answer_of(b"Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\nfour")
    assert (answer.status, answer.problem["code"]) == (400, "invalid_request")
