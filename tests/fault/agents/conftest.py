"""What the tests of agents that misbehave share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Offers the one loop that clients need: the relays are programs, and have uvloop."""
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def no_process_is_left() -> None:
    """Lets be the relays that tests share: each test looks itself for what its agent has left."""
