"""What follows from what a conversation has decided: for its agent, its record and its clients.

Whoever feeds the conversation has this carried out afterwards; who that was is not known here. Nor
are runs begun or ended: whoever drives the conversation is told where one is wanted, or is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from acprelay.errors import AgentError, RelayError
from acprelay.routing.conversation import Conversation
from acprelay.routing.events import (
    AskDecided,
    RunUnwanted,
    RunWanted,
    ServiceAsked,
    ServiceWithdrawn,
    TurnChanged,
    TurnEnded,
    TurnStarted,
)
from acprelay.runtime.alarm import Alarm
from acprelay.runtime.attendance import Attendance
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.observation import Observer, Scene
from acprelay.runtime.record_keeper import RecordKeeper
from acprelay.runtime.run_slot import RunSlot

logger = logging.getLogger(__name__)


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
        self._on_run_wanted = on_run_wanted
        self._on_run_unwanted = on_run_unwanted
        self._turn_began_at = 0.0
        self._is_stopped = False

    def carry_out(self) -> None:
        """Does what the conversation has decided, clients last; nothing once it is stopped."""
        if self._is_stopped:
            return
        self._heed_events()  # first: a turn is on record before its agent hears of it
        self._write_agent()
        self._alarm.set(self._conversation.deadline_at)
        self._attendance.flush()

    def stop(self) -> None:
        """Carries out nothing any more. Idempotent."""
        self._is_stopped = True
        self._alarm.set(None)

    def save(self) -> None:
        """Stores the record as things stand."""
        conversation = self._conversation
        self._keeper.save(
            turn=conversation.turn,
            position=conversation.position,
            snapshot=conversation.snapshot,
        )

    def save_if_changed(self) -> None:
        """Stores the record where the snapshot has changed since the last call."""
        if self._conversation.take_snapshot_changed():
            self.save()

    def _write_agent(self) -> None:
        # What is refused may have ended one turn, and made room for the next.
        while (output := self._conversation.take_agent_output()) and self._slot.serving:
            try:
                self._slot.serving.send(output.lines, is_owed=output.is_owed)
            except AgentError as error:
                logger.warning("session %s: %s", self._keeper.record.key, error.message)
                self._conversation.output_refused(error)
                self._heed_events()

    def _heed_events(self) -> None:
        for event in self._conversation.take_events():
            match event:
                case RunWanted():
                    self._on_run_wanted()
                case RunUnwanted(reason):
                    self._on_run_unwanted(reason)
                case TurnChanged():
                    self.save()
                    self._keeper.sync()
                case TurnStarted():
                    self._turn_began_at = _now()
                    self._observer.turn_started(self._scene, event)
                case TurnEnded():
                    lasted_s = _now() - self._turn_began_at
                    self._observer.turn_ended(self._scene, event, lasted_s=lasted_s)
                case AskDecided(decision):
                    self._keeper.audit(decision, now=_now())
                    self._observer.permission_decided(self._scene, decision)
                case ServiceAsked() | ServiceWithdrawn():
                    roots = self._keeper.record.roots
                    self._slot.heed(event, roots=roots, settle=self._service_settled)

        for told in self._conversation.take_told():
            self._feed.tell(self._keeper.record.key, told)

    @property
    def _scene(self) -> Scene:
        return Scene.of(self._keeper.record)

    def _service_settled(self, number: int, outcome: bytes | RelayError) -> None:
        self._conversation.settle_service(number, outcome)
        self.carry_out()


def _now() -> float:
    return asyncio.get_running_loop().time()
