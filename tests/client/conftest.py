"""A relay in this process, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acprelay.client import RelayClient
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig


@pytest.fixture
async def relay() -> AsyncIterator[RunningRelay]:
    """A relay with the demo agent."""
    async with open_relay(RelayConfig(auth=False, port=0)) as running:
        yield running


@pytest.fixture
async def client(relay: RunningRelay) -> AsyncIterator[RelayClient]:
    """A client of that relay."""
    async with relay.client() as entered:
        yield entered
