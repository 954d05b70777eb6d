"""Watches over the runs of one conversation: what becomes of a run that ends, and how one does.

The rules are pure (`routing.restarting`, `routing.health`); this joins them to a timer, the log of
the conversation and that of the relay. It ends no run, ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from acprelay.errors import RelayError
from acprelay.routing.building import Rules
from acprelay.routing.conversation import Conversation
from acprelay.routing.frames import NOTICE, RUN_RESTARTED
from acprelay.routing.health import Change, HealthWatch, Observation
from acprelay.routing.records import ConversationRecord
from acprelay.routing.restarting import Loss, Restarts, calls_for_a_run
from acprelay.routing.run_report import Standing
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.alarm import Alarm
from acprelay.runtime.attendance import Attendance
from acprelay.runtime.run_slot import RunSlot

logger = logging.getLogger(__name__)


class Supervisor:
    """Supervises one conversation's runs.

    Args:
        record: Gives the conversation's record as it is.
        conversation: Its router; whoever drives it carries out what follows.
        attendance: Its clients.
        slot: Has its run.
        rules: How often runs are restarted, and when a run is not well.
        on_restart: Called when an agent was restarted unasked.
        on_change: Called when the conversation has something to be carried out.
    """

    def __init__(
        self,
        *,
        record: Callable[[], ConversationRecord],
        conversation: Conversation,
        attendance: Attendance,
        slot: RunSlot,
        rules: Rules,
        on_restart: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._record = record
        self._conversation = conversation
        self._attendance = attendance
        self._slot = slot
        self._on_restart = on_restart
        self._on_change = on_change
        self._most = rules.restarts.get(record().agent, 0)
        self._restarts = Restarts(most=self._most)
        self._health = HealthWatch(stall_s=rules.stall_s, silence_s=rules.silence_s)
        self._alarm = Alarm(on_due=self._restart)
        self._due_at: float | None = None
        self._unasked = False

    # -- runs begin and end

    def run_wanted(self) -> None:
        """Takes note that a run is being begun: a restart that was due later is not any more."""
        self._set_due(None)

    def run_began(self) -> None:
        """Takes note that a run serves the conversation, and tells clients where it is news."""
        self._restarts.run_began(_now())
        if self._unasked:
            self._unasked = False
            record, restarts = self._record(), self._restarts.in_a_row
            self._on_restart()
            self._conversation.tell(RUN_RESTARTED, {"run": record.run, "restarts": restarts})

    def run_lost(self, run: AgentRun, error: RelayError) -> None:
        """Takes note of the end of a run, while the conversation still knows nothing of it."""
        self._tell(self._health.run_over(_now()))
        loss = Loss(
            error=error,
            served=self._slot.serving is run,
            unasked=self._unasked,
            restorable=run.can_restore,
            idle=self._conversation.is_idle,
            attended=self._attendance.has_prompters,
        )
        self._unasked = False
        self._restarts.run_over(_now())
        if self._most and calls_for_a_run(loss):
            self._plan(error)

    def stand_down(self) -> None:
        """Begins no run any more that nobody asks for. Idempotent."""
        self._set_due(None)

    def retire(self) -> None:
        """Begins none any more, and plans none either: the relay is stopping. Idempotent."""
        self._most = 0
        self.stand_down()

    def _plan(self, error: RelayError) -> None:
        key, now = self._record().key, _now()
        due_at = self._restarts.run_lost(now)
        if due_at is None:
            then = f"left dormant after {self._restarts.in_a_row} restarts in a row"
        else:
            then = f"restarting it in {due_at - now:g} s"
        logger.warning("session %s: %s; %s", key, error.message, then)
        self._set_due(due_at)

    def _set_due(self, due_at: float | None) -> None:
        self._due_at = due_at
        self._alarm.set(due_at)

    def _restart(self) -> None:
        self._due_at = None
        if not self._attendance.has_prompters:
            logger.info(
                "session %s: left dormant, as nobody is there to prompt", self._record().key
            )
            return
        self._unasked = True
        self._conversation.want_run()
        self._on_change()

    # -- how a run does

    def observe(self) -> None:
        """Looks at the run, and tells what has begun or ended to be the matter with it."""
        run = self._slot.serving
        if run is None:
            return
        conversation = self._conversation
        seen = Observation(
            now=_now(),
            last_output_at=run.last_output_at,
            input_waits_since=run.input_waits_since,
            is_expected=conversation.turn is not None
            and not conversation.open_asks
            and not self._slot.is_paused,
        )
        changes = self._health.observe(seen)
        if changes:
            self._tell(changes)
            self._on_change()

    def standing(self) -> Standing:
        """Tells how things stand."""
        return Standing(
            turns=self._conversation.describe_turns(""),
            open_asks=self._conversation.open_asks,
            clients=self._attendance.count,
            health=self._health.conditions,
            restart_in_s=None if self._due_at is None else self._due_at - _now(),
        )

    def _tell(self, changes: Iterable[Change]) -> None:
        record = self._record()
        for change in changes:
            logger.warning("session %s: %s", record.key, change.describe(record.agent))
            self._conversation.tell(NOTICE, change.fields(record.agent))


def _now() -> float:
    return asyncio.get_running_loop().time()
