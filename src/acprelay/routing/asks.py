"""Asks: an agent's requests to clients. Who is asked, and what counts as an answer.

A permission is put to every client that may approve, and the first valid answer decides, unless a
policy has decided before. An elicitation is for the client that owns the turn; any other request is
for that one too, or for the only client there is that may prompt. Files and terminals have rules of
their own (`client_services`), and a turn that is cancelled does not take them along. However an ask
ends, its agent gets exactly one answer, and every client that was asked and has not answered gets
`$/cancel_request`.

The broker knows attachments by their ids, and the time as it is told it: no clock and no socket.
"""

from __future__ import annotations

from collections.abc import Callable

from acprelay.errors import (
    InvalidParams,
    LimitReached,
    MethodNotFound,
    RelayError,
    RequestCancelled,
)
from acprelay.routing.access import Grant
from acprelay.routing.ask_frames import answer_refused, ask_frame
from acprelay.routing.audit import Decider, Decision
from acprelay.routing.client_services import ClientServices, left
from acprelay.routing.frames import error_reply
from acprelay.routing.open_asks import (
    ELICITATION,
    PERMISSION,
    Ask,
    Ending,
    OpenAsks,
    Permission,
    cancellation,
    count,
    expiry,
)
from acprelay.routing.permissions import outcome_reply, read_request
from acprelay.routing.policy import Policy
from acprelay.routing.publisher import Publisher
from acprelay.routing.referee import Referee
from acprelay.routing.service_modes import is_service
from acprelay.wire import Envelope, describe, json_string, rewrite

ClientRequest = Callable[[str, bytes], bytes | None]
"""Gives a client's own id of its request, by its attachment's id and the agent's id of it."""


