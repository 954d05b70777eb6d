"""Keeps conversations in memory: for a relay that is to leave nothing behind.

A log is one `MemoryLog` for as long as its conversation lives: closing it changes nothing, and
opening it again gives the same log, which goes on in the same generation. So each conversation, at
rest or not, holds as many bytes as its history may have. This module knows no file.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from acprelay.errors import RelayError
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey
from acprelay.session.ports import IdGenerator


class MemoryStorage:
    """A `ConversationStore` that lasts as long as the process.

    Args:
        ids: Names the generations of logs.
        history_bytes: How many bytes of its log each conversation keeps at most.
        audit_lines: How many of the latest decisions are kept.
    """

    def __init__(self, *, ids: IdGenerator, history_bytes: int, audit_lines: int = 10_000) -> None:
        self._ids = ids
        self._history_bytes = history_bytes
        self._records: dict[SessionKey, ConversationRecord] = {}
        self._logs: dict[SessionKey, MemoryLog] = {}
        self._audit: deque[bytes] = deque(maxlen=audit_lines)

    async def __aenter__(self) -> Self:
        """Does nothing: there is nothing to open."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Does nothing: there is nothing to close."""

    @property
    def audited(self) -> Sequence[bytes]:
        """The latest decisions, oldest first."""
        return tuple(self._audit)

    @property
    def backlog_bytes(self) -> int:
        """Nothing is written."""
        return 0

    def records(self) -> Sequence[ConversationRecord]:
        """Gives every conversation that was saved."""
        return tuple(self._records.values())

    def save(self, record: ConversationRecord) -> None:
        """Keeps a record in place of the one before."""
        self._records[record.key] = record

    def open_log(
        self,
        key: SessionKey,
        *,
        on_relief: Callable[[], None],  # noqa: ARG002 - never congested
        on_trouble: Callable[[RelayError], None],  # noqa: ARG002 - nothing to go wrong
        is_new: bool = False,  # noqa: ARG002 - nothing is left of a conversation that is deleted
    ) -> MemoryLog:
        """Gives the conversation's log, which goes on where it was."""
        log = self._logs.get(key)
        if log is None:
            log = MemoryLog(generation=self._ids.mint(), history_bytes=self._history_bytes)
            self._logs[key] = log
        return log

    def close_log(self, key: SessionKey) -> None:
        """Does nothing: what the log holds is held nowhere else."""

    def sync(self, key: SessionKey) -> None:
        """Does nothing: there is no disk."""

    def audit(self, entry: bytes) -> None:
        """Adds one line to the record of decisions, which forgets the oldest."""
        self._audit.append(entry)

    async def delete(self, key: SessionKey) -> None:
        """Forgets a conversation with its log. Idempotent; never waits."""
        self._records.pop(key, None)
        self._logs.pop(key, None)

    def flush(self) -> asyncio.Future[None]:
        """Gives what is done already."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
