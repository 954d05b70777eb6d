"""Brings what the writer tells from its thread to the event loop, many events at a time."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from acprelay.errors import RelayError
from acprelay.storage.commands import Event


class Inbox:
    """Takes events in one thread and hands them over in another, in order.

    However many come while the loop is busy, it is woken once.

    Args:
        loop: Where they are handed over.
        handle: Takes an event there.
    """

    def __init__(self, *, loop: AbstractEventLoop, handle: Callable[[Event], None]) -> None:
        self._loop = loop
        self._handle = handle
        self._events: deque[Event] = deque()
        self._is_called = False

    def put(self, event: Event) -> None:
        """Adds an event; called in the other thread."""
        self._events.append(event)
        # The loop takes the flag down before it looks at the events: where the flag is up, it has
        # not looked yet, and will find this one.
        if not self._is_called:
            self._is_called = True
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_called = False
        while self._events:
            self._handle(self._events.popleft())


def settle(done: Future[None], error: RelayError | None) -> None:
    """Tells whoever waits, if it still waits, that something is done or could not be."""
    if done.done():
        return  # whoever waited was cancelled
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
