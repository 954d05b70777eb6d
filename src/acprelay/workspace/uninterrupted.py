"""Work that is carried out whole, although whoever asked for it is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


async def to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Awaits work that no cancellation of the caller reaches.

    For steps whose half would be worse than their delay; the work itself has to have a bound. A
    caller that is cancelled meanwhile, however often, gets its `CancelledError` once the work has
    ended. What the work has raised by then is logged, as nobody can get it any more.

    Args:
        work: What is to be done.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled() and (failed := task.exception()) is not None:
        logger.error("cannot finish what a cancelled caller has begun", exc_info=failed)
    raise cancelled
