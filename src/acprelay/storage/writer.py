"""The one thread that writes for all conversations of a relay.

It takes all that is waiting, and writes what goes to one file together. Orders are carried out as
they came, except that batches of different files, the audit log's lines among them, may change
places; a record is therefore never ahead of the log entries that were given before it.

It never waits for the device: that is the syncer's, a thread of its own, and what is given
meanwhile is written meanwhile. What is written survives the end of this process, SIGKILL included:
at most what was still waiting is lost, milliseconds of output as a rule. What is synced survives a
power cut: that is everything that was given before a `Sync` of its file, a full segment, or the
last turn of the interval, once the syncer has come to it. After a power cut a log therefore ends
somewhere between the last sync and what was written, and a record is the one that was synced last
or a later one.
"""

from __future__ import annotations

import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from acprelay.errors import RelayError, Unavailable
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock
from acprelay.storage.audit import AuditFile
from acprelay.storage.commands import (
    Audit,
    Barrier,
    Batch,
    Command,
    Delete,
    Done,
    Event,
    Evict,
    Quarantine,
    Save,
    Seal,
    SegmentFile,
    Stop,
    Sync,
    Syncable,
    Synced,
)
from acprelay.storage.disk import Disk, remove_directory
from acprelay.storage.limits import StorageLimits
from acprelay.storage.record_writer import RecordWriter
from acprelay.storage.records import QUARANTINE_SUFFIX, conversation_directory
from acprelay.storage.segment_writer import SegmentWriter
from acprelay.storage.syncer import Syncer, Unsynced

# What is taken together is in memory until all of it is written, whatever the window has room for;
# and two buffers for each, with a segment's header, have to fit into one call of `writev` (1024),
# also where a whole bundle comes on top.
_ENOUGH_COMMANDS = 128

logger = logging.getLogger(__name__)


