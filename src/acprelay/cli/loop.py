"""The event loop that commands run on: uvloop's where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

try:
    from uvloop import new_event_loop
except ImportError:  # it is no dependency on every system
    from asyncio import new_event_loop  # type: ignore[assignment]  # a loop is a loop

_Result = TypeVar("_Result")


def run_async(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs a coroutine to its end on a new loop, as `asyncio.run` does.

    Raises:
        KeyboardInterrupt: SIGINT came, and the coroutine did not handle it.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
