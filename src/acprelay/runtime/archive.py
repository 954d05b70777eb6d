"""The conversations that there are: each one's record, and the driver of those in use.

A conversation that nobody uses is only its record here. Nothing in this module starts an agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

from acprelay.errors import InvalidKey, RelayError, SessionNotFound, StoreError, Unavailable
from acprelay.routing.building import Rules
from acprelay.routing.feed import EventKind
from acprelay.routing.listing import Listed
from acprelay.routing.recency import Place, Recency
from acprelay.routing.records import ConversationRecord
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.log_context import also
from acprelay.runtime.observation import Observer
from acprelay.runtime.ports import ConversationStore
from acprelay.runtime.run_ports import Runs
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock, IdGenerator

logger = logging.getLogger(__name__)

_HOUSES_AT_ONCE = 8
_NOT_TAKEN_UP = (
    "cannot take up what an earlier relay has left; report this as a defect: it is tried again "
    "when somebody comes to the session"
)


class Archive:
    """Finds conversations by their names.

    Args:
        store: Keeps them.
        ids: Mints secrets.
        clock: Wall-clock time.
        rules: What holds in every conversation.
        observer: Is told what happens in them.
        feed: Is told what becomes of conversations.
    """

    def __init__(
        self,
        *,
        store: ConversationStore,
        ids: IdGenerator,
        clock: Clock,
        rules: Rules,
        observer: Observer,
        feed: EventFeed,
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._rules = rules
        self._observer = observer
        self._is_draining = False
        self._feed = feed
        self._records: dict[SessionKey, ConversationRecord] = {}
        self._drivers: dict[SessionKey, ConversationDriver] = {}
        self._leaving: set[SessionKey] = set()
        self._order = Recency()
        self._changed: set[SessionKey] = set()  # which may have another place in that by now

    def __contains__(self, key: SessionKey) -> bool:
        """Whether a conversation has that name, also while it is being removed."""
        return key in self._records or key in self._leaving

    def recover(self, *, runs: Runs) -> None:
        """Takes up what an earlier relay has left; turns that it was in are marked interrupted.

        What goes wrong with a conversation is logged, and costs that one alone: it is tried again
        when somebody comes to it.
        """
        for record in self._store.records():
            self._records[record.key] = record
            self._changed.add(record.key)
            if record.turn is None:
                continue
            try:
                self._wake(record, runs)
            except StoreError as error:
                code = also(code=error.code)
                logger.warning(
                    "session %s: %s; %s", record.key, error.message, error.hint, extra=code
                )
            except Exception:
                code = also(code=StoreError.code)
                logger.exception("session %s: %s", record.key, _NOT_TAKEN_UP, extra=code)

    def find(self, public_id: str, *, runs: Runs) -> ConversationDriver:
        """Gives a conversation's driver; a conversation at rest is woken.

        Raises:
            SessionNotFound: There is no such conversation.
            StoreError: Its log cannot be read.
        """
        try:
            key = SessionKey.parse(public_id)
        except InvalidKey:
            raise SessionNotFound(key=public_id[:200]) from None
        record = self._records.get(key)
        if record is None or key in self._leaving:
            raise SessionNotFound(key=public_id[:200])
        return self._drivers.get(key) or self._wake(record, runs)

    def listed(self, may_see: Callable[[SessionKey], bool]) -> Iterator[Listed]:
        """Tells of every conversation that somebody may see.

        Args:
            may_see: Tells that of one, by its name.
        """
        return filter(None, map(self.describe, filter(may_see, self._records)))

    def latest(
        self, may_see: Callable[[SessionKey], bool], after: Place | None
    ) -> Iterator[Listed]:
        """Tells of those that somebody may see, what changed last first; no more than is asked for.

        Args:
            may_see: Tells that of one, by its name.
            after: The place behind which to begin; None for the start.
        """
        for key in self._changed:
            record = self._records.get(key)
            if record is None:
                self._order.drop(key)
            else:
                driver = self._drivers.get(key)
                self._order.put(key, (driver.record if driver else record).updated_at)
        self._changed.clear()
        return filter(None, map(self.describe, filter(may_see, self._order.after(after))))

    def describe(self, key: SessionKey) -> Listed | None:
        """Tells of one conversation; None where there is none, or it is being removed."""
        record = self._records.get(key)
        if record is None or key in self._leaving:
            return None
        driver = self._drivers.get(key)
        current = record if driver is None else driver.record
        return Listed(
            session_id=str(key),
            cwd=current.cwd,
            title=current.title,
            updated_at=current.updated_at,
            agent=current.agent,
            group=key.session_id,
            role=key.role,
            worktree=current.worktree,
            is_live=driver is not None and driver.is_live,
        )

    def in_use(self) -> list[ConversationDriver]:
        """Gives the drivers of the conversations that are in use."""
        return [each for each in self._drivers.values() if each.key not in self._leaving]

    def group(self, group: str) -> list[SessionKey]:
        """Gives the names of a group's conversations."""
        return [
            key for key in self._records if key.session_id == group and key not in self._leaving
        ]

    def awake(self, key: SessionKey) -> ConversationDriver | None:
        """Gives the driver of a conversation that is in use."""
        return self._drivers.get(key)

    def make(self, record: ConversationRecord, *, runs: Runs) -> ConversationDriver:
        """Makes the driver of a new conversation, which the archive does not have yet.

        Raises:
            StoreError: Its log cannot be opened.
        """
        return self._open(record, runs, is_new=True)

    def store(self, driver: ConversationDriver) -> Awaitable[None]:
        """Begins to store the record of a conversation that is not taken in yet.

        Whoever made the driver has what is stored removed where nothing comes of it.

        Returns:
            What ends once it is written.
        """
        driver.keeper.is_kept = True
        driver.save()
        return self._store.flush()

    def keep(self, driver: ConversationDriver) -> None:
        """Takes a conversation in that is stored."""
        if self._is_draining:
            driver.drain()
        self._drivers[driver.key] = driver
        self._records[driver.key] = driver.record
        self._changed.add(driver.key)
        self._feed.add(EventKind.SESSION_OPENED, driver.key, {"agent": driver.record.agent})

    async def keep_house(self, now: float, *, idle_s: float) -> None:
        """Saves what has changed, and lets go of drivers that nobody needs.

        However many there are, other work goes on in between. May be cancelled.

        Args:
            now: The event loop's time.
            idle_s: How long a run may be of no use to anybody before it is ended.
        """
        for number, driver in enumerate(list(self._drivers.values()), 1):
            if number % _HOUSES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._drivers.get(driver.key) is not driver:
                continue
            try:
                is_over = driver.keep_house(now, idle_s=idle_s)
            except Exception:
                # The others are not to suffer for it, nor this one the next time.
                logger.exception("session %s: cannot keep house", driver.key)
            else:
                if is_over:
                    self._release(driver, _closing())

    def forsake(self, principal: str) -> None:
        """Begins nothing any more that a principal, by its id, has asked for. Idempotent."""
        for driver in self._drivers.values():
            driver.forsake(principal)

    def retire(self) -> None:
        """Has no run begun any more that nobody asks for. Idempotent."""
        for driver in self._drivers.values():
            driver.supervisor.retire()

    def drain(self) -> None:
        """Has no turn and no run begun any more, for good. Idempotent."""
        self._is_draining = True
        for driver in list(self._drivers.values()):
            driver.drain()

    @property
    def count(self) -> int:
        """How many conversations there are."""
        return len(self._records)

    def drivers(self) -> list[ConversationDriver]:
        """Those of the conversations that are in use."""
        return list(self._drivers.values())

    def close(self) -> None:
        """Saves what has changed, and lets go of every driver. Idempotent."""
        for driver in list(self._drivers.values()):
            self._release(driver, _closing())

    # -- removing

    def withdraw(self, driver: ConversationDriver) -> None:
        """Lets nobody find a conversation any more, and tells those that are in it.

        Its name stays taken until `remove` has returned. Idempotent.
        """
        self._leaving.add(driver.key)
        self._release(driver, SessionNotFound(key=str(driver.key)))

    def bring_back(self, key: SessionKey) -> None:
        """Takes `withdraw` back, as the conversation cannot be removed."""
        self._leaving.discard(key)

    async def remove(self, key: SessionKey) -> None:
        """Removes what is stored of a conversation that was withdrawn.

        Where that fails, or is cancelled, the conversation can be found again.

        Raises:
            StoreError: It cannot be removed.
        """
        try:
            await self._store.delete(key)
            if self._records.pop(key, None) is not None:
                self._changed.add(key)
                self._feed.add(EventKind.SESSION_DELETED, key, {})
        finally:
            self._leaving.discard(key)

    def _release(self, driver: ConversationDriver, why: RelayError) -> None:
        driver.close(why)
        if self._drivers.pop(driver.key, None) is not None:
            self._records[driver.key] = driver.record

    def _wake(self, record: ConversationRecord, runs: Runs) -> ConversationDriver:
        driver = self._open(record, runs, is_new=False)
        driver.keeper.is_kept = True
        try:
            driver.take_up()
        except BaseException:
            driver.close(_closing())  # nobody is in it yet, but its log is open
            raise
        self._drivers[record.key] = driver
        return driver

    def _open(self, record: ConversationRecord, runs: Runs, *, is_new: bool) -> ConversationDriver:
        driver = ConversationDriver(
            record=record,
            store=self._store,
            runs=runs,
            clock=self._clock,
            ids=self._ids,
            rules=self._rules,
            observer=self._observer,
            feed=self._feed,
            on_saved=self._changed.add,
        )
        driver.open(is_new=is_new)
        if self._is_draining:
            driver.drain()
        return driver


def _closing() -> Unavailable:
    return Unavailable("cannot go on: the relay is stopping", hint="connect again once it is back")
