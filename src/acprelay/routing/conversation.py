"""One conversation's router: an agent's frames go to log, lanes or back; clients' to the agent.

Values in, values out, with the time as an argument: `receive_agent` and `receive_client` take what
peers sent; `take_agent_output` and `take_events` give what is to be written and what has happened,
each thing once; attachments give what is due to clients. There is no clock, no socket and no
process here, and no lifecycle: whoever owns a conversation brings those.

A conversation outlives the runs of its agent. While none serves it is dormant: it is read from its
log, and whatever a client wants of the agent waits for the next run (`ClientRequests`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from acprelay.errors import RelayError
from acprelay.routing.access import Grant
from acprelay.routing.agent_link import AgentLink, Output
from acprelay.routing.agent_output import AgentOutput
from acprelay.routing.asks import Asks
from acprelay.routing.client_access import ClientAccess
from acprelay.routing.client_requests import ClientRequests
from acprelay.routing.events import AskDecided, Event, Oddities, RunUnwanted, Told, TurnChanged
from acprelay.routing.frames import TURN_ENDED
from acprelay.routing.log import Position
from acprelay.routing.outsiders import Outsiders
from acprelay.routing.presence import Presence
from acprelay.routing.publisher import Publisher
from acprelay.routing.service_asks import ServiceAsks
from acprelay.routing.snapshot import Snapshot
from acprelay.routing.turn_taking import TurnTaking
from acprelay.routing.turns import TurnList
from acprelay.wire import Envelope, OversizedFrame

_TURN_CHANGED = TurnChanged()


class Conversation:
    """The router of one conversation.

    Args:
        publisher: Writes the log and the lanes.
        requests: What clients ask of the agent.
        link: The way to the agent.
        turns: Takes turns.
        asks: The open asks.
        services: The agent's requests that the relay serves itself.
        agent: Routes what the agent writes.
        presence: The attachments.
        snapshot: What the agent has told of its state.
        access: What clients may do.
        outsiders: Acts for those who are no clients.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        requests: ClientRequests,
        link: AgentLink,
        turns: TurnTaking,
        asks: Asks,
        services: ServiceAsks,
        agent: AgentOutput,
        presence: Presence,
        snapshot: Snapshot,
        access: ClientAccess,
        outsiders: Outsiders,
    ) -> None:
        self.presence = presence
        self.snapshot = snapshot
        self.outsiders = outsiders
        self._access = access
        self._publisher = publisher
        self._requests = requests
        self._link = link
        self._turns = turns
        self._asks = asks
        self._services = services
        self._agent = agent
        self._events: list[Event] = []
        self._told_turn: str | None = None

    # -- what is to be done

    @property
    def has_agent_output(self) -> bool:
        """Whether lines wait to be written to the agent."""
        return self._link.has_output

    def take_agent_output(self) -> Output | None:
        """Gives lines that are to be written to the agent, once; None where there are none."""
        return self._link.take()

    def publish(self) -> None:
        """Publishes what was put off until the agent has what is to be written to it."""
        self._publisher.flush()

    def take_events(self) -> list[Event]:
        """Gives what has happened since the last call."""
        events, self._events = self._events, []
        if self._requests.events:
            events += self._requests.events
            self._requests.events = []
        if self._asks.decisions:
            events += map(AskDecided, self._asks.take_decisions())
        if self._turns.events:  # without one, the turn is the same
            turn = self._turns.turn
            if turn != self._told_turn:
                self._told_turn = turn
                events.append(_TURN_CHANGED)
            events += self._turns.take_events()
        if self._services.events:
            events += self._services.take_events()
        return events

    def take_told(self) -> list[Told]:
        """Gives what was told to every client since the last call, updates apart."""
        return self._publisher.take_told()

    def take_snapshot_changed(self) -> bool:
        """Tells whether the snapshot has changed since the last call."""
        changed, self._agent.snapshot_changed = self._agent.snapshot_changed, False
        return changed

    @property
    def deadline_at(self) -> float | None:
        """When `tick` has something to do."""
        earliest = self._turns.deadline_at
        for at in (self._asks.deadline_at, self.presence.deadline_at):
            if at is not None and (earliest is None or at < earliest):
                earliest = at
        return earliest

    @property
    def turn(self) -> str | None:
        """The id of the turn that is open."""
        return self._turns.turn

    @property
    def position(self) -> Position:
        """Where the log is."""
        log = self._publisher.log
        return log.position(log.head)

    def take_oddities(self) -> Oddities:
        """Gives what went nowhere since the last call."""
        oddities, self._agent.oddities = self._agent.oddities, Oddities()
        return oddities

    @property
    def is_served(self) -> bool:
        """Whether a run serves the conversation."""
        return self._link.session_id is not None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for the agent, and the agent for nobody."""
        waits = self._asks.is_open or self._services.is_open
        return self._turns.is_idle and self._requests.is_idle and not waits

    @property
    def open_asks(self) -> int:
        """How many requests of the agent wait for clients."""
        return self._asks.count

    @property
    def queued_prompts(self) -> int:
        """How many prompts wait."""
        return self._turns.queued

    def tick(self, now: float) -> None:
        """Does what is due."""
        if self._turns.tick(now):
            self._events.append(RunUnwanted("its agent did not stop its turn when it was told to"))
        self._asks.tick(now)
        self.presence.tick(now)
        self._requests.go_on()

    # -- runs

    def begin_run(self, agent_session_id: str, *, last_id: int, news: Iterable[bytes] = ()) -> None:
        """Takes note that an agent serves from now on, and gives it what waits for it.

        Args:
            agent_session_id: The agent's own id of its session.
            last_id: The last id that the relay itself has used in requests to this agent.
            news: Updates, raw, that tell clients what is otherwise than an earlier run left it.
        """
        self._link.session_id = agent_session_id
        for update in news:
            self._publisher.publish_update(update)
        self._requests.begin_run(last_id=last_id)

    def end_run(self, error: RelayError, *, now: float) -> None:
        """Tells everybody that no agent serves any more: what waits for it fails, asks close.

        Args:
            error: Why; it answers every request in flight, and stands in the log as a notice.
            now: The time.
        """
        self._publisher.publish_notice(error)
        self._turns.fail(error)
        self._requests.end_run(error)
        self._asks.close(now=now)
        self._services.close()
        self._link.close()
        self._publisher.flush()

    def publish_notice(self, error: RelayError) -> None:
        """Tells every client what went wrong."""
        self._publisher.publish_notice(error)
        self._publisher.flush()

    def tell(self, method: str, fields: Mapping[str, object]) -> None:
        """Tells every client something, in the order of the log."""
        self._publisher.mark(method, fields)
        self._publisher.flush()

    def want_run(self) -> None:
        """Has a run begun, though nothing waits for one.

        Does nothing while one serves or comes, or while the relay drains.
        """
        self._requests.want_run()

    def mark_interrupted(self, turn: str) -> None:
        """Takes note that a turn was cut off, as the relay that carried it died."""
        self.tell(TURN_ENDED, {"turn": turn, "outcome": "interrupted"})

    # -- the agent's side

    def receive_agent(
        self, lines: list[bytes], oversized: Sequence[OversizedFrame] = (), *, now: float
    ) -> bool:
        """Routes one batch of what the agent wrote; drops it while no run serves.

        Args:
            lines: Lines as `LineSplitter` gives them, in order.
            oversized: What was skipped among them because it was over the limit.
            now: The time.

        Returns:
            Whether nothing has come of it but what attachments are given: no event, no output for
            the agent, no other deadline.
        """
        if self._link.session_id is None or self._agent.receive(lines, oversized, now=now):
            return True
        self._requests.go_on()
        return False

    def output_refused(self, error: RelayError) -> None:
        """Takes note that what `take_agent_output` gave could not be written."""
        self._agent.refused(error)
        self._requests.go_on()

    def settle_service(self, number: int, outcome: bytes | RelayError) -> None:
        """Answers what a `ServiceAsked` asked for; nothing if the run that asked is over."""
        self._services.settle(number, outcome)

    # -- the clients' side

    def receive_client(self, attachment_id: str, envelope: Envelope, *, now: float) -> None:
        """Takes a client's request or notification that is for the agent.

        Raises:
            Forbidden: The client lacks the grant for it.
            InvalidRequest: The client still waits for a request with this id.
            LimitReached: As much waits for the agent as may.
            RelayDraining: It would begin a turn, or a run, and the relay is about to stop.
        """
        self._requests.receive(attachment_id, envelope, now=now)

    def receive_ask_answer(self, attachment_id: str, envelope: Envelope, *, now: float) -> bool:
        """Takes a client's answer to an ask; `answers_received` follows, once for several.

        Returns:
            Whether this client was asked that, and has not answered yet.
        """
        envelope = self._access.cleaned(attachment_id, envelope)
        return self._asks.answer(attachment_id, envelope, now=now)

    def answers_received(self) -> None:
        """Tells every client what has come of the answers that were taken. Idempotent."""
        self._publisher.flush()

    def cancel_client_request(self, attachment_id: str, request_id: bytes, *, now: float) -> bool:
        """Takes a client's `$/cancel_request` (ACP, "Cancellation").

        Returns:
            Whether that request is in flight here.
        """
        return self._requests.cancel(attachment_id, request_id, now=now)

    def describe_turns(self, attachment_id: str) -> TurnList:
        """The turn that runs and those that wait, as one client sees them."""
        return self._turns.describe(attachment_id)

    def forsake(self, principal: str, *, now: float) -> None:
        """Lets a principal go for good: nothing that it has asked for is begun any more.

        What the agent is at goes on. Attachments without a connection are given up. Idempotent.

        Args:
            principal: The principal's id.
            now: The time.
        """
        self._requests.withdraw(self._access.owners_of(principal), now=now)
        self.presence.forsake(principal)
        self._publisher.flush()

    def check_stop(self, turn: str, *, principal: str, grants: frozenset[Grant]) -> None:
        """Refuses to have a turn cancelled by somebody who may not.

        Raises:
            Forbidden: It is another principal's, and the grant to approve is missing.
        """
        self._access.check_stop(turn, principal, grants)

    def cancel_turn(self, turn: str, *, now: float) -> bool:
        """Cancels a turn that runs or waits; tells whether there is such a turn."""
        cancelled = self._turns.cancel_turn(turn, now=now)
        self._publisher.flush()
        return cancelled

    def drain(self) -> None:
        """Begins no turn and wants no run any more, for good; the turn that runs goes on.

        The prompts that wait are answered with an error, and so is every later one.
        """
        self._requests.drain()
        self._publisher.flush()

    def close_turns(self, *, now: float) -> None:
        """Answers every prompt with `cancelled`: a client closes the session."""
        self._asks.cancel(now=now)
        self._turns.close()
        self._publisher.flush()
