"""Keeps the record of one conversation up to date, and what is decided in it.

It knows when the record is to be stored at all: not before somebody knows of the conversation, and
not once it is being removed. What the record means is not its business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec.structs import replace

from acprelay.errors import StoreError
from acprelay.routing.audit import Decision
from acprelay.routing.log import Position
from acprelay.routing.records import ConversationRecord
from acprelay.routing.snapshot import Snapshot
from acprelay.runtime.ports import ConversationStore
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock

logger = logging.getLogger(__name__)


class RecordKeeper:
    """Keeps one record.

    Args:
        record: The record as it is.
        store: Stores it.
        clock: Wall-clock time.
        on_saved: Told of the conversation whose record was stored as things stand.

    Attributes:
        is_kept: Whether it is stored.
    """

    def __init__(
        self,
        *,
        record: ConversationRecord,
        store: ConversationStore,
        clock: Clock,
        on_saved: Callable[[SessionKey], None],
    ) -> None:
        self.record = record
        self.is_kept = False
        self._store = store
        self._clock = clock
        self._on_saved = on_saved

    def count_run(self) -> int:
        """Takes note that one more run begins; gives its number."""
        self.record = replace(self.record, run=self.record.run + 1)
        if self.is_kept:
            self._store.save(self.record)
        return self.record.run

    def name_agent_session(self, agent_session_id: str) -> None:
        """Takes note of what the agent calls the session."""
        self.record = replace(self.record, agent_session_id=agent_session_id)

    def save(self, *, turn: str | None, position: Position, snapshot: Snapshot) -> None:
        """Stores the record as things stand, where it is kept.

        Args:
            turn: The turn that runs.
            position: Where the log is.
            snapshot: What the agent has told of its state.
        """
        if self.is_kept:
            self.record = replace(
                self.record,
                turn=turn,
                position=str(position),
                snapshot=snapshot.dump(),
                title=snapshot.title,
                updated_at=self._clock.now(),
            )
            self._store.save(self.record)
            self._on_saved(self.record.key)

    def sync(self) -> None:
        """Has what was stored so far written through to the disk, soon."""
        self._store.sync(self.record.key)

    def audit(self, decision: Decision, *, now: float) -> None:
        """Adds a decision to the audit log.

        Args:
            decision: The decision, with times of the clock that tells `now`.
            now: The time.
        """
        self._store.audit(decision.encode(offset=self._clock.now() - now))


def read_snapshot(record: ConversationRecord) -> Snapshot:
    """Reads a record's snapshot; where that cannot be done, the next run tells it anew."""
    try:
        return Snapshot.load(record.snapshot)
    except StoreError as error:
        logger.warning("session %s: %s; it goes on without", record.key, error.message)
        return Snapshot()
