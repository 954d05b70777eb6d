"""Turns: which prompt is at the agent, which ones wait, and how a cancelled one comes to its end.

A conversation has one agent, and ACP gives it one prompt at a time; the others wait in order. The
prompt at the agent goes through these phases:

```
IDLE        --start_next--> RUNNING
RUNNING     --cancel------> CANCELLING   the agent is told with session/cancel
CANCELLING  --tick--------> ABANDONED    first deadline: its owner is answered, its turn has ended
ABANDONED   --tick--------> ENDING       second deadline: the run is to be ended
RUNNING, CANCELLING, ABANDONED  --finish--> IDLE
any         --fail--------> IDLE         the agent is gone
```

Every prompt that was submitted is handed back exactly once for its owner to be answered: by
`finish`, as `dropped`, when `tick` says ANSWER_OWNER, or by `fail`. An agent whose prompt was
abandoned stays occupied until it answers after all; one whose run is to be ended is given nothing
more, whatever it answers.

Owners are known by name alone: that one leaves changes nothing. This module does not know frames,
logs or clocks, and nothing of who may cancel what.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypedDict

import msgspec

from acprelay.errors import InvalidRequest, LimitReached
from acprelay.wire import Envelope


class Prompt(msgspec.Struct, frozen=True):
    """A client's `session/prompt`.

    Attributes:
        turn: The id of its turn; no other turn of the conversation ever has it.
        attachment_id: Its owner, who waits for the answer.
        envelope: The request as it was sent.
    """

    turn: str
    attachment_id: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What follows from a cancel.

    Attributes:
        at_agent: Whether the agent is to be sent `session/cancel` now. False where nothing runs
            that the cancel is about, or where it was sent before.
        dropped: Prompts that waited and no longer do, oldest first: each is to be answered with
            the stop reason `cancelled`.
    """

    at_agent: bool
    dropped: tuple[Prompt, ...] = ()


class TurnDeadline(Enum):
    """What a deadline that has passed asks for."""

    ANSWER_OWNER = auto()
    """The owner of the running prompt is answered `cancelled`, and the turn's end is told."""
    END_RUN = auto()
    """The agent has not stopped: its run is ended."""


class RunningTurn(TypedDict):
    """The open turn, as one client is told of it."""

    turn: str
    mine: bool
    cancelling: bool


class QueuedTurn(TypedDict):
    """A turn that waits, as one client is told of it."""

    turn: str
    mine: bool


class TurnList(TypedDict):
    """The open turn, and those that wait in the order in which they will run."""

    running: RunningTurn | None
    queued: list[QueuedTurn]


class _Phase(Enum):
    IDLE = auto()
    RUNNING = auto()
    CANCELLING = auto()
    ABANDONED = auto()
    ENDING = auto()


_IDLE, _RUNNING, _CANCELLING, _ABANDONED, _ENDING = _Phase  # a class is slower to ask
_OPEN = _RUNNING, _CANCELLING
_TIMED = _CANCELLING, _ABANDONED


