"""A timer that is set anew whenever what it waits for changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls somebody at a time.

    Args:
        on_due: Who is called, on the event loop; the alarm is not set then.
    """

    def __init__(self, *, on_due: Callable[[], None]) -> None:
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None
        self._due_at: float | None = None  # uvloop's handle of what is due at once does not know it

    def set(self, due_at: float | None) -> None:
        """Sets it, in place of the time before. Idempotent.

        Args:
            due_at: The event loop's time; None for never.
        """
        if due_at == self._due_at:
            return
        self._due_at = due_at
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_at is not None:
            self._timer = asyncio.get_running_loop().call_at(due_at, self._ring)

    def _ring(self) -> None:
        self._timer = self._due_at = None
        self._on_due()
