"""An event loop that counts what it is given to do, and on which no time passes unless it may."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

_Ts = TypeVarTuple("_Ts")


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock a test can stop, so that no timer falls due in what it counts.

    Attributes:
        created: How many tasks, futures, callbacks and timers there were, by these words.
    """

    def __init__(self) -> None:
        super().__init__()
        self.created: Counter[str] = Counter()
        self._stopped_at: float | None = None
        self.set_task_factory(self._create_task)

    def stop_clock(self) -> None:
        """Lets no time pass from now on."""
        self._stopped_at = super().time()

    def pass_time(self, seconds: float) -> None:
        """Has so much time gone by at once, on the clock that is stopped."""
        assert self._stopped_at is not None
        self._stopped_at += seconds

    def start_clock(self) -> None:
        """Lets time pass again, what was missed included."""
        self._stopped_at = None

    def time(self) -> float:
        return super().time() if self._stopped_at is None else self._stopped_at

    def create_future(self) -> asyncio.Future[Any]:
        self.created["futures"] += 1
        return super().create_future()

    def _create_task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any
    ) -> asyncio.Task[Any]:
        self.created["tasks"] += 1
        return asyncio.Task(coro, loop=loop, **options)

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        self.created["callbacks"] += 1
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self.created["timers"] += 1
        return super().call_at(when, callback, *args, context=context)
