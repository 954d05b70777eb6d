"""What these tests share: both event loops, a relay in this process, and clients that are ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop
from tests.conformance.authored import ear, tapped_wire  # noqa: F401  # fixtures of every test here
from tests.server.http_clients import HttpClient
from tests.server.relays import Complaints, Dialler

from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs every asynchronous test here on both loops, unless it names one."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def complaints() -> Iterator[Complaints]:
    """Fails a test during which the relay, or a library below it, logged an error."""
    handler = Complaints()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in handler.records] == []


@pytest.fixture
async def relay() -> AsyncIterator[RunningRelay]:
    """A relay with the demo agent."""
    async with open_relay(RelayConfig(auth=False, port=0)) as running:
        yield running


@pytest.fixture
async def dial(relay: RunningRelay) -> AsyncIterator[Dialler]:
    """Opens WebSockets to that relay."""
    with Dialler(relay.url) as dialler:
        yield dialler


@pytest.fixture
def client(relay: RunningRelay) -> Iterator[HttpClient]:
    """A client over HTTP that has said nothing yet."""
    with HttpClient(relay.base_url) as client:
        yield client


@pytest.fixture
def other(relay: RunningRelay) -> Iterator[HttpClient]:
    """Another one."""
    with HttpClient(relay.base_url) as client:
        yield client
