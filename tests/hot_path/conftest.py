"""Runs these tests on a loop that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tests.hot_path.loops import CountingLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs every asynchronous test here on a loop that counts."""
    return {"counting": CountingLoop}
