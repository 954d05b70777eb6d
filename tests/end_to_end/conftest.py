"""What these tests share: a relay as a program, both event loops for those in this process."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
import uvloop
from tests.conformance.authored import ear, tapped_wire  # noqa: F401  # fixtures of every test here
from tests.end_to_end.joining import JoinedDialler, JoinedRelay, Serve, serve_joined
from tests.end_to_end.relays import RelayProcess, Witness, tagged
from tests.server.relays import Complaints, Dialler, serve

from acprelay.compose import DEMO_AGENT


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Offers both loops; relays that are programs have uvloop, whatever the test runs on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def complaints() -> Iterator[Complaints]:
    """Fails a test during which a relay in this process logged an error."""
    handler = Complaints()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in handler.records] == []


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Fails a test that leaves a process of its own behind."""
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) - before == set()


@pytest.fixture(scope="module")
def demo_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay with the demo agent, for all tests of a module."""
    with RelayProcess(log=tmp_path_factory.mktemp("relay") / "log") as relay:
        yield relay


@pytest.fixture
async def dial(demo_relay: RelayProcess) -> AsyncIterator[Dialler]:
    """Opens WebSockets to that relay."""
    with Dialler(demo_relay.url) as dialler:
        yield dialler


@pytest.fixture(params=["stdio", "joined"])
async def any_relay(
    request: pytest.FixtureRequest, demo_relay: RelayProcess
) -> AsyncIterator[RelayProcess | JoinedRelay]:
    """That relay with its own agent, and with one that has joined the one session of a test."""
    if request.param == "stdio":
        yield demo_relay
        return
    async with JoinedDialler(demo_relay.url, DEMO_AGENT).staying() as dial:
        url = await dial.address()
        yield JoinedRelay(url=url, base_url=demo_relay.base_url, joined=dial.joined["demo"])


@pytest.fixture(params=["stdio", "joined"])
def serve_any(request: pytest.FixtureRequest) -> Serve:
    """Runs a relay in this process that starts its agents, and one whose agents join."""
    return serve if request.param == "stdio" else serve_joined


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a relay that a test starts writes its log."""
    return tmp_path / "relay.log"


@pytest.fixture
async def witness(tmp_path: Path) -> AsyncIterator[Witness]:
    """Sees when processes end."""
    async with Witness(tmp_path / "witness") as it:
        yield it


@pytest.fixture
def tag() -> Iterator[str]:
    """Marks the agents of a test, none of which may be left."""
    own = uuid.uuid4().hex
    yield own
    left = tagged(own)
    for process in left:
        process.kill()
    assert left == []
