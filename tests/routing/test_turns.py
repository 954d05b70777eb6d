"""The turn queue: who is next, who is cancelled, and who is answered when."""

from __future__ import annotations

import pytest

from acprelay.errors import InvalidRequest, LimitReached
from acprelay.routing.turns import Cancellation, Prompt, TurnDeadline, Turns
from acprelay.wire import peek

NOTHING = Cancellation(at_agent=False)
AT_AGENT = Cancellation(at_agent=True)


def prompt(owner: str, request_id: bytes = b"1", *, turn: str | None = None) -> Prompt:
    frame = b'{"jsonrpc":"2.0","id":%b,"method":"session/prompt","params":{"prompt":[]}}'
    return Prompt(turn or f"{owner}-{request_id.decode()}", owner, peek(frame % request_id))


class Scene:
    """A queue with `answer_s` 10 and `end_s` 30, and the prompts that were put into it."""

    def __init__(self, *prompts: Prompt, is_started: bool = True) -> None:
        self.turns = Turns(most_queued=3)
        for each in prompts:
            self.turns.submit(each)
        if is_started:
            assert self.turns.start_next() is (prompts[0] if prompts else None)

    def abandon(self) -> None:
        """The running prompt's owner cancels at 0, and the first deadline passes."""
        assert self.turns.running is not None
        self.turns.cancel(self.turns.running.attachment_id, now=0.0)
        assert self.turns.tick(10.0) is TurnDeadline.ANSWER_OWNER


ANN, ANN_2, ANN_3 = (prompt("ann", request_id) for request_id in (b"1", b"2", b"3"))
BOB, BOB_2 = prompt("bob", b"1"), prompt("bob", b"2")


# -- the queue


def test_a_new_queue_is_idle() -> None:
    turns = Turns()
    assert (turns.running, turns.queued, turns.deadline_at) == (None, (), None)
    assert not turns.is_open
    assert not turns.is_cancelling
    assert turns.start_next() is None
    assert turns.finish() is None
    assert turns.tick(1e9) is None
    assert turns.fail() == []


def test_a_prompt_waits_until_it_is_started() -> None:
    turns = Scene(ANN, is_started=False).turns
    assert (turns.running, turns.queued, turns.is_open) == (None, (ANN,), False)
    assert turns.start_next() is ANN
    assert (turns.running, turns.queued, turns.is_open) == (ANN, (), True)
    assert turns.deadline_at is None


@pytest.mark.requirement("turns.one-prompt-in-flight", "turns.queue-keeps-order")
def test_prompts_run_one_after_another_in_the_order_in_which_they_came() -> None:
    turns = Scene(ANN, BOB, ANN_2).turns
    assert turns.start_next() is None
    assert turns.queued == (BOB, ANN_2)
    ran = []
    while (done := turns.finish()) is not None:
        ran.append(done)
        assert not turns.is_open
        turns.start_next()
    assert ran == [ANN, BOB, ANN_2]


@pytest.mark.requirement("turns.queue-is-capped")
def test_as_many_prompts_wait_as_may_beside_the_running_one() -> None:
    turns = Scene(ANN, ANN_2, ANN_3, BOB).turns
    with pytest.raises(LimitReached) as caught:
        turns.submit(BOB_2)
    assert caught.value.data["limit"] == "prompts that wait in a session"
    assert caught.value.data["most"] == 3
    assert turns.queued == (ANN_2, ANN_3, BOB)
    turns.finish()
    turns.start_next()
    turns.submit(BOB_2)
    assert turns.queued == (ANN_3, BOB, BOB_2)


def test_unless_told_otherwise_sixteen_prompts_wait() -> None:
    turns = Turns()
    for number in range(17):
        turns.submit(prompt("ann", b"%d" % number))
    with pytest.raises(LimitReached, match="limited to 16"):
        turns.submit(BOB)


def test_before_the_agent_is_there_the_prompt_that_starts_first_has_a_place_of_its_own() -> None:
    turns = Turns(most_queued=1)
    turns.submit(ANN)
    turns.submit(BOB)
    with pytest.raises(LimitReached):
        turns.submit(BOB_2)
    assert turns.start_next() is ANN
    with pytest.raises(LimitReached):
        turns.submit(BOB_2)


def test_without_places_to_wait_one_prompt_runs_at_a_time() -> None:
    turns = Turns(most_queued=0)
    turns.submit(ANN)
    assert turns.start_next() is ANN
    with pytest.raises(LimitReached):
        turns.submit(BOB)


