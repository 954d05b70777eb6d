"""Keeps conversations in files, so that they outlive the relay.

```
<directory>/audit.jsonl
<directory>/conversations/<session id>/<role>/record.json
                                             /<first seq>.<generation>.segment …
```

One thread writes for all of them, in the order of the calls, and another makes durable what is
written (`acprelay.storage.writer` says what a crash and what a power cut can cost). Reading happens
where it is asked for. This module knows no session and no client.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from acprelay.errors import LocalProtocolError, RelayError, Unavailable
from acprelay.routing.log import PublicLog
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock, IdGenerator
from acprelay.storage.budgets import Backlog, RunBudget
from acprelay.storage.commands import (
    Audit,
    Barrier,
    Delete,
    Done,
    Event,
    PauseEnded,
    Save,
    SaveFailed,
    Stop,
    StreamFailed,
    Sync,
    Written,
)
from acprelay.storage.disk import Disk, OpenFiles, cause_of
from acprelay.storage.inbox import Inbox, settle
from acprelay.storage.limits import StorageLimits
from acprelay.storage.log_files import FileLog
from acprelay.storage.outgoing import Outgoing
from acprelay.storage.records import (
    conversation_directory,
    conversation_path,
    finish_removals,
    put_leftovers_aside,
    read_records,
)
from acprelay.storage.recovery import Recovered, recover
from acprelay.storage.shared import Shared
from acprelay.storage.state_directory import CONVERSATIONS
from acprelay.storage.writer import Writer

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Open:
    """A log that is open, or closed and not let go of yet.

    Attributes:
        log: The log.
        on_relief: Told when it is no longer congested; None once it is closed.
    """

    log: FileLog
    on_relief: Callable[[], None] | None


class FileStorage:
    """A `ConversationStore` in a directory, which nobody else may write to meanwhile.

    To be used as an asynchronous context: leaving it writes and syncs all that was given, ends the
    threads and closes every file. Nothing may be asked of it after that.

    Args:
        directory: The state directory.
        ids: Names the generations of logs.
        clock: Tells when to sync and when to try again; monotonic.
        disk: What writing comes down to.
        limits: Bounds and intervals.
    """

    def __init__(
        self,
        *,
        directory: Path,
        ids: IdGenerator,
        clock: Clock,
        disk: Disk,
        limits: StorageLimits | None = None,
    ) -> None:
        self._conversations = directory / CONVERSATIONS
        self._audit = directory / "audit.jsonl"
        self._ids = ids
        self._clock = clock
        self._disk = disk
        self._limits = limits or StorageLimits()
        self._logs: dict[SessionKey, _Open] = {}

    async def __aenter__(self) -> Self:
        """Starts the threads that write and sync."""
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(
            conversations=self._conversations,
            audit=self._audit,
            disk=self._disk,
            clock=self._clock,
            limits=self._limits,
            emit=Inbox(loop=self._loop, handle=self._handle).put,
        )
        self._outgoing = Outgoing(
            loop=self._loop, hand_over=self._writer.put, linger_s=self._limits.linger_s
        )
        self._shared = Shared(
            outgoing=self._outgoing,
            call_soon=self._loop.call_soon,
            limits=self._limits,
            files=OpenFiles(limit=self._limits.open_files // 2, flags=os.O_RDONLY),
            window=RunBudget(limit=self._limits.window_bytes, drop=FileLog.drop_oldest),
            unstored=RunBudget(limit=self._limits.unstored_bytes, drop=FileLog.forget_oldest),
            backlog=Backlog(limit=self._limits.backlog_bytes),
            on_relief=self._on_relief,
        )
        self._writer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Writes and syncs all that was given, and ends the threads.

        What could not be written is tried for the last time; what still cannot is lost, and logged.
        Cancelling it leaves the threads to finish by themselves.
        """
        stopped = self._loop.create_future()
        for known in list(self._logs.values()):
            known.on_relief = None
            known.log.close()
        try:
            await self.flush()
            for known in list(self._logs.values()):
                known.log.give_up()
        finally:
            self._outgoing.ask(Stop(stopped))
        await stopped
        self._writer.join()
        self._shared.files.close_all()

    @property
    def held_bytes(self) -> int:
        """How many bytes of all logs are in memory."""
        return sum(known.log.held_bytes for known in self._logs.values())

    @property
    def backlog_bytes(self) -> int:
        """How many of them wait to be written."""
        return self._shared.backlog.size

    def records(self) -> Sequence[ConversationRecord]:
        """Gives every conversation there is; puts aside, and logs, a record that is unreadable."""
        finish_removals(self._conversations)
        return tuple(read_records(self._conversations))

    def save(self, record: ConversationRecord) -> None:
        """Keeps a record in place of the one before; tried again later where it cannot."""
        self._outgoing.put(Save(record))

    def open_log(
        self,
        key: SessionKey,
        *,
        on_relief: Callable[[], None],
        on_trouble: Callable[[RelayError], None],
        is_new: bool = False,
    ) -> PublicLog:
        """Opens a conversation's log, as `ConversationStore.open_log` says.

        Raises:
            Unavailable: What is stored cannot be read at all, or is no longer this relay's.
            LocalProtocolError: The log is open.
        """
        known = self._logs.get(key)
        if known is not None:
            if known.on_relief is not None:
                raise LocalProtocolError(
                    f"cannot open the log of {key}: it is open", hint="report this: it is a defect"
                )
            known.on_relief = on_relief
            known.log.reopen(generation=self._ids.mint(), on_trouble=on_trouble)
            return known.log
        directory = conversation_path(str(self._conversations), key)
        self._check(directory)
        if is_new:
            put_leftovers_aside(directory)
        recovered = Recovered() if is_new else recover(Path(directory))
        log = FileLog(
            directory=directory,
            generation=self._ids.mint(),
            recovered=recovered,
            shared=self._shared,
            on_trouble=on_trouble,
            on_idle=partial(self._on_idle, key),
        )
        self._logs[key] = _Open(log=log, on_relief=on_relief)
        log.begin()
        if is_new:
            self._outgoing.flush()  # while an agent is waited for, and before its answer is
        for trouble in recovered.troubles:
            logger.warning("%s", trouble)
            self._loop.call_soon(on_trouble, trouble)
        return log

    def close_log(self, key: SessionKey) -> None:
        """Lets go of what a log holds in memory, once it is written. Idempotent.

        While it cannot be written, it stays in memory, and whoever opens it again gets it whole.
        """
        known = self._logs.get(key)
        if known is not None and known.on_relief is not None:
            known.on_relief = None
            known.log.close()

    def sync(self, key: SessionKey) -> None:
        """Has what was given so far of a conversation written through to the disk, soon."""
        known = self._logs.get(key)
        if known is not None:
            known.log.sync()
        self._outgoing.put(Sync(key))

    def audit(self, entry: bytes) -> None:
        """Adds one line of JSON to the audit log; a line that cannot be written is logged."""
        self._outgoing.put(Audit(entry))

    async def delete(self, key: SessionKey) -> None:
        """Removes a conversation with its log. Idempotent; the log is closed at once.

        Cancelling it does not stop the removal.

        Raises:
            Unavailable: Its files cannot be removed.
        """
        known = self._logs.pop(key, None)
        if known is not None:
            known.log.delete()
        self._shared.files.close_below(conversation_directory(self._conversations, key))
        await self._ask(partial(Delete, key))

    def flush(self) -> asyncio.Future[None]:
        """Has all that was given before written at once, so that it survives this process.

        That never waits for the device, and little where little waits to be written.

        Returns:
            What is done once it is written. Cancelling it is safe, and so is not to wait for it.
        """
        return self._ask(Barrier)

    def _check(self, directory: str) -> None:
        try:
            self._disk.check()
        except OSError as error:
            raise Unavailable(
                f"cannot open the log in {directory}: {error.strerror}",
                hint="put the state directory back, or start the relay again",
                path=directory,
            ) from error

    def _ask(
        self, command: Callable[[asyncio.Future[None]], Barrier | Delete]
    ) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        self._outgoing.ask(command(done))
        return done

    def _handle(self, event: Event) -> None:
        match event:
            case Written(stream, runs, size, last):
                stream.owner.on_written(runs, size, last)
            case StreamFailed(stream, error):
                cause = cause_of(self._disk, error)
                logger.error("cannot write a conversation's log: %s", cause)
                stream.owner.on_failed(cause)
            case PauseEnded(owner):
                owner.on_pause_ended()
            case SaveFailed(key, error):
                self._on_save_failed(key, cause_of(self._disk, error))
            case Done(done, error):
                settle(done, error)

    def _on_save_failed(self, key: SessionKey, error: Exception) -> None:
        logger.error("cannot write the record of %s: %s", key, error)
        known = self._logs.get(key)
        if known is not None:
            known.log.tell_unavailable(error)

    def _on_idle(self, key: SessionKey, log: FileLog) -> None:
        known = self._logs.get(key)
        if known is not None and known.log is log:
            del self._logs[key]

    def _on_relief(self) -> None:
        # A log that asks for more in the middle of being told what was written would be confused.
        for known in self._logs.values():
            if known.on_relief is not None:
                self._loop.call_soon(known.on_relief)
