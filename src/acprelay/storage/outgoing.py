"""What the event loop has for the writer, handed over a bundle at a time.

To wake a thread for each command would cost the loop more than most commands do, and the thread
would then keep the interpreter from it in the middle of what it is at.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from acprelay.storage.commands import Batch, Command

MOST_IN_BUNDLE = 320
_ENOUGH_BYTES = 256 * 1024
_SMALL_BYTES = 16 * 1024


class Outgoing:
    """Gathers commands; belongs to the event loop's thread.

    Args:
        loop: Tells when to hand over.
        hand_over: Takes a bundle: commands in the order they were given.
        linger_s: How long a command waits for others; with 0 none does.
    """

    def __init__(
        self,
        *,
        loop: AbstractEventLoop,
        hand_over: Callable[[list[Command]], None],
        linger_s: float,
    ) -> None:
        self._loop = loop
        self._hand_over = hand_over
        self._linger_s = linger_s
        self._gathered: list[Command] = []
        self._size = 0
        self._is_due = False

    def put(self, command: Command) -> None:
        """Gives a command, which waits for others a moment; never blocks."""
        self._gathered.append(command)
        if type(command) is Batch:
            self._size += len(command.payload)
        is_enough = self._size >= _ENOUGH_BYTES or len(self._gathered) >= MOST_IN_BUNDLE
        if is_enough or not self._linger_s:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._loop.call_later(self._linger_s, self._be_due)

    def extend(self, batch: Batch) -> bool:
        """Makes a batch part of the one before it, if that was given last, and both are small.

        Returns:
            Whether it did; else the batch has to be put.
        """
        before = self._gathered[-1] if self._gathered else None
        if type(before) is not Batch or before.file is not batch.file or not before.payload:
            return False
        _, first, entries, payload, runs = before
        if len(payload) + len(batch.payload) > _SMALL_BYTES:
            return False
        self._size += len(batch.payload)
        self._gathered[-1] = Batch(
            batch.file, first, entries + batch.entries, payload + batch.payload, runs + 1
        )
        return True

    def ask(self, command: Command) -> None:
        """Gives a command that somebody waits for: nothing waits any more."""
        self._gathered.append(command)
        self.flush()

    def flush(self) -> None:
        """Hands over what was gathered."""
        gathered, self._gathered, self._size = self._gathered, [], 0
        if gathered:
            self._hand_over(gathered)

    def _be_due(self) -> None:
        self._is_due = False
        self.flush()