@pytest.mark.parametrize("is_started", [True, False])
def test_an_owner_that_still_waits_for_an_id_cannot_use_it_again(is_started: bool) -> None:
    turns = Scene(ANN, ANN_2, is_started=is_started).turns
    for again in (b"1", b"2"):
        with pytest.raises(InvalidRequest, match="a second prompt with id"):
            turns.submit(prompt("ann", again, turn="other"))
    assert len(turns.queued) == (1 if is_started else 2)


def test_a_repeated_id_is_told_before_a_full_queue() -> None:
    turns = Scene(ANN, ANN_2, ANN_3, BOB).turns
    with pytest.raises(InvalidRequest):
        turns.submit(prompt("ann", b"3", turn="other"))


@pytest.mark.parametrize("request_id", [b'"1"', b"1.0", b"0", b"null", b'"\\u0031"'])
def test_ids_that_are_spelled_differently_are_different(request_id: bytes) -> None:
    turns = Scene(ANN).turns
    turns.submit(prompt("ann", request_id))
    assert len(turns.queued) == 1


def test_two_owners_may_use_the_same_id() -> None:
    assert Scene(ANN, BOB).turns.queued == (BOB,)


def test_an_id_is_free_once_its_prompt_is_answered() -> None:
    scene = Scene(ANN)
    scene.abandon()
    scene.turns.submit(ANN)
    assert scene.turns.queued == (ANN,)


def test_a_prompt_that_cannot_be_answered_is_refused() -> None:
    envelope = peek(b'{"method":"session/prompt","params":{"prompt":[]}}')
    with pytest.raises(InvalidRequest, match="without an id"):
        Turns().submit(Prompt("t", "ann", envelope))


# -- session/cancel


@pytest.mark.requirement(
    "turns.owner-cancels-all-its-prompts", "turns.queued-client-cancels-its-own"
)
@pytest.mark.parametrize(
    ("prompts", "canceller", "expected", "left"),
    [
        pytest.param((ANN,), "ann", AT_AGENT, (), id="its owner cancels the running turn"),
        pytest.param(
            (ANN, BOB, ANN_2, BOB_2),
            "ann",
            Cancellation(at_agent=True, dropped=(ANN_2,)),
            (BOB, BOB_2),
            id="its owner's own prompts that wait go with it",
        ),
        pytest.param(
            (ANN, BOB, ANN_2, BOB_2),
            "bob",
            Cancellation(at_agent=False, dropped=(BOB, BOB_2)),
            (ANN_2,),
            id="who only has prompts that wait cancels those",
        ),
        pytest.param((ANN, BOB), "cat", AT_AGENT, (BOB,), id="anyone else cancels what runs"),
        pytest.param((), "ann", NOTHING, (), id="nothing is there to cancel"),
    ],
)
def test_whose_cancel_it_is_decides_what_it_cancels(
    prompts: tuple[Prompt, ...], canceller: str, expected: Cancellation, left: tuple[Prompt, ...]
) -> None:
    turns = Scene(*prompts).turns
    running = turns.running
    assert turns.cancel(canceller, now=5.0) == expected
    assert turns.queued == left
    assert turns.running is running
    assert turns.is_open is (running is not None)
    assert turns.is_cancelling is expected.at_agent
    assert turns.deadline_at == (15.0 if expected.at_agent else None)


@pytest.mark.parametrize(("canceller", "dropped"), [("ann", (ANN,)), ("bob", ())])
def test_before_the_agent_is_there_only_ones_own_prompts_are_cancelled(
    canceller: str, dropped: tuple[Prompt, ...]
) -> None:
    turns = Scene(ANN, is_started=False).turns
    assert turns.cancel(canceller, now=5.0) == Cancellation(at_agent=False, dropped=dropped)
    assert turns.queued == (() if dropped else (ANN,))
    assert turns.deadline_at is None


@pytest.mark.parametrize("canceller", ["ann", "cat"])
def test_a_second_cancel_neither_reaches_the_agent_nor_moves_the_deadlines(canceller: str) -> None:
    turns = Scene(ANN, BOB).turns
    turns.cancel("ann", now=5.0)
    assert turns.cancel(canceller, now=9.0) == NOTHING
    assert turns.deadline_at == 15.0
    assert turns.queued == (BOB,)


def test_a_second_cancel_drops_what_the_owner_has_queued_since() -> None:
    turns = Scene(ANN).turns
    turns.cancel("ann", now=5.0)
    turns.submit(ANN_2)
    assert turns.cancel("ann", now=9.0) == Cancellation(at_agent=False, dropped=(ANN_2,))
    assert turns.deadline_at == 15.0


