"""What a log has to tell of itself when something is wrong: to its opener, and to the relay's log.

It is told once, however often the same is tried in vain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from acprelay.errors import RelayError, Unavailable
from acprelay.storage.disk import remedy_of

logger = logging.getLogger(__name__)


class Troubles:
    """Tells of the troubles of one log.

    Args:
        directory: Where the log is.
        call_soon: Calls back on the event loop, after what runs there now.
    """

    def __init__(
        self, *, directory: str, call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._directory = directory
        self._call_soon = call_soon
        self._listener: Callable[[RelayError], None] | None = None
        self._is_told = False  # of an outage that lasts
        self._lost = 0  # entries that were given up and not told of

    def begin(self, listener: Callable[[RelayError], None]) -> None:
        """Tells somebody from now on, of an outage that lasts as of a new one."""
        self._listener = listener
        self._is_told = False

    def end(self) -> None:
        """Tells nobody any more; what is lost is still logged."""
        self._listener = None

    def tell(self, error: RelayError) -> None:
        """Tells of an error, later on the event loop."""
        listener = self._listener
        if listener is not None:
            self._call_soon(lambda: listener(error))

    def tell_unavailable(self, error: Exception) -> None:
        """Tells that the conversation cannot be stored: once, until `recover`."""
        if self._is_told:
            return
        self._is_told = True
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self.tell(
            Unavailable(
                f"cannot store the conversation: {reason}",
                hint="it goes on in memory, and what is not stored is lost if the relay ends; "
                + remedy_of(error),
                path=self._directory,
            )
        )

    def lose(self, entries: int) -> None:
        """Counts entries that are given up."""
        self._lost += entries

    def tell_of_loss(self) -> None:
        """Logs how many entries were given up since it was last logged, if any."""
        if self._lost:
            logger.warning(
                "cannot keep %d entries of the conversation in %s: they could not be written; "
                "neither they nor those before them are served any more",
                self._lost,
                self._directory,
            )
            self._lost = 0

    def recover(self) -> None:
        """Writing has succeeded."""
        self._is_told = False
        self.tell_of_loss()