class Asks:
    """The broker of one conversation's asks.

    Args:
        prefix: Makes ids unique over all conversations and all restarts of the relay.
        publisher: Has the attachments, and writes to the log and to lanes.
        to_agent: Takes a JSON-RPC message for the agent.
        policy: Decides permissions before anybody is asked.
        agent: The agent's name in the catalog.
        role: Its role.
        cwd: The conversation's directory, absolute.
        permission_s: How long a permission waits for people, in seconds; then it is refused.
        elicitation_s: How long an elicitation does; then it is cancelled.
        most_open: How many asks may be open at once.

    Attributes:
        decisions: What was decided about permissions, until `take_decisions`.
    """

    def __init__(
        self,
        *,
        prefix: str,
        publisher: Publisher,
        to_agent: Callable[[bytes], None],
        policy: Policy,
        agent: str,
        role: str,
        cwd: str,
        permission_s: float,
        elicitation_s: float,
        most_open: int = 256,
    ) -> None:
        self._prefix = prefix
        self._minted = 0
        self._publisher = publisher
        self._to_agent = to_agent
        self._open = OpenAsks(publisher=publisher, to_agent=to_agent)
        self.decisions = self._open.decisions
        self._services = ClientServices(publisher=publisher)
        self._referee = Referee(policy=policy, agent=agent, role=role, cwd=cwd)
        self._patience_s = {PERMISSION: permission_s, ELICITATION: elicitation_s}
        self._most_open = most_open

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def is_open(self) -> bool:
        """Whether any is open."""
        return bool(self._open)

    @property
    def deadline_at(self) -> float | None:
        """When `tick` has something to do; None where nothing has a deadline."""
        if not self._open:
            return None
        deadlines = [ask.deadline_at for ask in self._open if ask.deadline_at is not None]
        return min(deadlines, default=None)

    def open(self) -> list[Ask]:
        """Gives those that are open, the oldest first."""
        return [*self._open]

    def take_decisions(self) -> list[Decision]:
        """Gives what was decided about permissions since the last call."""
        return self._open.take_decisions()

    # -- the agent's side

    def observe(self, kind: str, update: bytes) -> None:
        """Takes note of what the agent tells of its tool calls.

        Args:
            kind: The update's `sessionUpdate`.
            update: The raw value of `params.update`.
        """
        if kind in ("tool_call", "tool_call_update"):
            self._referee.observe(update)

    def receive(
        self,
        envelope: Envelope,
        *,
        now: float,
        turn: str | None,
        owner: str | None,
        is_cancelling: bool,
        own_session_id: str,
        client_request: ClientRequest,
    ) -> None:
        """Takes an agent's request to whoever answers it.

        A request with the id of another one that is open is an ask of its own.

        Args:
            envelope: The request.
            now: The time.
            turn: The turn that runs, if one does.
            owner: The attachment that owns it.
            is_cancelling: Whether the turn is being cancelled: then nobody is asked.
            own_session_id: The agent's id of its session; any other id that it names (a
                sub-agent's) is kept in the relay's `_meta`.
            client_request: Gives a client's own id of its request; one that it has not made, or
                that has its answer, is not named to it.
        """
        method = envelope.method or ""
        try:
            ask = self._read(envelope, now, turn, owner)
        except RelayError as error:
            self._refuse(envelope, error)
            return
        if is_cancelling and not is_service(method):
            self._open.settle(ask, cancellation(ask, Decider.CANCEL, now))
        elif ask.permission is not None and ask.permission.ruling.option_id is not None:
            option_id = ask.permission.ruling.option_id
            answer = outcome_reply(ask.agent_id, option_id)
            self._open.settle(ask, Ending(Decider.POLICY, now, answer, option_id))
        elif (obstacle := self._obstacle(ask)) is not None:
            self._refuse(envelope, obstacle)
        else:
            patience_s = self._patience_s.get(method)
            ask.deadline_at = None if patience_s is None else now + patience_s
            request_id = None
            if ask.addressee is not None and describe(method).request_ids:
                # The agent's id of another one could be that of a request of this client.
                request_id = client_request(ask.addressee, envelope.request_id or b"") or b"null"
            ask.frame = ask_frame(
                envelope,
                ask_id=ask.raw_id,
                public_id=self._publisher.public_id,
                own_session_id=own_session_id,
                request_id=request_id,
                generation=self._publisher.log.generation,
            )
            self._open.add(ask)
            self._services.asked(envelope)

    def withdraw(self, agent_id: bytes, *, now: float) -> None:
        """Closes what an agent no longer wants an answer to (ACP, "Cancellation").

        Args:
            agent_id: The agent's own id for it, raw; every open ask that has it is closed.
            now: The time.
        """
        for ask in self._open:
            if ask.agent_id == agent_id:
                # "The original request MUST still be answered."
                answer = error_reply(agent_id, RequestCancelled(method=ask.method))
                self._open.settle(ask, Ending(Decider.AGENT_WITHDREW, now, answer))

    def cancel(self, *, now: float) -> None:
        """Answers what the turn that is cancelled asks, and closes it at clients.

        A client that cancels a turn answers all pending permissions with `cancelled` (ACP, "Prompt
        Turn"), so also those that the agent asked for outside of it.
        """
        for ask in self._open:
            if ask.permission is not None or ask.turn is not None:
                self._open.settle(ask, cancellation(ask, Decider.CANCEL, now))

    def close(self, *, now: float) -> None:
        """Closes everything at clients: the agent is gone, and is told nothing."""
        for ask in self._open:
            self._open.settle(ask, Ending(Decider.AGENT_GONE, now, None))
        self._referee.forget()
        self._services.forget()

    def tick(self, now: float) -> None:
        """Refuses what nobody has answered in time."""
        for ask in self._open:
            if ask.deadline_at is not None and ask.deadline_at <= now:
                self._open.settle(ask, expiry(ask, now))

    # -- the clients' side

    def attached(self, attachment_id: str) -> None:
        """Asks a client that has come, or come back, what it has not been asked yet."""
        for ask in self._open:
            self._open.offer(ask, attachment_id)

    def left(self, attachment_id: str) -> None:
        """Takes note that a client will not come back: it abstains. Idempotent."""
        for ask in [ask for ask in self._open if attachment_id in ask.waiting]:
            del ask.waiting[attachment_id]
            if ask.conclusion is not None:
                self._open.settle(ask, ask.conclusion)
            elif ask.method not in self._patience_s:
                self._hand_over(ask)

    def answer(self, attachment_id: str, envelope: Envelope, *, now: float) -> bool:
        """Takes a client's answer.

        Returns:
            Whether this client was asked that, it is open, and the client has not answered yet.
        """
        ask = self._open.find(envelope.id or b"")
        if ask is None or attachment_id not in ask.waiting:
            return False
        del ask.waiting[attachment_id]
        # Who has answered is not asked again when its connection is lost and it comes back.
        self._publisher.retract_ask(attachment_id, ask.raw_id)
        said = rewrite(envelope, id=ask.agent_id)
        if (unusable := self._services.answered(ask.method, attachment_id, envelope)) is not None:
            said = error_reply(ask.agent_id, unusable)
        try:
            ending = count(ask, envelope, Ending(Decider.CLIENT, now, said, client=attachment_id))
        except InvalidParams as error:
            self._tell(attachment_id, ask, error)
            ending = ask.conclusion
        if ending is not None:
            self._open.settle(ask, ending)
        return True

    def decide(self, ask_id: str, answer: Envelope, *, by: str, now: float) -> bool | None:
        """Takes an answer to a permission from somebody who is not attached, and was not asked.

        It counts as a client's does, except that one which cannot be used is no abstention.

        Returns:
            Whether it is settled now; None where no such permission is open.

        Raises:
            InvalidParams: It is no answer to this permission.
        """
        ask = self._open.find(json_string(ask_id))
        if ask is None or ask.permission is None:
            return None
        said = rewrite(answer, id=ask.agent_id)
        ending = count(ask, answer, Ending(Decider.CLIENT, now, said, client=by))
        if ending is not None:
            self._open.settle(ask, ending)
        return ending is not None

    def _hand_over(self, ask: Ask) -> None:
        """Asks somebody else what a client that has left did not answer, where that is harmless."""
        error: RelayError = left(ask.method)
        if not is_service(ask.method):
            ask.addressee = self._addressee(ask.method, ask.owner)
            if ask.addressee is not None:
                self._open.offer(ask, ask.addressee)
                return
            error = MethodNotFound(method=ask.method, hint="the client that was asked has left")
        answer = error_reply(ask.agent_id, error)
        self._open.settle(ask, Ending(Decider.CLIENT, ask.asked_at, answer))

    def _tell(self, attachment_id: str, ask: Ask, error: InvalidParams) -> None:
        """Tells a client that its answer does not count."""
        public_id, generation = self._publisher.public_id, self._publisher.log.generation
        notice = answer_refused(error, ask_id=ask.id, public_id=public_id, generation=generation)
        self._publisher.push(attachment_id, notice)

    # -- asking

    def _read(self, envelope: Envelope, now: float, turn: str | None, owner: str | None) -> Ask:
        self._minted += 1
        method = envelope.method or ""
        permission = None
        if is_service(method):
            addressee: str | None = self._services.choose(envelope, owner)
            turn = None  # what was begun has to be ended, also where the turn is cancelled
        else:
            addressee = self._addressee(method, owner)
        if method == PERMISSION:
            request = read_request(envelope)
            permission = Permission(request, self._referee.rule(request))
        ask_id = f"{self._prefix}-{self._minted}"
        return Ask(
            id=ask_id,
            raw_id=json_string(ask_id),
            agent_id=envelope.id or b"null",
            method=method,
            turn=turn,
            owner=owner,
            addressee=addressee,
            permission=permission,
            asked_at=now,
        )

    def _addressee(self, method: str, owner: str | None) -> str | None:
        """Who alone may answer: an elicitation waits for its owner, any other for nobody.

        Only who may prompt is asked: an answer is something that is said to the agent.
        """
        if method == PERMISSION:
            return None
        present = self._publisher.attachments
        if method == ELICITATION or owner in present:
            return owner
        able = [name for name, each in present.items() if Grant.PROMPT in each.grants]
        return able[0] if len(able) == 1 else None

    def _obstacle(self, ask: Ask) -> RelayError | None:
        """Why nobody can be asked, if that is so."""
        if ask.permission is not None and not ask.permission.request.option_ids:
            return InvalidParams(
                "cannot ask for a permission without options",
                hint="offer at least one option with an optionId",
            )
        if ask.method not in self._patience_s and ask.addressee is None:
            return MethodNotFound(method=ask.method, hint="no client of this session can answer it")
        if len(self._open) >= self._most_open:
            return LimitReached(
                limit="open requests of an agent", most=self._most_open, setting="asks"
            )
        return None

    def _refuse(self, envelope: Envelope, error: RelayError) -> None:
        self._to_agent(error_reply(envelope.id or b"null", error))
