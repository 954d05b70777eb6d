"""The turn queue under any interleaving of what clients, the agent and the clock do.

The model is one list of all prompts that were ever taken, in order, with what became of each. It
knows no phases: only who was answered how, what the agent has, and when it was told to stop.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from acprelay.errors import InvalidRequest, LimitReached
from acprelay.routing.turns import Cancellation, Prompt, TurnDeadline, Turns
from acprelay.wire import peek

FRAME = b'{"id":%b,"method":"session/prompt","params":{"prompt":[]}}'

owners = st.sampled_from(["ann", "bob", "cat"])
request_ids = st.sampled_from([b"1", b'"1"', b"1.0", b"2"])


@dataclass(eq=False)
class Entry:
    """A prompt that was taken."""

    prompt: Prompt
    answers: int = 0
    was_started: bool = False


class TurnsMachine(RuleBasedStateMachine):
    """What may happen to a queue."""

    @initialize(
        most_queued=st.integers(0, 3), answer_s=st.integers(0, 4), longer_s=st.integers(0, 4)
    )
    def begin(self, most_queued: int, answer_s: int, longer_s: int) -> None:
        self.most_queued = most_queued
        self.answer_s, self.end_s = answer_s, answer_s + longer_s
        self.turns = Turns(most_queued=most_queued, answer_s=answer_s, end_s=self.end_s)
        self.now = 0
        self.entries: list[Entry] = []
        self.at_agent: Entry | None = None
        self.told_at: int | None = None
        self.is_run_ending = False
        self.last_started = -1

    @property
    def waiting(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.was_started and not entry.answers]

    def answer(self, *prompts: Prompt) -> None:
        for prompt in prompts:
            [entry] = [entry for entry in self.entries if entry.prompt is prompt]
            entry.answers += 1

    # -- clients

    @rule(owner=owners, request_id=request_ids)
    def submit(self, owner: str, request_id: bytes) -> None:
        prompt = Prompt(f"t{len(self.entries)}", owner, peek(FRAME % request_id))
        unanswered = [entry.prompt for entry in self.entries if not entry.answers]
        if (owner, request_id) in [(each.attachment_id, each.envelope.id) for each in unanswered]:
            with pytest.raises(InvalidRequest):
                self.turns.submit(prompt)
        elif len(self.waiting) + bool(self.at_agent) > self.most_queued:
            with pytest.raises(LimitReached):
                self.turns.submit(prompt)
        else:
            self.turns.submit(prompt)
            self.entries.append(Entry(prompt))

    @rule(owner=owners)
    def cancel(self, owner: str) -> None:
        own = [entry for entry in self.waiting if entry.prompt.attachment_id == owner]
        is_owner = self.at_agent is not None and self.at_agent.prompt.attachment_id == owner
        self.check(self.turns.cancel(owner, now=self.now), own, stops_agent=is_owner or not own)

    @rule(number=st.integers(0, 30))
    def cancel_turn(self, number: int) -> None:
        self.cancel_one(
            self.turns.cancel_turn(f"t{number}", now=self.now),
            [entry for entry in self.entries if entry.prompt.turn == f"t{number}"],
        )

    @rule(owner=owners, request_id=request_ids)
    def cancel_request(self, owner: str, request_id: bytes) -> None:
        self.cancel_one(
            self.turns.cancel_request(owner, request_id, now=self.now),
            [
                entry
                for entry in self.entries
                if (entry.prompt.attachment_id, entry.prompt.envelope.id) == (owner, request_id)
            ],
        )

    def cancel_one(self, cancellation: Cancellation | None, named: list[Entry]) -> None:
        named = [entry for entry in named if not entry.answers]
        if not named:
            assert cancellation is None
            return
        [entry] = named
        assert cancellation is not None
        is_running = entry is self.at_agent
        self.check(cancellation, [] if is_running else [entry], stops_agent=is_running)

    def check(self, cancellation: Cancellation, dropped: list[Entry], *, stops_agent: bool) -> None:
        is_told = stops_agent and self.at_agent is not None and self.told_at is None
        assert cancellation.at_agent is is_told
        assert cancellation.dropped == tuple(entry.prompt for entry in dropped)
        self.answer(*cancellation.dropped)
        if is_told:
            self.told_at = self.now

    # -- the agent

    @rule()
    def start(self) -> None:
        may_start = self.at_agent is None and bool(self.waiting)
        expected = self.waiting[0] if may_start else None
        started = self.turns.start_next()
        assert started is (expected.prompt if expected else None)
        if expected:
            expected.was_started = True
            self.at_agent = expected
            assert self.entries.index(expected) > self.last_started
            self.last_started = self.entries.index(expected)

    @rule()
    def finish(self) -> None:
        finished = self.turns.finish()
        if self.at_agent is None or self.at_agent.answers:
            assert finished is None
        else:
            assert finished is self.at_agent.prompt
            self.answer(finished)
        if not self.is_run_ending:
            self.at_agent = self.told_at = None

    @rule()
    def fail(self) -> None:
        running = [self.at_agent] if self.at_agent and not self.at_agent.answers else []
        failed = self.turns.fail()
        assert failed == [entry.prompt for entry in [*running, *self.waiting]]
        self.answer(*failed)
        self.at_agent = self.told_at = None
        self.is_run_ending = False

    # -- the clock

    @rule(seconds=st.integers(0, 5))
    def tick(self, seconds: int) -> None:
        self.now += seconds
        told = self.turns.tick(self.now)
        if self.at_agent is None or self.told_at is None or self.is_run_ending:
            assert told is None
        elif not self.at_agent.answers and self.now >= self.told_at + self.answer_s:
            assert told is TurnDeadline.ANSWER_OWNER
            self.answer(self.at_agent.prompt)
        elif self.at_agent.answers and self.now >= self.told_at + self.end_s:
            assert told is TurnDeadline.END_RUN
            self.is_run_ending = True
        else:
            assert told is None

    # -- always

    @invariant()
    def nobody_is_answered_twice(self) -> None:
        assert all(entry.answers <= 1 for entry in self.entries)

    @invariant()
    def the_queue_is_what_was_neither_started_nor_answered(self) -> None:
        assert self.turns.queued == tuple(entry.prompt for entry in self.waiting)

    @invariant()
    def only_what_is_at_the_agent_was_started_and_not_answered(self) -> None:
        running = self.at_agent.prompt if self.at_agent else None
        assert self.turns.running is running
        unanswered = [e for e in self.entries if e.was_started and not e.answers]
        assert self.turns.is_open is bool(unanswered)
        assert unanswered in ([], [self.at_agent])

    @invariant()
    def a_deadline_runs_as_long_as_the_agent_was_told_and_may_still_answer(self) -> None:
        assert self.turns.is_cancelling is (self.told_at is not None)
        if self.at_agent is None or self.told_at is None or self.is_run_ending:
            assert self.turns.deadline_at is None
        else:
            patience_s = self.end_s if self.at_agent.answers else self.answer_s
            assert self.turns.deadline_at == self.told_at + patience_s

    @invariant()
    def the_list_agrees(self) -> None:
        listed = self.turns.describe("ann")
        assert [each["turn"] for each in listed["queued"]] == [
            entry.prompt.turn for entry in self.waiting
        ]
        assert (listed["running"] is not None) is self.turns.is_open

    def teardown(self) -> None:
        """The agent goes, and then everyone has been answered."""
        if hasattr(self, "entries"):
            self.fail()
            assert [entry.answers for entry in self.entries] == [1] * len(self.entries)


TestTurns = TurnsMachine.TestCase
TestTurns.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
