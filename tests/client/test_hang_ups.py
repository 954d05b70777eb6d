"""Connections that end without a word, and what is said of them in whichever instant they do."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from acprelay.client import RelayClient
from acprelay.client.hang_ups import hang_up, loss
from acprelay.client.websocket import open_socket
from acprelay.errors import RelayUnreachable

HANG_UPS = [
    aiohttp.ClientConnectionResetError("Cannot write to closing transport"),
    aiohttp.ClientOSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
    BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)),
]


@pytest.mark.parametrize("error", HANG_UPS)
def test_whatever_tells_of_a_hang_up_is_told_alike(error: Exception) -> None:
    assert loss(error) == "it ended without a word"
    assert isinstance(hang_up(error), aiohttp.ServerDisconnectedError)


def test_a_connection_that_ends_without_an_error_is_told_alike_too() -> None:
    assert loss(None) == "it ended without a word"


@pytest.mark.parametrize("error", [TimeoutError("late"), aiohttp.ClientPayloadError("half")])
def test_another_error_is_told_as_it_is(error: Exception) -> None:
    assert loss(error) == str(error)
    assert hang_up(error) is error


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Where something listens that is no relay, and hangs up on everybody."""

    def hang_up_on(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up_on, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/acp"


async def ask(address: str) -> None:
    async with RelayClient(address) as client:
        await client.get_session("a:b")


async def connect(address: str) -> None:
    async with open_socket(address):
        pass


@pytest.mark.parametrize("work", [ask, connect])
async def test_another_program_that_hangs_up_is_no_relay(
    address: str, work: Callable[[str], Awaitable[None]]
) -> None:
    with pytest.raises(RelayUnreachable, match="what answers there hung up") as caught:
        await work(address)
    assert "check the address" in caught.value.hint
