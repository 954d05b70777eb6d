"""Saves the whole of what there is, one save after the other; it knows neither what nor where to.

A thread that writes cannot be called off. Another save beside it would be overtaken by what it
replaces, so the turn of a save is over when its thread is, whoever waits for that or has left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from acprelay.errors import RelayError

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_T_contra = TypeVar("_T_contra", contravariant=True)


class Store(Protocol[_T_contra]):
    """Where it is saved."""

    def save(self, whole: _T_contra, /) -> None:
        """Keeps it in place of what was before; may block.

        Raises:
            Unavailable: It cannot be stored.
        """
        ...


class Saving(Generic[_T]):
    """Does the saves of one file.

    Args:
        current: Gives what there is, when the turn of a save has come.
        store: Keeps it.
    """

    def __init__(self, *, current: Callable[[], _T], store: Store[_T]) -> None:
        self._current = current
        self._store = store
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()

    async def save(self) -> None:
        """Returns once what there is now is saved, or what has come of it since.

        Cancelling calls nothing off: it is saved all the same, and the log tells if it cannot be.

        Raises:
            Unavailable: It cannot be saved; what was saved before still is.
        """
        saving = asyncio.get_running_loop().create_task(self._take_turn())
        self._under_way.add(saving)
        saving.add_done_callback(self._under_way.discard)
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            saving.add_done_callback(_tell)
            raise

    async def aclose(self) -> None:
        """Returns once nothing is being saved any more. Idempotent."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _take_turn(self) -> None:
        async with self._turn:
            await asyncio.to_thread(self._store.save, self._current())


def _tell(saving: asyncio.Task[None]) -> None:
    error = None if saving.cancelled() else saving.exception()
    if error is not None:
        logger.error("%s", error, exc_info=None if isinstance(error, RelayError) else error)
