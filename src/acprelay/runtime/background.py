"""Tasks that outlive the call that began them, owned by one context."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Any, Self

from acprelay.errors import RelayError

logger = logging.getLogger(__name__)


async def together(*work: Awaitable[None]) -> None:
    """Does several things at once, and returns once all are done, also where some of them fail.

    Raises:
        Exception: The first failure, in the order of the arguments.
    """
    for failure in await asyncio.gather(*work, return_exceptions=True):
        if failure is not None:
            raise failure


class Background:
    """Keeps tasks until they are done, and ends those that are left when its context is left.

    A task that fails is logged; it takes no other task with it. Tasks have the context variables of
    whoever entered, not of whoever begins them: they outlive the latter.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()

    @property
    def count(self) -> int:
        """How many tasks are not done."""
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        """Starts nothing."""
        self._context = contextvars.copy_context()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cancels what is still running and waits until it has ended."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Begins a task.

        Args:
            work: What it does.
            name: Says so in logs.
        """
        task = asyncio.get_running_loop().create_task(work, name=name, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, RelayError):  # it says all there is
            logger.error("cannot finish: %s: %s", task.get_name(), error)
        elif error is not None:
            logger.error("cannot finish: %s", task.get_name(), exc_info=error)
