"""One conversation at work: feeds its router, and has carried out what that decides.

It joins what is connected at this moment (clients, the run of an agent, the log's storage, a timer)
to the pure `Conversation`. What follows from its decisions is the business of `Consequences`; when
runs begin and end is the host's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

from acprelay.errors import RelayError, SessionEnded
from acprelay.routing.building import Rules, build_conversation
from acprelay.routing.conversation import Conversation
from acprelay.routing.log import PublicLog
from acprelay.routing.open_turns import turns_left_open
from acprelay.routing.records import ConversationRecord
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.alarm import Alarm
from acprelay.runtime.attendance import Attendance
from acprelay.runtime.consequences import Consequences
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.observation import Observer, Scene
from acprelay.runtime.ports import ConversationStore
from acprelay.runtime.record_keeper import RecordKeeper, read_snapshot
from acprelay.runtime.remote_control import RemoteControl
from acprelay.runtime.run_ports import Runs
from acprelay.runtime.run_slot import RunSlot
from acprelay.runtime.supervisor import Supervisor
from acprelay.runtime.workload import Workload
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock, IdGenerator
from acprelay.wire import Envelope, OversizedFrame

logger = logging.getLogger(__name__)

_SAMPLE_S = 0.1


class ConversationDriver:
    """Drives one conversation; `open` comes first, `close` last.

    Args:
        record: The conversation.
        store: Keeps it.
        runs: Begins and ends its runs.
        clock: Wall-clock time, for the record.
        ids: Mints secrets.
        rules: What holds in every conversation.
        observer: Is told what happens.
        feed: Is told of turns, permissions and notices.
        on_saved: Told whenever the record was stored as things stand.

    Attributes:
        snapshot: What its agents have told of their state.
        keeper: Keeps its record.
        sponsor: The id of the principal that runs begin for: whose client said something last, or
            has opened the session; None where nobody has, since the relay was started.
        attendance: Its clients; this and what follows is there once it is open.
        supervisor: Watches over its runs.
        control: What can be done in it, also by those who are no clients.
        workload: How much it has to do.
    """

    def __init__(
        self,
        *,
        record: ConversationRecord,
        store: ConversationStore,
        runs: Runs,
        clock: Clock,
        ids: IdGenerator,
        rules: Rules,
        observer: Observer,
        feed: EventFeed,
        on_saved: Callable[[SessionKey], None],
    ) -> None:
        self.snapshot = read_snapshot(record)
        self._slot = RunSlot()
        self._alarm = Alarm(on_due=self._tick)
        self.keeper = RecordKeeper(record=record, store=store, clock=clock, on_saved=on_saved)
        self._store = store
        self._runs = runs
        self._clock = clock
        self._ids = ids
        self._rules = rules
        self._observer = observer
        self._sample_at = 0.0
        self._feed = feed
        self._is_open = False
        self.sponsor: str | None = None
        self.attendance: Attendance
        self.supervisor: Supervisor
        self.control: RemoteControl
        self.workload: Workload
        self._loop: asyncio.AbstractEventLoop
        self._log: PublicLog
        self._conversation: Conversation
        self._consequences: Consequences

    @property
    def record(self) -> ConversationRecord:
        """The conversation's record."""
        return self.keeper.record

    @property
    def is_live(self) -> bool:
        """Whether a run serves the conversation."""
        return self._slot.serving is not None

    @property
    def key(self) -> SessionKey:
        """The conversation's name."""
        return self.record.key

    def open(self, *, is_new: bool) -> None:
        """Opens the log.

        Args:
            is_new: Whether the conversation begins now.

        Raises:
            StoreError: What is stored cannot be read.
        """
        self._loop = asyncio.get_running_loop()
        self._log = self._store.open_log(
            self.key, is_new=is_new, on_relief=self._slot.resume, on_trouble=self._log_troubled
        )
        self._conversation = build_conversation(
            public_id=str(self.key),
            prefix=self._ids.mint(),
            agent=self.record.agent,
            role=self.key.role,
            cwd=self.record.workdir,
            log=self._log,
            snapshot=self.snapshot,
            rules=self._rules,
        )
        self.attendance = Attendance(
            key=self.key,
            log=self._log,
            presence=self._conversation.presence,
            ids=self._ids,
            on_change=self._clients_changed,
        )
        self._consequences = Consequences(
            conversation=self._conversation,
            slot=self._slot,
            keeper=self.keeper,
            attendance=self.attendance,
            alarm=self._alarm,
            observer=self._observer,
            feed=self._feed,
            loop=self._loop,
            on_run_wanted=self._begin_run,
            on_run_unwanted=self.end_run,
        )
        self.workload = Workload(
            conversation=self._conversation, attendance=self.attendance, slot=self._slot
        )
        self.supervisor = Supervisor(
            record=lambda: self.record,
            conversation=self._conversation,
            attendance=self.attendance,
            slot=self._slot,
            rules=self._rules,
            on_restart=lambda: self._observer.restarted(Scene.of(self.record)),
            on_change=self._consequences.carry_out,
        )
        self.control = RemoteControl(
            session_id=str(self.key),
            conversation=self._conversation,
            log=self._log,
            ids=self._ids,
            clock=self._clock,
            on_change=self._consequences.carry_out,
        )
        self._is_open = True

    def close(self, why: RelayError) -> None:
        """Lets go of the log, and of clients, who are told why; changes nothing any more."""
        if not self._is_open:
            return
        self._consequences.save_if_changed()
        self._is_open = self.keeper.is_kept = False
        self._slot.vacate()
        self._consequences.stop()
        self.supervisor.stand_down()
        self.attendance.dismiss(why)
        self._store.close_log(self.key)

    # -- the run's side

    def awaits(self, run: AgentRun) -> bool:
        """Whether a run that is on its way is still wanted."""
        return run is self._slot.coming

    def run_opened(self, run: AgentRun, *, last_id: int, news: Iterable[bytes] = ()) -> None:
        """Takes note that a run serves the conversation from now on.

        Args:
            run: The run.
            last_id: The last id that the relay itself has used in requests to its agent.
            news: Updates, raw, that tell clients what is otherwise than an earlier run left it.
        """
        self._slot.seat(run)
        self.supervisor.run_began()
        own_id = self.record.agent_session_id
        self._conversation.begin_run(own_id, last_id=last_id, news=news)
        self._consequences.carry_out()

    def lines_received(
        self, run: AgentRun, lines: list[bytes], oversized: Sequence[OversizedFrame]
    ) -> None:
        """Takes one batch of what the agent wrote, and writes what is due to clients."""
        if run is not self._slot.serving:
            return
        read_at = perf_counter()
        is_plain = self._conversation.receive_agent(lines, oversized, now=self._loop.time())
        if read_at >= self._sample_at and self.attendance.has_clients:
            self._sample_at = read_at + _SAMPLE_S
            self.attendance.sample(read_at)
        if is_plain or not self._conversation.has_agent_output:
            self.attendance.flush()  # before all that nobody waits for
        if not is_plain:
            self._consequences.carry_out()
        if self._log.is_congested:
            # An agent may wait for the disk, never for a client.
            self._slot.pause()

    def run_over(self, run: AgentRun, error: RelayError) -> None:
        """Takes note that a run has ended, or could not begin, and why; the first call counts."""
        if run is not self._slot.latest:
            return
        if oddities := self._conversation.take_oddities():
            logger.warning("session %s: %s", self.key, oddities.describe())
        self.supervisor.run_lost(run, error)
        self._slot.vacate()
        self._conversation.end_run(error, now=self._now())
        self._consequences.carry_out()

    def end_run(self, reason: str) -> None:
        """Lets go of the run, also of one that is on its way, and has it ended. Idempotent.

        What waits for it fails at once, and what comes from now on is for the next run.
        """
        run = self._slot.latest
        if run is not None:
            self.run_over(run, SessionEnded(key=str(self.key), reason=reason))
            self._runs.abandon(run, reason)

    def _begin_run(self) -> None:
        self.supervisor.run_wanted()
        self._slot.coming = self._runs.begin_run(self)

    def _log_troubled(self, error: RelayError) -> None:
        self._observer.storage_failed(Scene.of(self.record), error)
        if self._is_open:
            self._conversation.publish_notice(error)
            self._consequences.carry_out()

    # -- the clients' side

    def receive(self, attachment_id: str, envelope: Envelope) -> None:
        """Takes a client's request or notification for the agent.

        Raises:
            Forbidden: The client lacks the grant for it.
            InvalidRequest: The client still waits for a request with this id.
            LimitReached: As much waits for the agent as may.
            RelayDraining: It would begin a turn, or a run, and the relay is about to stop.
        """
        self.sponsor = self.attendance.principal_of(attachment_id) or self.sponsor
        self._conversation.receive_client(attachment_id, envelope, now=self._loop.time())
        self._consequences.carry_out(has_time=True)

    def receive_ask_answer(self, attachment_id: str, envelope: Envelope) -> bool:
        """Takes a client's answer to an ask; tells whether it was one of this session's.

        `answers_received` follows, once for those that have come together.
        """
        return self._conversation.receive_ask_answer(attachment_id, envelope, now=self._now())

    def answers_received(self) -> None:
        """Has carried out what comes of the answers that were taken. Idempotent."""
        self._conversation.answers_received()
        self._consequences.carry_out()

    def cancel_client_request(self, attachment_id: str, request_id: bytes) -> bool:
        """Takes a client's `$/cancel_request`; tells whether that request is in flight here."""
        taken = self._conversation.cancel_client_request(attachment_id, request_id, now=self._now())
        self._consequences.carry_out()
        return taken

    def forsake(self, principal: str) -> None:
        """Lets a principal go for good, by its id; see `Conversation.forsake`. Idempotent."""
        self._conversation.forsake(principal, now=self._now())
        self._consequences.carry_out()

    def _clients_changed(self) -> None:
        self._consequences.carry_out()

    # -- ends, and the record

    def end_session(self, reason: str) -> None:
        """Answers every prompt with `cancelled`, and has the run ended. Idempotent."""
        self.supervisor.stand_down()
        self._conversation.close_turns(now=self._now())
        self._consequences.carry_out()
        self.end_run(reason)

    def drain(self) -> None:
        """Begins no turn and no run any more; the turn that runs goes on. Idempotent."""
        self.supervisor.retire()
        self._conversation.drain()
        self._consequences.carry_out()

    def save(self) -> None:
        """Stores the record as things stand."""
        self._consequences.save()

    def take_up(self) -> None:
        """Takes note of the turns that a relay which has died was in, if it was in any.

        Raises:
            StoreError: The log cannot be read.
        """
        record = self.record
        turns = turns_left_open(self._log, turn=record.turn, position=record.position)
        for turn in turns:
            self._conversation.mark_interrupted(turn)
        if turns or record.turn is not None:
            self.save()

    # -- what time does

    def keep_house(self, now: float, *, idle_s: float) -> bool:
        """Saves what has changed; tells whether nothing needs the conversation in memory.

        Args:
            now: The event loop's time.
            idle_s: How long a run may be of no use to anybody before it is ended.
        """
        self._consequences.save_if_changed()
        self.supervisor.observe()
        if self._slot.latest is None:
            return not (self.workload.is_used or self._conversation.presence.is_awaited)
        if self._slot.unused_s(now, is_used=self.workload.is_used) >= idle_s:
            self.end_run(f"nobody has used it for {idle_s:g} s")
        return False

    def _tick(self) -> None:
        self._conversation.tick(self._now())
        self._consequences.carry_out()

    def _now(self) -> float:
        return self._loop.time()
