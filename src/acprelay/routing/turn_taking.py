"""Takes turns: what begins one, what everybody is told of it, and how each of its waits ends.

`turns` has the rules of the queue; this is what follows from them for the agent, the log and the
client that prompted. It knows no other method than `session/prompt` and `session/cancel`.
"""

from __future__ import annotations

from functools import partial

import msgspec

from acprelay.errors import RelayDraining, RelayError
from acprelay.routing.agent_link import AgentLink
from acprelay.routing.asks import Asks
from acprelay.routing.events import TurnEnded, TurnEvent, TurnOutcome, TurnStarted
from acprelay.routing.frames import (
    TURN_ENDED,
    TURN_STARTED,
    cancel_session,
    error_fields,
    error_reply,
    result_reply,
)
from acprelay.routing.prompts import EchoFilter, prompt_updates
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import Outstanding, RequestLedger, request_id_in_use
from acprelay.routing.tracing import traceparent
from acprelay.routing.turns import Cancellation, Prompt, TurnDeadline, TurnList, Turns
from acprelay.wire import Envelope, rewrite

_CANCELLED = {"stopReason": "cancelled"}
_ENDED, _CANCELLED_TURN, _FAILED = TurnOutcome  # a class is slower to ask for its members


class TurnTaking:
    """The turns of one conversation.

    Args:
        prefix: Makes turns' ids unique over all conversations and restarts of the relay.
        turns: The queue.
        publisher: Writes the log and the lanes.
        requests: The requests that the agent has not answered.
        link: The way to the agent.
        asks: The open asks; those of a cancelled turn are answered.

    Attributes:
        events: The turns that have begun and ended, until `take_events`.
    """

    def __init__(
        self,
        *,
        prefix: str,
        turns: Turns,
        publisher: Publisher,
        requests: RequestLedger,
        link: AgentLink,
        asks: Asks,
    ) -> None:
        self._prefix = prefix
        self._turns = turns
        self._publisher = publisher
        self._requests = requests
        self._link = link
        self._asks = asks
        self._echo = EchoFilter()
        self._minted = 0
        self._is_closing = False
        self.events: list[TurnEvent] = []

    @property
    def turn(self) -> str | None:
        """The id of the turn that is open."""
        opened = self._turns.opened
        return None if opened is None else opened.turn

    @property
    def owner(self) -> str | None:
        """The attachment whose prompt the open turn is."""
        opened = self._turns.opened
        return None if opened is None else opened.attachment_id

    @property
    def is_cancelling(self) -> bool:
        """Whether the agent was told to stop and has not."""
        return self._turns.is_cancelling

    @property
    def is_idle(self) -> bool:
        """Whether the agent is at no prompt, and none waits."""
        return self._turns.running is None and not self._turns.queued

    @property
    def queued(self) -> int:
        """How many prompts wait."""
        return len(self._turns.queued)

    @property
    def deadline_at(self) -> float | None:
        """When `tick` has something to do."""
        return self._turns.deadline_at

    def describe(self, attachment_id: str) -> TurnList:
        """The turn that runs and those that wait, as one client sees them."""
        return self._turns.describe(attachment_id)

    def take_events(self) -> list[TurnEvent]:
        """Gives the turns that have begun and ended since the last call."""
        events, self.events = self.events, []
        return events

    # -- what clients do

    def submit(self, attachment_id: str, envelope: Envelope) -> str:
        """Takes a prompt into the queue; gives the id of its turn.

        Raises:
            InvalidRequest: The client still waits for a prompt with this id.
            LimitReached: As many prompts wait as may.
        """
        turn = f"{self._prefix}-{self._minted + 1}"
        self._turns.submit(Prompt(turn, attachment_id, envelope))
        self._minted += 1
        return turn

    def check(self, attachment_id: str, request_id: bytes) -> None:
        """Makes sure that a client has no prompt with this id waiting.

        Raises:
            InvalidRequest: It has.
        """
        if not self._turns.has_queued:
            return
        for prompt in self._turns.queued:
            if (prompt.attachment_id, prompt.envelope.id) == (attachment_id, request_id):
                raise request_id_in_use(request_id)

    def begin_next(self) -> bool:
        """Begins the next turn, if the agent is free and a prompt waits; tells whether it did."""
        prompt = None if self._is_closing else self._turns.start_next()
        if prompt is None:
            return False
        envelope, owner = prompt.envelope, prompt.attachment_id
        self.events.append(TurnStarted(prompt.turn, owner, traceparent(envelope)))
        self._echo.begin(envelope)
        self._link.forward(envelope, self._requests.add(Outstanding(owner, envelope)))
        # The agent need not wait until the others are told.
        self._publisher.put_off(partial(self._tell_start, prompt))
        return True

    def _tell_start(self, prompt: Prompt) -> None:
        self._publisher.open_turn()
        self._publisher.mark(TURN_STARTED, {"turn": prompt.turn})
        for update in prompt_updates(prompt.envelope, message_id=prompt.turn):
            self._publisher.publish_update(update, hidden_from=prompt.attachment_id)

    def owner_of(self, turn: str) -> str | None:
        """The attachment whose prompt a turn is, that runs or waits; None for no such turn."""
        return self._turns.owner(turn)

    @property
    def owners(self) -> frozenset[str]:
        """The attachments whose prompts are at the agent or wait."""
        return self._turns.owners

    def withdraw(self, attachment_id: str, *, now: float) -> None:
        """Answers the prompts of an attachment that wait with `cancelled`: none of them runs."""
        self._carry_out(self._turns.withdraw(attachment_id), now)

    def cancel(self, attachment_id: str, *, now: float, may_stop_others: bool) -> None:
        """Carries out a client's `session/cancel` (ACP, "Prompt Turn": cancellation)."""
        cancellation = self._turns.cancel(attachment_id, now=now, may_stop_others=may_stop_others)
        self._carry_out(cancellation, now)

    def cancel_turn(self, turn: str, *, now: float) -> bool:
        """Cancels a turn that runs or waits; tells whether there is such a turn."""
        return self._carry_out(self._turns.cancel_turn(turn, now=now), now)

    def cancel_request(self, attachment_id: str, request_id: bytes, *, now: float) -> bool:
        """Carries out a client's `$/cancel_request`; tells whether it was for a prompt of its."""
        return self._carry_out(self._turns.cancel_request(attachment_id, request_id, now=now), now)

    # -- what the agent does

    def is_echo(self, update: bytes) -> bool:
        """Whether an agent's `user_message_chunk` repeats what was prompted."""
        return self._echo.is_echo(update)

    def answered(self, request: Outstanding, answer: Envelope) -> None:
        """Takes the agent's answer to the prompt that it is at."""
        prompt = self._turns.finish()
        self._echo.end()
        if prompt is None:
            return
        self._end(prompt, _outcome(answer))
        request_id = request.id
        reply = rewrite(answer, id=request_id)
        self._publisher.push(request.attachment_id, reply, reply_to=request_id)

    def failed(self, error: RelayError) -> None:
        """Takes note that the agent will not answer the prompt that it is at."""
        prompt = self._turns.finish()
        self._echo.end()
        if prompt is not None:
            self._fail(prompt, error)

    # -- what time does, and the end

    def tick(self, now: float) -> bool:
        """Does what is due; tells whether the run has to be ended, as the agent does not stop."""
        due = self._turns.tick(now)
        running = self._turns.running
        if due is TurnDeadline.ANSWER_OWNER and running is not None:
            self._end(running, {"outcome": "ended", **_CANCELLED})
            self._reply(running, _CANCELLED)
        return due is TurnDeadline.END_RUN

    def close(self) -> None:
        """Answers every prompt with `cancelled`: a client closes the session.

        The agent, which may be at one of them, is given no other: its run is about to end.
        """
        self._is_closing = self._link.session_id is not None
        turn = self.turn
        for prompt in self._finish_all():
            if prompt.turn == turn:
                self._end(prompt, {"outcome": "ended", **_CANCELLED})
            self._reply(prompt, _CANCELLED)

    def drain(self) -> None:
        """Answers every prompt that waits with an error; the one at the agent goes on."""
        for prompt in self._turns.drop_queued():
            self._refuse(prompt, RelayDraining())

    def fail(self, error: RelayError) -> None:
        """Answers every prompt with an error: no agent will."""
        self._is_closing = False
        turn = self.turn
        for prompt in self._finish_all():
            if prompt.turn == turn:
                self._fail(prompt, error)
            else:
                self._refuse(prompt, error)

    def _finish_all(self) -> list[Prompt]:
        self._echo.end()
        return self._turns.fail()

    def _carry_out(self, cancellation: Cancellation | None, now: float) -> bool:
        if cancellation is None:
            return False
        if cancellation.at_agent and self._link.session_id is not None:
            self._link.send(cancel_session(self._link.session_id))
            self._asks.cancel(now=now)
        for prompt in cancellation.dropped:
            self._reply(prompt, _CANCELLED)
        return True

    def _end(self, prompt: Prompt, outcome: dict[str, object]) -> None:
        self.events.append(TurnEnded(prompt.turn, _counted_as(outcome)))
        self._publisher.mark(TURN_ENDED, {"turn": prompt.turn, **outcome})
        self._publisher.close_turn()

    def _fail(self, prompt: Prompt, error: RelayError) -> None:
        self._end(prompt, {"outcome": "failed", "error": error_fields(error)})
        self._refuse(prompt, error)

    def _reply(self, prompt: Prompt, result: dict[str, str]) -> None:
        request_id = prompt.envelope.id or b"null"
        self._requests.release(prompt.attachment_id, request_id)
        reply = result_reply(request_id, result)
        self._publisher.push(prompt.attachment_id, reply, reply_to=request_id)

    def _refuse(self, prompt: Prompt, error: RelayError) -> None:
        request_id = prompt.envelope.id or b"null"
        reply = error_reply(request_id, error)
        self._publisher.push(prompt.attachment_id, reply, reply_to=request_id)