def test_who_waits_behind_an_abandoned_turn_cancels_its_own() -> None:
    scene = Scene(ANN, BOB, ANN_2)
    scene.abandon()
    scene.turns.submit(ANN_3)
    assert scene.turns.cancel("ann", now=11.0) == Cancellation(at_agent=False, dropped=(ANN_3,))
    assert scene.turns.cancel("cat", now=11.0) == NOTHING
    assert scene.turns.queued == (BOB,)
    assert scene.turns.deadline_at == 30.0


def test_an_agent_that_answers_in_time_has_its_answer_passed_on() -> None:
    turns = Scene(ANN, BOB).turns
    turns.cancel("ann", now=0.0)
    assert turns.finish() is ANN
    assert (turns.is_open, turns.is_cancelling, turns.deadline_at) == (False, False, None)
    assert turns.start_next() is BOB
    assert (turns.is_open, turns.is_cancelling, turns.deadline_at) == (True, False, None)


def test_each_turn_is_cancelled_on_its_own() -> None:
    turns = Scene(ANN, BOB).turns
    turns.cancel("ann", now=0.0)
    turns.finish()
    turns.start_next()
    assert turns.tick(1e9) is None
    assert turns.cancel("bob", now=100.0) == AT_AGENT
    assert turns.deadline_at == 110.0


# -- cancelling one turn


def test_a_running_turn_is_cancelled_by_name_and_nothing_else_is() -> None:
    turns = Scene(ANN, ANN_2).turns
    assert turns.cancel_turn("ann-1", now=5.0) == AT_AGENT
    assert turns.queued == (ANN_2,)
    assert turns.deadline_at == 15.0
    assert turns.cancel_turn("ann-1", now=9.0) == NOTHING
    assert turns.deadline_at == 15.0


def test_a_turn_that_waits_is_cancelled_by_name_and_nothing_else_is() -> None:
    turns = Scene(ANN, BOB, ANN_2, BOB_2).turns
    assert turns.cancel_turn("ann-2", now=5.0) == Cancellation(at_agent=False, dropped=(ANN_2,))
    assert turns.queued == (BOB, BOB_2)
    assert not turns.is_cancelling
    assert turns.cancel_turn("ann-2", now=5.0) is None


def test_ones_own_request_is_cancelled_by_its_id() -> None:
    turns = Scene(ANN, BOB, ANN_2, BOB_2).turns
    expected = Cancellation(at_agent=False, dropped=(BOB,))
    assert turns.cancel_request("bob", b"1", now=5.0) == expected
    assert turns.queued == (ANN_2, BOB_2)
    assert turns.cancel_request("ann", b"1", now=5.0) == AT_AGENT
    assert turns.queued == (ANN_2, BOB_2)
    assert turns.cancel_request("ann", b"1", now=9.0) == NOTHING
    assert turns.deadline_at == 15.0


@pytest.mark.parametrize(
    ("owner", "request_id"), [("ann", b"2"), ("ann", b'"1"'), ("bob", b"1"), ("cat", b"1")]
)
def test_a_request_that_is_not_ones_own_or_not_there_is_unknown(
    owner: str, request_id: bytes
) -> None:
    turns = Scene(ANN, BOB_2).turns
    assert turns.cancel_request(owner, request_id, now=5.0) is None
    assert (turns.is_cancelling, turns.queued) == (False, (BOB_2,))


def test_a_turn_whose_end_was_told_is_unknown() -> None:
    scene = Scene(ANN)
    scene.abandon()
    assert scene.turns.cancel_turn("ann-1", now=11.0) is None
    assert scene.turns.cancel_request("ann", b"1", now=11.0) is None
    assert scene.turns.deadline_at == 30.0


# -- deadlines


@pytest.mark.requirement(
    "turns.ignored-cancel-answers-the-owner", "turns.ignored-cancel-ends-the-run"
)
def test_an_agent_that_ignores_a_cancel_meets_two_deadlines() -> None:
    turns = Scene(ANN, BOB).turns
    turns.cancel("ann", now=5.0)
    timeline = [
        (now, turns.tick(now), turns.is_open, turns.deadline_at)
        for now in (14.99, 15.0, 34.99, 35.0, 1e9)
    ]
    assert timeline == [
        (14.99, None, True, 15.0),
        (15.0, TurnDeadline.ANSWER_OWNER, False, 35.0),
        (34.99, None, False, 35.0),
        (35.0, TurnDeadline.END_RUN, False, None),
        (1e9, None, False, None),
    ]