class Writer:
    """Carries out commands in a thread of its own, from `start` until it is told to `Stop`.

    Args:
        conversations: The directory that has a directory for each conversation.
        audit: The file of the audit log.
        disk: What writing comes down to.
        clock: Tells when to sync and to try again; monotonic.
        limits: Bounds and intervals.
        emit: Takes what is to be told; called in the thread.
    """

    def __init__(
        self,
        *,
        conversations: Path,
        audit: Path,
        disk: Disk,
        clock: Clock,
        limits: StorageLimits,
        emit: Callable[[Event], None],
    ) -> None:
        self._conversations = conversations
        self._disk = disk
        self._clock = clock
        self._limits = limits
        self._emit = emit
        self._told: list[Event] = []  # what is carried out together is told together
        self._is_awaited = False
        self._queue: SimpleQueue[list[Command]] = SimpleQueue()
        self._syncer = Syncer(disk=disk, report=lambda synced: self._queue.put([synced]))
        self._unsynced = Unsynced(put=self._syncer.put)
        self._segments = SegmentWriter(
            disk=disk, clock=clock, limits=limits, unsynced=self._unsynced, emit=self._told.append
        )
        self._records = RecordWriter(
            conversations=conversations,
            disk=disk,
            clock=clock,
            retry_s=limits.retry_s,
            unsynced=self._unsynced,
            emit=self._told.append,
        )
        self._audit = AuditFile(path=audit, disk=disk, unsynced=self._unsynced)
        self._sync_at: float | None = None
        self._stop: Future[None] | None = None
        # A daemon: a relay that ends without stopping it ends all the same.
        self._thread = Thread(target=self._run, name="acprelay-writer", daemon=True)
        self.put = self._queue.put

    def start(self) -> None:
        """Starts the thread, and that of the syncer."""
        self._syncer.start()
        self._thread.start()

    def join(self) -> None:
        """Waits for the thread's end, which comes at once after it has told of its stop."""
        self._thread.join()

    def _run(self) -> None:
        while self._stop is None or not self._unsynced.is_idle:
            self._carry_out(self._take())
            self._keep_time()
            self._tell()
        self._segments.close()
        self._audit.close()
        self._syncer.stop()
        self._emit(Done(self._stop, None))

    def _take(self) -> list[Command]:
        """What is waiting; waits itself until there is something, or it is time."""
        commands: list[Command] = []
        times = (self._sync_at, self._segments.retry_at, self._records.retry_at)
        due = [at for at in times if at is not None]
        timeout = max(min(due) - self._clock.now(), 0.0) if due else None
        try:
            commands += self._queue.get(timeout=timeout)
            while len(commands) < _ENOUGH_COMMANDS:
                commands += self._queue.get_nowait()
        except Empty:
            pass
        return commands

    def _carry_out(self, commands: list[Command]) -> None:
        groups: dict[SegmentFile, list[Batch]] = {}
        decisions: list[bytes] = []
        for command in without_replaced(commands):
            if type(command) is Batch:
                groups.setdefault(command.file, []).append(command)
            elif type(command) is Audit:
                decisions.append(command.entry)
            else:
                self._write(groups, decisions)
                self._tell_who_waits()
                self._attempt(command)
        self._write(groups, decisions)

    def _write(self, groups: dict[SegmentFile, list[Batch]], decisions: list[bytes]) -> None:
        if groups or decisions:
            self._tell_who_waits()
        for file, batches in groups.items():
            self._segments.write(file, batches)
        groups.clear()
        if decisions:
            self._audit.add(decisions)
            decisions.clear()

    def _attempt(self, command: Command) -> None:
        try:
            self._perform(command)
        except Exception as error:  # the thread serves every conversation: it must not end by one
            logger.exception("cannot carry out an order to write")
            if isinstance(command, Barrier | Delete):
                self._settle(command.done, _failed("carry out an order", error))

    def _perform(self, command: Command) -> None:
        match command:
            case Sync(target):
                self._unsynced.sync(target)
            case Synced(target, error):
                self._on_synced(target, error)
            case Seal(file):
                self._segments.seal(file)
            case Evict(path):
                self._disk.evict(path)
            case Save():
                self._records.save(command)
            case Quarantine(path):
                self._quarantine(path)
            case Delete(key, done):
                self._settle(done, self._delete(key))
            case Barrier(done):
                self._settle(done, None)
            case Stop(done):
                self._stop = done
                self._records.close()

    def _settle(self, done: Future[None], error: RelayError | None) -> None:
        self._told.append(Done(done, error))
        self._is_awaited = True

    def _tell_who_waits(self) -> None:
        """Tells at once, before what may take its time, where somebody waits for it."""
        if self._is_awaited:
            self._tell()

    def _tell(self) -> None:
        # Each waking of the event loop takes the interpreter from this thread for a while.
        self._is_awaited = False
        told = self._told.copy()
        self._told.clear()
        for event in told:
            self._emit(event)

    def _keep_time(self) -> None:
        now = self._clock.now()
        is_time = self._sync_at is not None and now >= self._sync_at
        if is_time or self._stop is not None:
            self._unsynced.sync_all()
        if self._unsynced.is_ordered:
            self._sync_at = None
        elif self._sync_at is None:
            self._sync_at = now + self._limits.sync_interval_s
        self._segments.keep_time(now)
        self._records.keep_time(now)

    def _on_synced(self, target: Syncable, error: Exception | None) -> None:
        if not self._unsynced.take_back(error):
            return
        match target:
            case SegmentFile():
                self._segments.on_synced(target, error)
            case SessionKey():
                self._records.on_synced(target, error)
            case Path():
                self._audit.on_synced(error)

    def _quarantine(self, path: Path) -> None:
        self._segments.close_below(path)
        try:
            self._disk.check()
            path.replace(path.with_name(path.name + QUARANTINE_SUFFIX))
        except OSError as error:
            logger.error("cannot put %s aside: %s", path, error)  # noqa: TRY400 - says all there is

    def _delete(self, key: SessionKey) -> RelayError | None:
        path = conversation_directory(self._conversations, key)
        self._records.forget(key)
        self._segments.close_below(path)
        try:
            self._disk.check()
            remove_directory(path)
            if not path.parent.exists():
                self._unsynced.forget_below(path.parent)
        except OSError as error:
            return _failed("remove the conversation's files", error)
        return None


def without_replaced(commands: Sequence[Command]) -> list[Command]:
    """Leaves out each record that another one of the same conversation follows.

    What had the one left out made durable comes behind the other, so as not to be too early for it.
    None is left out where somebody is told in between that all before is done.
    """
    kept: list[Command] = []
    followed: dict[SessionKey, int] = {}
    hastened: dict[int, Sync] = {}
    for command in reversed(commands):
        if type(command) is Save:
            if command.record.key in followed:
                continue
            followed[command.record.key] = len(kept)
        elif type(command) is Sync and command.target in followed:
            hastened[followed[command.target]] = command
            continue
        elif type(command) is Barrier:
            followed.clear()
        kept.append(command)
    for place in sorted(hastened, reverse=True):
        kept.insert(place, hastened[place])
    kept.reverse()
    return kept


def _failed(what: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"cannot {what}: {getattr(error, 'strerror', None) or error}",
        hint="check that the relay may write to its state directory, and that the disk has room",
    )
