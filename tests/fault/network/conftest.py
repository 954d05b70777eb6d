"""What the tests of the network share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
from tests.fault.network.site import Site, site


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Offers the one loop that clients need: the relays are programs, and have uvloop."""
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A relay for all tests of a module."""
    with site(tmp_path_factory.mktemp("place")) as it:
        yield it