def test_an_abandoned_prompt_keeps_the_agent_occupied() -> None:
    scene = Scene(ANN, BOB)
    scene.abandon()
    assert scene.turns.running is ANN
    assert scene.turns.is_cancelling
    assert scene.turns.start_next() is None
    assert scene.turns.queued == (BOB,)


def test_a_tick_past_both_deadlines_tells_them_one_by_one() -> None:
    turns = Scene(ANN).turns
    turns.cancel("ann", now=0.0)
    ticks = [turns.tick(100.0), turns.tick(100.0), turns.tick(100.0)]
    assert ticks == [TurnDeadline.ANSWER_OWNER, TurnDeadline.END_RUN, None]


def test_the_deadlines_are_those_that_were_asked_for() -> None:
    turns = Turns(answer_s=0.0, end_s=0.5)
    turns.submit(ANN)
    turns.start_next()
    turns.cancel("ann", now=7.0)
    assert turns.deadline_at == 7.0
    assert turns.tick(7.0) is TurnDeadline.ANSWER_OWNER
    assert turns.deadline_at == 7.5


def test_a_late_answer_frees_the_agent_for_the_next_prompt_and_is_nobodys() -> None:
    scene = Scene(ANN, BOB)
    scene.abandon()
    assert scene.turns.finish() is None
    assert (scene.turns.running, scene.turns.deadline_at) == (None, None)
    assert not scene.turns.is_cancelling
    assert scene.turns.start_next() is BOB
    assert scene.turns.tick(1e9) is None
    assert scene.turns.finish() is BOB


def test_an_agent_whose_run_is_to_be_ended_is_given_nothing_more() -> None:
    scene = Scene(ANN, BOB)
    scene.abandon()
    assert scene.turns.tick(30.0) is TurnDeadline.END_RUN
    assert scene.turns.finish() is None
    assert scene.turns.start_next() is None
    assert scene.turns.fail() == [BOB]


# -- the agent's end


@pytest.mark.parametrize("is_cancelling", [True, False])
def test_when_the_agent_is_gone_everyone_that_waits_is_told_in_order(is_cancelling: bool) -> None:
    turns = Scene(ANN, BOB, ANN_2).turns
    if is_cancelling:
        turns.cancel("cat", now=0.0)
    assert turns.fail() == [ANN, BOB, ANN_2]
    assert (turns.running, turns.queued, turns.deadline_at) == (None, (), None)
    assert not turns.is_open
    assert not turns.is_cancelling
    assert turns.fail() == []


def test_when_the_agent_is_gone_who_was_answered_is_not_told_again() -> None:
    scene = Scene(ANN, BOB)
    scene.abandon()
    assert scene.turns.fail() == [BOB]
    assert scene.turns.running is None


def test_prompts_that_wait_for_an_agent_that_never_came_are_told() -> None:
    turns = Scene(ANN, BOB, is_started=False).turns
    assert turns.fail() == [ANN, BOB]


def test_after_the_agents_end_the_next_run_takes_prompts() -> None:
    turns = Scene(ANN, BOB).turns
    turns.cancel("ann", now=0.0)
    turns.fail()
    turns.submit(ANN)
    assert turns.start_next() is ANN
    assert (turns.is_cancelling, turns.deadline_at, turns.tick(1e9)) == (False, None, None)


# -- the list


@pytest.mark.requirement("turns.queue-is-listed")
def test_the_list_tells_each_client_which_turns_are_its_own() -> None:
    turns = Scene(ANN, BOB).turns
    assert turns.describe("ann") == {
        "running": {"turn": "ann-1", "mine": True, "cancelling": False},
        "queued": [{"turn": "bob-1", "mine": False}],
    }
    turns.cancel("cat", now=0.0)
    assert turns.describe("bob") == {
        "running": {"turn": "ann-1", "mine": False, "cancelling": True},
        "queued": [{"turn": "bob-1", "mine": True}],
    }


def test_the_list_has_no_turn_whose_end_was_told() -> None:
    scene = Scene(ANN, BOB)
    scene.abandon()
    assert scene.turns.describe("ann")["running"] is None
    assert scene.turns.describe("ann")["queued"] == [{"turn": "bob-1", "mine": False}]
    assert Turns().describe("ann") == {"running": None, "queued": []}
