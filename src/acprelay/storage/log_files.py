"""A public log in segment files, whose newest runs are in memory.

A run is appended to memory and handed to the writer. It stays in memory until it is written and
until newer runs, of whatever log, push it out of the window that all logs share. A reader at the
head is served from memory, one that is behind from the files; so a reader that sleeps costs
nothing, however much passes it by.

Where writing fails, the log goes on in memory: what is not written is kept there, within a budget,
and is written to a new segment when the next try succeeds; also after the log was closed. If the
budget did not suffice, there is a gap, and what lies before it is no longer served: the next
segment says that nothing leads up to it, though it were an empty one, so that no number that was
given out once is ever given to another entry. Damage that a reader comes upon ends the same way:
its segment is put aside and the log begins after it. The log that is served is always one stretch
without a gap. This module knows no file and no thread.
"""

from __future__ import annotations

from collections.abc import Callable

from acprelay.errors import CursorExpired, RelayError
from acprelay.routing.log import Position, Slice
from acprelay.routing.log_memory import RUN_BYTES, RunWindow, runs_of
from acprelay.storage.generations import Generations
from acprelay.storage.recovery import Recovered
from acprelay.storage.segments import SegmentDamaged, Segments
from acprelay.storage.shared import Shared
from acprelay.storage.troubles import Troubles


