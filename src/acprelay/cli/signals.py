"""SIGINT, SIGTERM and SIGHUP as something a coroutine can act on.

The first signal is an appeal: end in good order. The second ends everything at once. What the
process was started to ignore, as `nohup` does with SIGHUP, it goes on ignoring.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

from acprelay.cli.exits import of_signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Takes the signals while it is entered.

    Entered by the task that the first signal is to cancel, where it appeals to nobody.

    Attributes:
        signal: The number of the first signal that came; None before.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._appeal: Callable[[], None] | None = None
        self._task: asyncio.Task[object] | None = None
        self._taken: list[signal.Signals] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._taken = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
        loop = asyncio.get_running_loop()
        for number in self._taken:
            loop.add_signal_handler(number, self._arrived, number)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in self._taken:
            loop.remove_signal_handler(number)

    def appeal_to(self, appeal: Callable[[], None] | None) -> None:
        """Names what the first signal does; None makes it cancel the task, as at the beginning."""
        self._appeal = appeal

    def _arrived(self, number: int) -> None:
        if self.signal is not None:
            end_at_once(number)
        self.signal = number
        if self._appeal is not None:
            self._appeal()
        elif self._task is not None:
            self._task.cancel()


def end_at_once(number: int) -> None:
    """Kills every process that this one started, with all that share their groups, and ends it.

    Args:
        number: The signal that demands it; the exit code says so.
    """
    own = os.getpgrp()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            group = os.getpgid(process.pid)
            if group != own:
                os.killpg(group, signal.SIGKILL)
            process.kill()
    os._exit(of_signal(number))
