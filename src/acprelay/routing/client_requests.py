"""The clients' requests in one conversation: to its agent, into the queue of prompts, or held.

While no run serves the conversation, a request is held for the next one, which is wanted for it.
What may be asked at all is decided by `ClientAccess`, and when a prompt's turn comes by
`TurnTaking`. Neither the agent's side nor what becomes of the wish for a run is known here.
"""

from __future__ import annotations

from collections.abc import Collection

from acprelay.errors import LimitReached, RelayDraining, RelayError, RequestCancelled
from acprelay.routing.agent_link import AgentLink
from acprelay.routing.client_access import ClientAccess
from acprelay.routing.events import RunWanted
from acprelay.routing.frames import cancel_request, error_reply
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import Outstanding, RequestLedger, request_id_in_use
from acprelay.routing.turn_taking import TurnTaking
from acprelay.wire import Envelope, MessageKind

_MOST_HELD = 64
_REQUEST = MessageKind.REQUEST  # a class is slower to ask for its members


class ClientRequests:
    """What clients ask of one conversation's agent, and the runs that are wanted for it.

    Args:
        publisher: Writes the lanes.
        ledger: The requests that the agent has not answered.
        link: The way to the agent.
        turns: Takes turns.
        access: What clients may do.

    Attributes:
        events: The runs that were wanted, for whoever takes them out.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        ledger: RequestLedger,
        link: AgentLink,
        turns: TurnTaking,
        access: ClientAccess,
    ) -> None:
        self.events: list[RunWanted] = []
        self._publisher = publisher
        self._ledger = ledger
        self._link = link
        self._turns = turns
        self._access = access
        self._held: list[Outstanding] = []
        self._is_draining = False
        self._run_is_wanted = False

    @property
    def is_idle(self) -> bool:
        """Whether no client waits for the agent's answer, or for a run; prompts that wait apart."""
        return not self._held and next(iter(self._ledger), None) is None

    # -- what clients do

    def receive(self, attachment_id: str, envelope: Envelope, *, now: float) -> None:
        """Takes a client's request or notification that is for the agent.

        Raises:
            Forbidden: The client lacks the grant for it.
            InvalidRequest: The client still waits for a request with this id.
            LimitReached: As much waits for the agent as may.
            RelayDraining: It would begin a turn, or a run, and the relay is about to stop.
        """
        attachment = self._access.admit(attachment_id, envelope.method or "")
        envelope = self._access.cleaned(attachment_id, envelope)
        if envelope.kind is _REQUEST:
            self._request(Outstanding(attachment_id, envelope))
            attachment.expect_reply(envelope.id or b"null")
        elif envelope.method == "session/cancel":
            may_stop_others = self._access.may_stop_others(attachment_id)
            self._turns.cancel(attachment_id, now=now, may_stop_others=may_stop_others)
        elif self._is_served and envelope.method != "session/prompt":
            self._link.forward(envelope)
        self.go_on()

    def cancel(self, attachment_id: str, request_id: bytes, *, now: float) -> bool:
        """Takes a client's `$/cancel_request` (ACP, "Cancellation").

        Returns:
            Whether that request is in flight here.
        """
        if self._turns.cancel_request(attachment_id, request_id, now=now):
            self._publisher.flush()
            return True
        for request in self._held:
            if (request.attachment_id, request.id) == (attachment_id, request_id):
                self._held.remove(request)
                self._refuse(request, RequestCancelled(method=request.method))
                return True
        minted = self._ledger.minted(attachment_id, request_id)
        if minted is not None:
            self._link.send(cancel_request(minted))
        return minted is not None

    def withdraw(self, names: Collection[str], *, now: float) -> None:
        """Begins nothing that these attachments wait for; what the agent is at goes on."""
        for name in names:
            self._turns.withdraw(name, now=now)
        self._held = [each for each in self._held if each.attachment_id not in names]

    # -- runs

    def want_run(self) -> None:
        """Has a run begun, though nothing waits for one.

        Does nothing while one serves or comes, or while the relay drains.
        """
        if not (self._is_served or self._run_is_wanted or self._is_draining):
            self._run_is_wanted = True
            self.events.append(RunWanted())

    def go_on(self) -> None:
        """Begins what can begin now; what is to be told of that, the next flush publishes."""
        self._publisher.flush()
        if self._link.session_id is not None:
            self._turns.begin_next()
        elif self._held or not self._turns.is_idle:
            self.want_run()

    def begin_run(self, *, last_id: int) -> None:
        """Gives the agent, which serves from now on, what waits for it.

        Args:
            last_id: The last id that the relay itself has used in requests to this agent.
        """
        self._run_is_wanted = False
        self._ledger.skip_to(last_id)
        held, self._held = self._held, []
        for request in held:
            self._link.forward(request.envelope, self._ledger.add(request))
        self.go_on()

    def end_run(self, error: RelayError) -> None:
        """Answers what waits for the agent, which serves no more; prompts are `TurnTaking`'s."""
        self._run_is_wanted = False
        held, self._held = self._held, []
        for request in [*self._ledger.settle_all(), *held]:
            if request.method != "session/prompt":
                self._refuse(request, error)

    def drain(self) -> None:
        """Begins no turn and wants no run any more, for good."""
        self._is_draining = True
        self._turns.drain()

    @property
    def _is_served(self) -> bool:
        return self._link.session_id is not None

    def _request(self, request: Outstanding) -> None:
        self._check(request)
        if self._is_draining and not (self._is_served and request.method != "session/prompt"):
            raise RelayDraining
        if request.method == "session/prompt":
            self._turns.submit(request.attachment_id, request.envelope)
        elif self._is_served:
            self._ledger.check_room(request.attachment_id)
            self._link.forward(request.envelope, self._ledger.add(request))
        elif len(self._held) < _MOST_HELD:
            if not self._run_is_wanted:
                self._access.check_beginning(request.attachment_id)
            self._held.append(request)
        else:
            raise LimitReached(limit="requests that wait for an agent", most=_MOST_HELD)

    def _check(self, request: Outstanding) -> None:
        """Raises where the same client has a request with this id waiting."""
        request_id = request.id
        self._ledger.check(request.attachment_id, request_id)
        self._turns.check(request.attachment_id, request_id)
        if self._held and any(
            (each.attachment_id, each.id) == (request.attachment_id, request_id)
            for each in self._held
        ):
            raise request_id_in_use(request_id)

    def _refuse(self, request: Outstanding, error: RelayError) -> None:
        reply = error_reply(request.id, error)
        self._publisher.push(request.attachment_id, reply, reply_to=request.id)