class FileLog:
    """A `PublicLog` in segment files; as a `StreamOwner` it learns what became of its writes.

    Args:
        directory: Where its segments are.
        generation: What is begun now.
        recovered: What is there from before.
        shared: What it shares with other logs.
        on_trouble: Called, later on the event loop, when it cannot be stored or read.
        on_idle: Called when it is closed and nothing of it is left in memory.

    Attributes:
        generation: The generation that is being written.
        head: The number of the last entry.
    """

    def __init__(
        self,
        *,
        directory: str,
        generation: str,
        recovered: Recovered,
        shared: Shared,
        on_trouble: Callable[[RelayError], None],
        on_idle: Callable[[FileLog], None],
    ) -> None:
        self.generation = generation
        self._shared = shared
        self._troubles = Troubles(directory=directory, call_soon=shared.call_soon)
        self._troubles.begin(on_trouble)
        self._on_idle = on_idle
        self.head = self._written = recovered.head
        self._segments = Segments(
            directory=directory, found=recovered.segments, owner=self, shared=shared
        )
        self._generations = Generations()
        for header in recovered.headers:
            self._generations.begin(header.generation, base=header.base)
        self._generations.begin(generation, base=self.head)
        self._runs = RunWindow(first=self.head)
        self._unwritten_bytes = 0
        self._is_making = False  # a segment without an entry is not there yet
        self._is_paused = False  # what comes is in memory only
        self._closed = False
        self._is_let_go = False  # nothing of it is in memory, and what is in files stays so

    @property
    def start(self) -> int:
        """The oldest place that can be read from."""
        base = self._segments.base
        return self._runs.first if base is None else min(base, self._runs.first)

    @property
    def is_congested(self) -> bool:
        """Whether too much waits to be written, of all logs together: they share one writer."""
        return self._shared.backlog.is_over

    @property
    def held_bytes(self) -> int:
        """How many bytes of it are in memory."""
        return self._runs.size

    def begin(self) -> None:
        """Makes the first segment of a new log, so that its generation is remembered from now."""
        if not self.head and self._segments.base is None:
            self._make(0)

    def append(self, blob: bytes, count: int) -> None:
        """Adds `count` entries, which are the WebSocket frames in `blob`; never blocks."""
        if len(blob) <= RUN_BYTES or count == 1:  # nearly always
            self._add(blob, count)
            return
        for run, entries in runs_of(blob, count):
            self._add(run, entries)

    def _add(self, run: bytes, entries: int) -> None:
        self.head += entries
        self._runs.append(self.head, run)
        if self._is_paused:
            self._shared.unstored.hold(self, 1, len(run))
        else:
            self._store(run, self.head, entries, self.generation)

    def read(self, after: int, *, upto: int, limit: int) -> Slice:
        """Gives entries in order, as `PublicLog.read` says.

        The limit is approximate, as `MemoryLog` describes it, and fewer entries than it allows may
        come where a segment ends.

        Raises:
            CursorExpired: What follows the place is forgotten, or proves to be damaged now.
            Unavailable: A file cannot be opened for the moment: the process has too many open.
        """
        if after >= self._runs.first:
            upto = min(self.head, upto)
            return self._runs.read(after, upto=upto, limit=limit)
        if after < self.start:
            raise self._expired()
        if after >= upto:
            return [], after
        try:
            return self._segments.read(after, upto=min(upto, self._written), limit=limit)
        except SegmentDamaged as damaged:
            self._troubles.tell(damaged.trouble)
            raise self._expired() from damaged

    def locate(self, position: Position) -> int:
        """Finds the place that a client remembers.

        Raises:
            CursorExpired: Its generation is unknown or does not reach it, or it is forgotten.
        """
        place = self._generations.locate(position, head=self.head)
        if place is None or place < self.start:
            raise self._expired()
        return place

    def position(self, place: int) -> Position:
        """What a client is to remember of a place from `start` to `head`."""
        return self._generations.position(place)

    def sync(self) -> None:
        """Has what was appended so far made durable, soon."""
        self._segments.sync()

    def reopen(self, *, generation: str, on_trouble: Callable[[RelayError], None]) -> None:
        """Begins a new generation of a log that was closed but is not let go of yet."""
        self._closed = False
        self.generation = generation
        self._troubles.begin(on_trouble)
        self._generations.begin(generation, base=self.head)
        if self._is_paused:
            self._resume()

    def close(self) -> None:
        """Lets go of what is in memory once it is written.

        Where that failed, it is tried again now, and then as if it were open. Idempotent.
        """
        self._closed = True
        self._troubles.end()
        if self._is_paused:
            self._resume()
        elif self._segments.base is None and not self._is_making:
            self._make(self.head)  # all is put aside: how far the log got has to be known still
        self._segments.seal()
        self._end_if_stored()

    def give_up(self) -> None:
        """Gives up what could not be written, as the relay ends; leaves word that it is missing."""
        self._shared.unstored.release(self)
        self._troubles.lose(self.head - max(self._written, self._runs.first))
        self._troubles.tell_of_loss()
        self._runs = RunWindow(first=self.head)
        self._segments.forget()
        self._make(self.head)

    def delete(self) -> None:
        """Lets go of everything at once; what is still to be written no longer matters."""
        self._closed = True
        self._troubles.end()
        self._shared.unstored.release(self)
        self._let_go()

    def tell_unavailable(self, error: Exception) -> None:
        """Tells that the conversation cannot be stored: once, until writing succeeds again."""
        self._troubles.tell_unavailable(error)

    def drop_oldest(self, most: int, enough: int) -> tuple[int, int]:
        """Lets go of the oldest runs in memory, which are written; see `RunBudget`."""
        return self._runs.drop(most, enough=enough)

    def forget_oldest(self, _most: int, _enough: int) -> tuple[int, int]:
        """Gives up the oldest run that could not be written, and all before it.

        Returns:
            That it is one, and how many bytes it had.
        """
        self._shared.window.release(self)
        while self._runs.first < self._written:
            self._runs.drop()
        self._segments.forget()
        before = self._runs.first
        dropped = self._runs.drop()
        self._troubles.lose(self._runs.first - before)
        return dropped

    def on_written(self, runs: int, size: int, last: int) -> None:
        """Batches are written: their runs are in the window from now on."""
        self._shared.no_longer_waits(size)
        self._unwritten_bytes -= size
        if self._is_let_go:
            return
        self._written = last
        self._is_making = False
        self._troubles.recover()
        self._shared.window.hold(self, runs, size)
        self._end_if_stored()

    def on_failed(self, error: Exception) -> None:
        """Writing failed: the log goes on in memory, unless it was let go of.

        Then all of it is written, and a sync came too late that failed: there is nothing left to
        write again, and another log may be in the same files by now, or none any more.
        """
        self._shared.no_longer_waits(self._unwritten_bytes)
        self._unwritten_bytes = 0
        self._is_making = False
        if self._is_let_go:
            return
        self._segments.cut(self._written)
        self._is_paused = True
        self._troubles.tell_unavailable(error)
        for _, run in self._runs.runs_after(self._written):
            self._shared.unstored.hold(self, 1, len(run))
        self._troubles.tell_of_loss()
        self._end_if_stored()

    def on_pause_ended(self) -> None:
        """It is time to try again."""
        if self._is_paused:
            self._resume()
            self._end_if_stored()

    def _make(self, place: int) -> None:
        self._is_making = True
        generation = self._generations.position(place).generation
        self._segments.make(generation=generation, base=place)

    def _store(self, run: bytes, last: int, entries: int, generation: str) -> None:
        size = len(run)
        self._unwritten_bytes += size
        self._shared.backlog.add(size)
        first = last - entries + 1
        self._segments.append(run, first=first, entries=entries, generation=generation)

    def _resume(self) -> None:
        """Has everything written that could not be, in new segments."""
        self._is_paused = False
        self._shared.unstored.release(self)
        before = max(self._written, self._runs.first)
        if self._segments.base is None:  # there was nothing: it was given up, or never came
            self._make(before)  # by the generation that was given out for it, which may have ended
        for last, run in self._runs.runs_after(before):
            generation = self._generations.position(last).generation
            self._store(run, last, last - before, generation)
            before = last

    def _end_if_stored(self) -> None:
        # Where no segment is left, nothing would tell the next opening what numbers were given out.
        is_known = self._segments.base is not None or not self.head
        if self._closed and self._written == self.head and is_known and not self._is_making:
            self._let_go()

    def _let_go(self) -> None:
        self._is_let_go = True
        self._is_paused = False
        self._shared.window.release(self)
        self._segments.close()
        self._runs = RunWindow(first=self.head)
        self._on_idle(self)

    def _expired(self) -> CursorExpired:
        return CursorExpired(oldest=str(self.position(self.start)))
