"""What the event loop has for the writer, handed over a bundle at a time.

To wake a thread for each command would cost the loop more than most commands do, and the thread
would then keep the interpreter from it in the middle of what it is at.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from acprelay.storage.commands import Batch, Command, SegmentFile

MOST_IN_BUNDLE = 320
_ENOUGH_BYTES = 256 * 1024
_SMALL_BYTES = 16 * 1024
_MERGED_BYTES = 128 * 1024
# Each write has the writer's thread take the interpreter from the loop. So where so many commands
# come while one waits for others, all of them wait longer: each file then gets more at once.
_MANY = 32
_LONGER = 4


class Outgoing:
    """Gathers commands; belongs to the event loop's thread.

    Args:
        loop: Tells when to hand over.
        hand_over: Takes a bundle: commands in the order they were given.
        linger_s: How long a command waits for others, five times as long where these are many; with
            0 none does.
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
        self._latest: dict[SegmentFile, Batch] = {}
        self._size = 0
        self._is_due = False

    def put(self, command: Command) -> None:
        """Gives a command, which waits for others a moment; never blocks."""
        self._gathered.append(command)
        is_enough = self._size >= _ENOUGH_BYTES or len(self._gathered) >= MOST_IN_BUNDLE
        if is_enough or not self._linger_s:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._loop.call_later(self._linger_s, self._be_due)

    def put_batch(self, file: SegmentFile, first: int, entries: int, payload: bytes) -> bool:
        """Gives what is to be written to a segment; as part of the batch before it, if it can be.

        That is so where it is small, and both together are not large. It may come before other
        commands that way, as batches of different files may, and be written earlier than it was
        ordered to be made durable.

        Args:
            file: Where to.
            first: The number of the first entry: the next one.
            entries: How many there are.
            payload: Their frames; none to have the segment made.

        Returns:
            Whether a batch of its own was begun.
        """
        size = len(payload)
        self._size += size
        before = self._latest.get(file)
        if before is None or size > _SMALL_BYTES or len(before.payload) + size > _MERGED_BYTES:
            batch = Batch(file, first, entries, payload)
            if payload:  # else it only makes the segment
                self._latest[file] = batch
            self.put(batch)
            return True
        if isinstance(before.payload, bytes):
            before.payload = bytearray(before.payload)  # which grows without being copied each time
        before.payload += payload
        before.entries += entries
        before.runs += 1
        if self._size >= _ENOUGH_BYTES:
            self.flush()
        return False

    def ask(self, command: Command) -> None:
        """Gives a command that somebody waits for: nothing waits any more."""
        self._gathered.append(command)
        self.flush()

    def flush(self) -> None:
        """Hands over what was gathered."""
        gathered, self._gathered, self._size = self._gathered, [], 0
        self._latest.clear()
        if gathered:
            self._hand_over(gathered)

    def _be_due(self) -> None:
        if len(self._gathered) < _MANY:
            self._be_overdue()
        else:
            self._loop.call_later(_LONGER * self._linger_s, self._be_overdue)

    def _be_overdue(self) -> None:
        self._is_due = False
        self.flush()
