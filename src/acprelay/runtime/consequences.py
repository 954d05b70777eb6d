"""What follows from what a conversation has decided: for its agent, its clients and its record.

Whoever feeds the conversation has this carried out afterwards; who that was is not known here. Nor
are runs begun or ended: whoever drives the conversation is told where one is wanted, or is not.

Peers are written first, and accounts of turns are kept after that: nobody waits for those.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from acprelay.errors import AgentBackedUp, AgentError, RelayError
from acprelay.routing.conversation import Conversation
from acprelay.routing.events import (
    AskDecided,
    RunUnwanted,
    RunWanted,
    ServiceAsked,
    ServiceWithdrawn,
    TurnChanged,
    TurnEnded,
    TurnEvent,
    TurnStarted,
)
from acprelay.runtime.alarm import Alarm
from acprelay.runtime.attendance import Attendance
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.observation import Observer, Scene
from acprelay.runtime.record_keeper import RecordKeeper
from acprelay.runtime.run_slot import RunSlot

logger = logging.getLogger(__name__)

_COMPANY_S = 0.002  # a whole millisecond at least, as the loop's clock goes by milliseconds
_SAVE_EVERY_S = 0.1
"""How often the record of one conversation is stored, however fast its turns are."""


class Consequences:
    """Carries out what one conversation decides, until it is stopped.

    Args:
        conversation: The conversation's router.
        slot: Has its run.
        keeper: Keeps its record.
        attendance: Its clients.
        alarm: Rings when the conversation has something to do.
        observer: Is told what happens.
        feed: Is told of turns, permissions and notices.
        loop: Tells the time, and when it is time.
        on_run_wanted: Called where a run is to be begun.
        on_run_unwanted: Called where the run is to be ended, with the reason.
    """

    def __init__(
        self,
        *,
        conversation: Conversation,
        slot: RunSlot,
        keeper: RecordKeeper,
        attendance: Attendance,
        alarm: Alarm,
        observer: Observer,
        feed: EventFeed,
        loop: asyncio.AbstractEventLoop,
        on_run_wanted: Callable[[], None],
        on_run_unwanted: Callable[[str], None],
    ) -> None:
        self._conversation = conversation
        self._slot = slot
        self._keeper = keeper
        self._attendance = attendance
        self._alarm = alarm
        self._observer = observer
        self._feed = feed
        self._loop = loop
        self._on_run_wanted = on_run_wanted
        self._on_run_unwanted = on_run_unwanted
        self._saving = Alarm(on_due=self._save_and_sync)
        self._saved_at = -_SAVE_EVERY_S
        self._is_changed = False
        self._company: asyncio.TimerHandle | None = None
        self._waits_until: float | None = None
        self._unaccounted: list[TurnEvent] = []
        self._latest_scene: Scene | None = None
        self._turn_began_at = 0.0
        self._is_stopped = False

    def carry_out(self, *, has_time: bool = False) -> None:
        """Does what the conversation has decided; nothing once it is stopped.

        Args:
            has_time: Whether all but the agent may wait a millisecond for what comes until then, to
                be written together with that; unless something is for one client alone.
        """
        if self._is_stopped:
            return
        self._heed_events()
        self._write_agent()
        self._conversation.publish()  # while the agent is at what it was given
        if has_time and not self._attendance.has_lanes:
            self._wait_for_company()
            return
        self._waits_until = None
        self._attendance.flush()
        self._alarm.set(self._conversation.deadline_at)
        self._keep_accounts()

    def _wait_for_company(self) -> None:
        self._waits_until = due_at = self._loop.time() + _COMPANY_S
        if self._company is None:
            self._company = self._loop.call_at(due_at, self._company_came)

    def _company_came(self) -> None:
        # The timer may be that of a turn before: it is set anew only here, as turns may be fast.
        self._company = None
        if self._waits_until is None:
            return
        if self._loop.time() < self._waits_until:
            self._company = self._loop.call_at(self._waits_until, self._company_came)
        else:
            self.carry_out()

    def stop(self) -> None:
        """Carries out nothing any more. Idempotent."""
        self._is_stopped = True
        self._conversation.publish()
        self._alarm.set(None)
        self._saving.set(None)
        if self._company is not None:
            self._company.cancel()

    def save(self) -> None:
        """Stores the record as things stand."""
        conversation = self._conversation
        self._is_changed = False
        self._keeper.save(
            turn=conversation.turn,
            position=conversation.position,
            snapshot=conversation.snapshot,
        )

    def save_if_changed(self) -> None:
        """Stores the record where something in it has changed since it was stored."""
        if self._conversation.take_snapshot_changed() or self._is_changed:
            self.save()

    def _save_soon(self) -> None:
        """Stores the record now, or, where that was done just now, a moment later: once."""
        if self._is_changed:
            return
        self._is_changed = True
        now = self._loop.time()
        if now >= self._saved_at + _SAVE_EVERY_S:
            self._save_and_sync()
        else:
            self._saving.set(self._saved_at + _SAVE_EVERY_S)

    def _save_and_sync(self) -> None:
        self._saved_at = self._loop.time()
        self.save()
        self._keeper.sync()

    def _write_agent(self) -> None:
        # What is refused may have ended one turn, and made room for the next.
        while (output := self._conversation.take_agent_output()) and self._slot.serving:
            try:
                self._slot.serving.send(output.lines, is_owed=output.is_owed)
            except AgentError as error:
                if output.is_owed and isinstance(error, AgentBackedUp):
                    self._on_run_unwanted("its agent asks on and on, and reads no answer")
                    return
                logger.warning("session %s: %s", self._keeper.record.key, error.message)
                self._conversation.output_refused(error)
                self._heed_events()

    def _heed_events(self) -> None:
        """Does what has to be done before anybody is written; the rest is for the accounts."""
        for event in self._conversation.take_events():
            match event:
                case TurnChanged():
                    self._save_soon()  # mostly at once: a turn is on record before its agent hears
                case TurnStarted():
                    self._turn_began_at = self._loop.time()
                    self._unaccounted.append(event)
                case TurnEnded():
                    self._unaccounted.append(event)
                case RunWanted():
                    self._on_run_wanted()
                case RunUnwanted(reason):
                    self._on_run_unwanted(reason)
                case AskDecided(decision):
                    self._keeper.audit(decision, now=self._loop.time())
                    self._observer.permission_decided(self._scene, decision)
                case ServiceAsked() | ServiceWithdrawn():
                    roots = self._keeper.record.roots
                    self._slot.heed(event, roots=roots, settle=self._service_settled)

    def _keep_accounts(self) -> None:
        events, self._unaccounted = self._unaccounted, []
        for event in events:
            if isinstance(event, TurnStarted):
                self._observer.turn_started(self._scene, event)
            else:
                lasted_s = self._loop.time() - self._turn_began_at
                self._observer.turn_ended(self._scene, event, lasted_s=lasted_s)

        for told in self._conversation.take_told():
            self._feed.tell(self._keeper.record.key, told)

    @property
    def _scene(self) -> Scene:
        record = self._keeper.record
        if self._latest_scene is None or self._latest_scene.run != record.run:
            self._latest_scene = Scene.of(record)
        return self._latest_scene

    def _service_settled(self, number: int, outcome: bytes | RelayError) -> None:
        self._conversation.settle_service(number, outcome)
        self.carry_out()
