"""What the tests of the network share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Offers the one loop that clients need: the relays are programs, and have uvloop."""
    return {"asyncio": asyncio.new_event_loop}
