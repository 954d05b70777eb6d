"""How a drain is shown to whoever runs the relay: on a terminal live, and in the log.

It shows a drain, and neither begins nor ends one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import TextIO

from acprelay.cli.service_manager import ServiceManager
from acprelay.routing.draining import DrainProgress

logger = logging.getLogger(__name__)

_START_OF_LINE = "\r\x1b[K"


class DrainView:
    """Shows one drain.

    Args:
        screen: Standard error.
        again: What ends the relay at once, in words.
        manager: Is told, too.
    """

    def __init__(self, *, screen: TextIO, again: str, manager: ServiceManager) -> None:
        self._screen = screen
        self._again = again
        self._manager = manager
        self._is_live = screen.isatty()
        self._logged: tuple[str, ...] = ()
        self._has_line = False

    async def show(self, progress: AsyncIterator[DrainProgress]) -> None:
        """Shows how far it is until it is over. Cancelling is safe.

        Args:
            progress: Tells that.
        """
        try:
            async for each in progress:
                self._show(each)
        finally:
            if self._has_line:
                print(file=self._screen, flush=True)

    def _show(self, progress: DrainProgress) -> None:
        self._manager.status(progress.describe())
        is_told = progress.waiting_for or self._logged
        if is_told and (progress.waiting_for != self._logged or progress.is_over):
            level = logging.WARNING if progress.is_cut_short else logging.INFO
            logger.log(level, "the relay drains: %s", progress.describe())
        if is_told and self._is_live:
            again = "" if progress.is_over else f"; {self._again}"
            text = f"{_START_OF_LINE}{progress.describe()}{again}"
            print(text, end="", file=self._screen, flush=True)
            self._has_line = True
        self._logged = progress.waiting_for