class Turns:
    """The turns of one conversation.

    Args:
        most_queued: How many prompts may wait while another one is at the agent.
        answer_s: Seconds after a cancel until the owner is answered in the agent's stead.
        end_s: Seconds after a cancel until the run of an agent that has still not answered is
            ended; not less than `answer_s`.
    """

    def __init__(
        self, *, most_queued: int = 16, answer_s: float = 10.0, end_s: float = 30.0
    ) -> None:
        self._most_queued = most_queued
        self._patience_s = {_CANCELLING: answer_s, _ABANDONED: end_s}
        self._phase = _IDLE
        self._running: Prompt | None = None
        self._queued: list[Prompt] = []
        self._cancelled_at = 0.0

    @property
    def running(self) -> Prompt | None:
        """The prompt at the agent, also when its owner has been answered already."""
        return self._running

    @property
    def queued(self) -> tuple[Prompt, ...]:
        """The prompts that wait, in the order in which they will run."""
        return tuple(self._queued)

    @property
    def has_queued(self) -> bool:
        """Whether any prompt waits."""
        return bool(self._queued)

    @property
    def opened(self) -> Prompt | None:
        """The prompt whose turn has started and not ended, as clients are told."""
        return self._running if self._phase in _OPEN else None

    @property
    def is_open(self) -> bool:
        """Whether a turn has started and not ended, as clients are told."""
        return self.opened is not None

    @property
    def is_cancelling(self) -> bool:
        """Whether the agent was told to cancel the prompt that it has, and has not answered it."""
        return self._phase in (_CANCELLING, _ABANDONED, _ENDING)

    @property
    def deadline_at(self) -> float | None:
        """When `tick` will have something to say; None where no deadline runs."""
        if self._phase not in _TIMED:
            return None
        return self._cancelled_at + self._patience_s[self._phase]

    def submit(self, prompt: Prompt) -> None:
        """Puts a prompt at the end of the queue.

        Raises:
            InvalidRequest: It has no id to be answered under, or its owner still waits for a prompt
                with the same one.
            LimitReached: As many prompts wait as may.
        """
        request_id = prompt.envelope.id
        if request_id is None:
            raise InvalidRequest(
                "cannot take a prompt without an id", hint="send session/prompt as a request"
            )
        is_alone = self._running is None and not self._queued
        if not is_alone and self._find(_asked(prompt.attachment_id, request_id)) is not None:
            raise InvalidRequest(
                f"cannot take a second prompt with id {request_id[:80].decode(errors='ignore')}",
                hint="choose an id that no request in flight has",
            )
        # The one that starts as soon as there is an agent for it does not wait in the queue.
        room = self._most_queued if self._running is not None else self._most_queued + 1
        if len(self._queued) >= room:
            raise LimitReached(
                limit="prompts that wait in a session",
                most=self._most_queued,
                setting="queued-prompts",
            )
        self._queued.append(prompt)

    def start_next(self) -> Prompt | None:
        """Takes the next prompt out of the queue for the agent.

        Returns:
            None where the agent is occupied, or nothing waits.
        """
        if self._running is not None or not self._queued:
            return None
        self._running = self._queued.pop(0)
        self._phase = _RUNNING
        return self._running

    def finish(self) -> Prompt | None:
        """Ends the running prompt: the agent has answered it.

        Returns:
            The prompt, for its owner to be answered; None where nothing runs, or the owner was
            answered at the deadline.
        """
        if self._phase is _ENDING:
            return None
        finished = self.opened
        self._vacate()
        return finished

    def cancel(
        self, attachment_id: str, *, now: float, may_stop_others: bool = True
    ) -> Cancellation:
        """Does what a client's `session/cancel` asks for.

        It drops the prompts of this client that wait, and cancels the running one if that is the
        client's own, or if the client has no prompt at all and may stop those of others.
        """
        dropped = self._drop(lambda prompt: prompt.attachment_id == attachment_id)
        owner = self._running.attachment_id if self._running is not None else None
        is_about_running = owner == attachment_id or (may_stop_others and not dropped)
        return Cancellation(
            at_agent=is_about_running and self._cancel_running(now), dropped=dropped
        )

    @property
    def owners(self) -> frozenset[str]:
        """The attachments whose prompts are at the agent or wait."""
        return frozenset(prompt.attachment_id for prompt in self._unanswered())

    def withdraw(self, attachment_id: str) -> Cancellation:
        """Drops the prompts of an attachment that wait; the one at the agent goes on."""
        dropped = self._drop(lambda prompt: prompt.attachment_id == attachment_id)
        return Cancellation(at_agent=False, dropped=dropped)

    def owner(self, turn: str) -> str | None:
        """The attachment whose prompt a turn is, that is open or waits; None for no such turn."""
        prompt = self._find(lambda prompt: prompt.turn == turn)
        return None if prompt is None else prompt.attachment_id

    def cancel_turn(self, turn: str, *, now: float) -> Cancellation | None:
        """Cancels one turn, whoever owns it.

        Returns:
            None where no such turn is open or waits.
        """
        return self._cancel_where(lambda prompt: prompt.turn == turn, now)

    def cancel_request(
        self, attachment_id: str, request_id: bytes, *, now: float
    ) -> Cancellation | None:
        """Cancels one prompt of a client, by the raw id that the client gave it.

        Returns:
            None where this client waits for no such prompt.
        """
        return self._cancel_where(_asked(attachment_id, request_id), now)

    def drop_queued(self) -> tuple[Prompt, ...]:
        """Lets no prompt wait any more; gives those that did, each to be answered."""
        return self._drop(lambda _prompt: True)

    def tick(self, now: float) -> TurnDeadline | None:
        """Tells what is due.

        Each deadline is told once, and one call tells one of them at most: look at `deadline_at`
        again. A call that comes too early or too late for its deadline does no harm.
        """
        deadline_at = self.deadline_at
        if deadline_at is None or now < deadline_at:
            return None
        if self._phase is _CANCELLING:
            self._phase = _ABANDONED
            return TurnDeadline.ANSWER_OWNER
        self._phase = _ENDING
        return TurnDeadline.END_RUN

    def fail(self) -> list[Prompt]:
        """Clears everything: the agent is gone.

        Returns:
            The prompts whose owners still wait for an answer, the running one first.
        """
        unanswered = self._unanswered()
        self._queued.clear()
        self._vacate()
        return unanswered

    def describe(self, attachment_id: str) -> TurnList:
        """What a client that asks for the turns is told; whose they are, only as `mine` or not."""
        running: RunningTurn | None = None
        if self._running is not None and self.is_open:
            running = {
                "turn": self._running.turn,
                "mine": self._running.attachment_id == attachment_id,
                "cancelling": self.is_cancelling,
            }
        queued: list[QueuedTurn] = [
            {"turn": prompt.turn, "mine": prompt.attachment_id == attachment_id}
            for prompt in self._queued
        ]
        return {"running": running, "queued": queued}

    def _unanswered(self) -> list[Prompt]:
        if self._running is None or not self.is_open:
            return self._queued[:]
        return [self._running, *self._queued]

    def _find(self, is_wanted: Callable[[Prompt], bool]) -> Prompt | None:
        return next(filter(is_wanted, self._unanswered()), None)

    def _cancel_where(self, is_wanted: Callable[[Prompt], bool], now: float) -> Cancellation | None:
        found = self._find(is_wanted)
        if found is None:
            return None
        if found is self._running:
            return Cancellation(at_agent=self._cancel_running(now))
        return Cancellation(at_agent=False, dropped=self._drop(lambda prompt: prompt is found))

    def _cancel_running(self, now: float) -> bool:
        """Tells whether the agent has to be told: once a turn, and its deadlines begin then."""
        if self._phase is not _RUNNING:
            return False
        self._phase = _CANCELLING
        self._cancelled_at = now
        return True

    def _drop(self, is_wanted: Callable[[Prompt], bool]) -> tuple[Prompt, ...]:
        dropped = tuple(filter(is_wanted, self._queued))
        self._queued = [prompt for prompt in self._queued if not is_wanted(prompt)]
        return dropped

    def _vacate(self) -> None:
        self._running = None
        self._phase = _IDLE


def _asked(attachment_id: str, request_id: bytes) -> Callable[[Prompt], bool]:
    def is_it(prompt: Prompt) -> bool:
        return prompt.attachment_id == attachment_id and prompt.envelope.id == request_id

    return is_it
