"""The rules of a drain: who is waited for, what is told, and when it is over."""

from __future__ import annotations

import json

import pytest
from tests.routing.conftest import Scene

from acprelay.errors import RelayDraining
from acprelay.routing.draining import Drain, DrainProgress, notice
from acprelay.routing.events import RunWanted, TurnEnded, TurnOutcome, TurnStarted

PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
SET_MODE = b'{"id":9,"method":"session/set_mode","params":{"sessionId":"s:main","modeId":"m"}}'


def test_its_time_is_counted_from_the_first_time_that_it_is_asked_for() -> None:
    drain = Drain(grace_s=30)
    assert (drain.has_begun, drain.progress(["a:main"], now=0).left_s) == (False, 30)
    assert drain.begin(100.0)
    assert not drain.begin(120.0)
    assert drain.has_begun
    assert drain.progress(["a:main"], now=127.0).left_s == 3
    assert drain.progress(["a:main"], now=200.0).left_s == 0


@pytest.mark.parametrize(
    ("turns", "left_s", "is_over", "is_cut_short", "said"),
    [
        ((), 30.0, True, False, "no turn runs any more"),
        ((), 0.0, True, False, "no turn runs any more"),
        (("a:main",), 27.2, False, False, "waiting for 1 turn: a:main; 27 s left"),
        (("a:x", "b:y"), 1.0, False, False, "waiting for 2 turns: a:x, b:y; 1 s left"),
        (("a:x", "b:y"), 0.0, True, True, "the time is up: ending 2 turns: a:x, b:y"),
        (
            tuple(f"{n}:m" for n in range(10)),
            5.0,
            False,
            False,
            "waiting for 10 turns: 0:m, 1:m, 2:m, 3:m, 4:m, 5:m, 6:m, 7:m and 2 more; 5 s left",
        ),
    ],
)
def test_it_is_over_once_no_turn_runs_or_the_time_is_up(
    turns: tuple[str, ...], left_s: float, is_over: bool, is_cut_short: bool, said: str
) -> None:
    progress = DrainProgress(waiting_for=turns, left_s=left_s)
    assert (progress.is_over, progress.is_cut_short) == (is_over, is_cut_short)
    assert progress.describe() == said


def test_turns_are_told_in_order() -> None:
    assert Drain(grace_s=1).progress(["b:y", "a:x"], now=0).waiting_for == ("a:x", "b:y")


def test_clients_are_told_in_a_notice_of_no_session() -> None:
    told = json.loads(notice())
    assert told["method"] == "_acprelay/notice"
    assert told["params"]["code"] == "relay_draining"
    assert told["params"]["retryable"] is True
    assert "sessionId" not in told["params"]


def test_a_prompt_that_waits_fails_with_a_clear_error_and_the_running_one_goes_on(
    open_scene: Scene,
) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.client("ann", PROMPT % b"2")
    open_scene.reads("ann")
    open_scene.conversation.drain()
    [refused] = open_scene.reads("ann")
    assert (refused["id"], refused["error"]["data"]["code"]) == (2, "relay_draining")
    open_scene.agent(b'{"id":2,"result":{"stopReason":"end_turn"}}')
    assert open_scene.reads("ann")[-1]["result"] == {"stopReason": "end_turn"}
    assert open_scene.conversation.turn is None


def test_a_prompt_that_comes_later_is_refused_and_what_a_run_can_serve_is_not(
    open_scene: Scene,
) -> None:
    open_scene.conversation.drain()
    with pytest.raises(RelayDraining):
        open_scene.client("ann", PROMPT % b"1")
    open_scene.agent_gets()
    open_scene.client("ann", SET_MODE)
    [passed] = open_scene.agent_gets()
    assert json.loads(passed)["method"] == "session/set_mode"


def test_a_dormant_conversation_wants_no_run_any_more(dormant_scene: Scene) -> None:
    dormant_scene.conversation.drain()
    for frame in (PROMPT % b"1", SET_MODE):
        with pytest.raises(RelayDraining):
            dormant_scene.client("ann", frame)
    dormant_scene.conversation.want_run()
    assert RunWanted() not in dormant_scene.events()


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def meta(value: object) -> bytes:
    params = {"sessionId": "s:main", "prompt": [], "_meta": value}
    return json.dumps({"id": 1, "method": "session/prompt", "params": params}).encode()


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (None, None),
        ({}, None),
        ({"traceparent": TRACE}, TRACE),
        ({"traceparent": 1}, None),
        ({"traceparent": "00-evil\n"}, None),
        ({"other": "traceparent"}, None),
    ],
)
def test_a_turn_is_told_with_the_trace_of_its_prompt(
    open_scene: Scene, value: object, trace: str | None
) -> None:
    open_scene.client("ann", meta(value))
    open_scene.events()
    [started] = open_scene.turn_events
    assert started == TurnStarted(started.turn, "ann", trace)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b'"result":{"stopReason":"end_turn"}', TurnOutcome.ENDED),
        (b'"result":{"stopReason":"cancelled"}', TurnOutcome.CANCELLED),
        (b'"result":null', TurnOutcome.ENDED),
        (b'"error":{"code":1,"message":"no"}', TurnOutcome.FAILED),
    ],
)
def test_a_turn_that_ends_is_told_with_how(
    open_scene: Scene, answer: bytes, outcome: TurnOutcome
) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.agent(b'{"id":2,%b}' % answer)
    open_scene.events()
    [started, ended] = open_scene.turn_events
    assert ended == TurnEnded(started.turn, outcome)
