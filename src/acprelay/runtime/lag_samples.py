"""Measures how long what an agent said takes to a client's transport: a sample, never each message.

It knows no socket: whoever writes says when something was written.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from acprelay.routing.attachment import Attachment


class LagSamples:
    """The samples of one client that are being taken, one for an attachment at a time.

    Args:
        delivered: Is told how long one took, in seconds.

    Attributes:
        open: Those that are being taken: the place in the log that is waited for, and since when.
    """

    def __init__(self, *, delivered: Callable[[float], None]) -> None:
        self._delivered = delivered
        self.open: dict[Attachment, tuple[int, float]] = {}

    def begin(self, attachment: Attachment, read_at: float) -> None:
        """Begins one, unless one is being taken.

        Args:
            attachment: Who is to be written what its log holds now.
            read_at: When the latest of that was read, by `time.perf_counter`.
        """
        self.open.setdefault(attachment, (attachment.log.head, read_at))

    def written(self, attachment: Attachment) -> None:
        """Takes note that something was written; ends a sample that is complete."""
        if attachment not in self.open:
            return
        place, read_at = self.open[attachment]
        if attachment.is_blind:
            del self.open[attachment]
        elif attachment.cursor >= place:
            del self.open[attachment]
            self._delivered(perf_counter() - read_at)

    def forget(self, attachment: Attachment) -> None:
        """Takes none of an attachment any more. Idempotent."""
        self.open.pop(attachment, None)

    def clear(self) -> None:
        """Takes none any more. Idempotent."""
        self.open.clear()