def _counted_as(outcome: dict[str, object]) -> TurnOutcome:
    if outcome["outcome"] == "failed":
        return _FAILED
    is_cancelled = outcome.get("stopReason") == _CANCELLED["stopReason"]
    return _CANCELLED_TURN if is_cancelled else _ENDED


class _Result(msgspec.Struct, rename="camel"):
    stop_reason: str


class _Error(msgspec.Struct):
    code: int
    message: str


_decode_result = msgspec.json.Decoder(_Result).decode

_USUAL_REASONS = {
    b'"%b"' % reason.encode(): reason
    for reason in ("end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled")
}
"""ACP's stop reasons, as agents spell them."""


def _outcome(answer: Envelope) -> dict[str, object]:
    """What the marker of a turn's end says of the agent's answer."""
    if "stopReason" in answer.body:
        start, stop = answer.body["stopReason"]
        reason = _USUAL_REASONS.get(answer.raw[start:stop])
        if reason is not None:
            return {"outcome": "ended", "stopReason": reason}
    try:
        if answer.is_error:
            error = msgspec.json.decode(answer.member("error") or b"null", type=_Error)
            return {"outcome": "failed", "error": {"code": error.code, "message": error.message}}
        result = _decode_result(answer.member("result") or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"outcome": "failed" if answer.is_error else "ended"}
    return {"outcome": "ended", "stopReason": result.stop_reason}
