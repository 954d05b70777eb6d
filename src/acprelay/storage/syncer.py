"""Makes durable what is written, in a thread that does nothing else.

A device takes milliseconds to say that it has something, and a busy one seconds. The writer does
not wait for that: it keeps an `Unsynced`, which says what is written and not durable, and orders
one thing at a time from the `Syncer`. What became of it comes back as a command. So there is never
more than one order under way, and one entry for each file, however slow the device is.

A name is in a directory, and that is durable by itself: of a file that was made durable nothing is
left by a power cut if the name of a directory above it is not. So each order comes with what new
names there are above its file, which the first order of several takes along for all.

Nothing here knows what is in the files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

from acprelay.storage.commands import Syncable, Synced
from acprelay.storage.disk import Disk, sync_path


class SyncOrder(NamedTuple):
    """What the syncer is to do.

    Attributes:
        target: What is made durable by it.
        paths: A file, and then the directories whose names for it are not durable either.
    """

    target: Syncable
    paths: tuple[str, ...]


class Syncer:
    """Carries out orders in a thread of its own, from `start` to `stop`.

    It opens each file anew, so that the writer may close, move and remove what it wants meanwhile.

    Args:
        disk: What making durable comes down to.
        report: Takes what became of an order; called in the thread.
    """

    def __init__(self, *, disk: Disk, report: Callable[[Synced], None]) -> None:
        self._disk = disk
        self._report = report
        self._orders: SimpleQueue[SyncOrder | None] = SimpleQueue()
        # A daemon, as the writer is: a device that never answers must not keep the relay alive.
        self._thread = Thread(target=self._run, name="acprelay-syncer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, order: SyncOrder) -> None:
        """Gives an order."""
        self._orders.put(order)

    def stop(self) -> None:
        """Ends the thread once it has carried out what it was given, and waits for that."""
        self._orders.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            self._report(Synced(order.target, self._carry_out(order)))

    def _carry_out(self, order: SyncOrder) -> Exception | None:
        try:
            for path in order.paths:
                sync_path(self._disk, path)
        except Exception as error:  # noqa: BLE001 - it is the writer's to judge
            return error
        return None


class Unsynced:
    """What is written and not durable, in the order that it was written; for the writer's thread.

    Args:
        put: Gives an order to the syncer.
    """

    def __init__(self, *, put: Callable[[SyncOrder], None]) -> None:
        self._put = put
        self._noted: dict[Syncable, str] = {}
        self._wanted: dict[Syncable, str] = {}
        self._named: set[str] = set()  # directories with names in them that are not durable
        self._covered: set[str] = set()  # whose names will be, by the current order
        self._current: SyncOrder | None = None
        self._is_forgotten = False  # what became of the current order matters to nobody

    def __contains__(self, target: Syncable) -> bool:
        """Whether something is written and not durable."""
        current = None if self._current is None else self._current.target
        return target in self._noted or target in self._wanted or target == current

    @property
    def is_ordered(self) -> bool:
        """Whether all that was written is durable, or ordered to be made so."""
        return not self._noted

    @property
    def is_idle(self) -> bool:
        """Whether no order is under way or waits."""
        return self._current is None

    def note(self, target: Syncable, path: str) -> None:
        """Learns that something was written.

        Args:
            target: What.
            path: The file.
        """
        self._noted[target] = path

    def note_name(self, directory: str) -> None:
        """Learns that a directory has a new name in it, of a file or of another directory."""
        self._named.add(directory)
        self._covered.discard(directory)  # it may have come too late

    def sync(self, target: Syncable) -> None:
        """Has something made durable, if it is not."""
        path = self._noted.pop(target, None)
        if path is not None:
            self._wanted[target] = path
            self._order()

    def sync_all(self) -> None:
        """Has everything made durable."""
        for target in list(self._noted):
            self.sync(target)

    def forget(self, target: Syncable) -> None:
        """Something need not be made durable any more."""
        self._noted.pop(target, None)
        self._wanted.pop(target, None)
        if self._current is not None and self._current.target == target:
            self._is_forgotten = True

    def forget_below(self, path: Path) -> None:
        """A file, or every file of a directory, need not be made durable any more."""
        known = {**self._noted, **self._wanted}
        if self._current is not None:
            known[self._current.target] = self._current.paths[0]
        for target, file in known.items():
            if Path(file).is_relative_to(path):
                self.forget(target)
        self._named = {each for each in self._named if not Path(each).is_relative_to(path)}

    def take_back(self, error: Exception | None) -> bool:
        """Learns what became of the current order, and gives the next.

        Returns:
            Whether that matters.
        """
        if error is None:
            self._named -= self._covered
        self._covered = set()
        matters = not self._is_forgotten
        self._current = None
        self._is_forgotten = False
        self._order()
        return matters

    def _order(self) -> None:
        if self._current is None and self._wanted:
            target = next(iter(self._wanted))
            path = self._wanted.pop(target)
            above = self._named_above(path) if self._named else []
            self._covered = set(above)
            self._current = SyncOrder(target, (path, *above))
            self._put(self._current)

    def _named_above(self, path: str) -> list[str]:
        found: list[str] = []
        while len(path) > 1:
            path = path.rpartition("/")[0] or "/"
            if path in self._named:
                found.append(path)
        return found
