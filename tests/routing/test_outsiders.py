"""What can be done in a conversation by somebody who is no client of it, and what is told of it."""

from __future__ import annotations

import json

import pytest
from tests.routing.conftest import Scene

from acprelay.errors import InvalidParams, LimitReached
from acprelay.routing.audit import Decider
from acprelay.routing.building import Rules
from acprelay.routing.events import AskDecided, RunWanted
from acprelay.wire import peek

PROMPT = b'{"id":"p","method":"session/prompt","params":{"sessionId":"s:main","prompt":[%b]}}'
ASK = (
    b'{"jsonrpc":"2.0","id":7,"method":"session/request_permission","params":{"sessionId":"own",'
    b'"toolCall":{"toolCallId":"call","title":"rm"},'
    b'"options":[{"optionId":"yes","kind":"allow_once"}]}}'
)
ELICITATION = b'{"jsonrpc":"2.0","id":8,"method":"elicitation/create","params":{"sessionId":"own"}}'


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.open()
    return scene


def answer(option_id: str | None) -> bytes:
    outcome: dict[str, str] = {"outcome": "cancelled"}
    if option_id is not None:
        outcome = {"outcome": "selected", "optionId": option_id}
    return json.dumps({"jsonrpc": "2.0", "id": "g-1", "result": {"outcome": outcome}}).encode()


def decide(scene: Scene, option_id: str | None, *, ask: str = "g-1") -> bool | None:
    return scene.conversation.outsiders.decide(
        ask, peek(answer(option_id)), by="api:me", now=scene.now
    )


def chosen(scene: Scene) -> object:
    [line] = scene.agent_gets()
    return json.loads(line)["result"]["outcome"]


# -- prompts


def test_a_prompt_of_an_outsider_is_a_turn_that_every_client_sees(scene: Scene) -> None:
    scene.join("ann")
    turn = scene.conversation.outsiders.submit_prompt("api:me", peek(PROMPT % b'{"type":"text"}'))
    assert scene.reads("ann") == []  # the agent is written first
    scene.conversation.publish()
    kinds = [each["method"] for each in scene.reads("ann")]
    assert kinds == ["_acprelay/turn_started", "session/update"]
    assert scene.conversation.turn == turn == "g-1"
    assert len(scene.agent_gets()) == 1


def test_a_prompt_of_an_outsider_asks_for_a_run_where_there_is_none() -> None:
    scene = Scene()
    scene.conversation.outsiders.submit_prompt("api:me", peek(PROMPT % b""))

    assert scene.events() == [RunWanted()]


def test_the_queue_has_the_same_bound_for_outsiders() -> None:
    scene = Scene(rules=Rules(max_frame=1000, most_queued=1))
    scene.open()
    for number in range(2):
        line = PROMPT.replace(b'"p"', b"%d" % number) % b""
        scene.conversation.outsiders.submit_prompt("api:me", peek(line))

    with pytest.raises(LimitReached):
        scene.conversation.outsiders.submit_prompt("api:me", peek(PROMPT % b""))


# -- permissions


@pytest.mark.requirement("api.permissions-are-decided-once")
def test_an_outsider_s_answer_decides_and_is_on_record(scene: Scene) -> None:
    scene.join("ann")
    scene.agent(ASK)
    assert [ask.id for ask in scene.conversation.outsiders.asks()] == ["g-1"]

    assert decide(scene, "yes") is True

    assert chosen(scene) == {"outcome": "selected", "optionId": "yes"}
    [event] = [each for each in scene.conversation.take_events() if isinstance(each, AskDecided)]
    assert (event.decision.by, event.decision.client) == (Decider.CLIENT, "api:me")
    assert scene.conversation.outsiders.asks() == []


@pytest.mark.requirement("api.permissions-are-decided-once")
def test_the_first_answer_decides_whoever_gives_it(scene: Scene) -> None:
    scene.join("ann")
    scene.agent(ASK)

    assert scene.client("ann", answer("yes"))
    assert decide(scene, "yes") is None
    assert len(scene.agent_gets()) == 1


def test_an_option_that_was_not_offered_changes_nothing(scene: Scene) -> None:
    scene.agent(ASK)

    with pytest.raises(InvalidParams, match="was not offered"):
        decide(scene, "never")

    assert decide(scene, "yes") is True


def test_cancelled_decides_where_nobody_else_is_asked(scene: Scene) -> None:
    scene.agent(ASK)

    assert decide(scene, None) is True
    assert chosen(scene) == {"outcome": "cancelled"}


def test_cancelled_waits_for_those_who_are_asked(scene: Scene) -> None:
    scene.join("ann")
    scene.agent(ASK)

    assert decide(scene, None) is False
    assert scene.agent_gets() == []
    assert scene.client("ann", answer("yes"))
    assert chosen(scene) == {"outcome": "selected", "optionId": "yes"}


@pytest.mark.parametrize("ask", ["g-2", "", "g-1"])
def test_what_is_no_open_permission_cannot_be_answered(scene: Scene, ask: str) -> None:
    scene.join("ann")
    scene.conversation.outsiders.submit_prompt("ann", peek(PROMPT % b""))
    scene.agent(ELICITATION)  # g-1 is no permission

    assert decide(scene, "yes", ask=ask) is None


# -- what is told


def test_turns_permissions_and_notices_are_told_once_and_in_order(scene: Scene) -> None:
    scene.conversation.take_told()
    scene.conversation.outsiders.submit_prompt("api:me", peek(PROMPT % b""))
    scene.agent(ASK)
    scene.agent(scene.said("hello"))
    decide(scene, "yes")
    scene.conversation.cancel_turn("g-1", now=scene.now)
    scene.conversation.publish_notice(LimitReached(limit="tests", most=1))

    told = scene.conversation.take_told()
    assert [each.method.removeprefix("_acprelay/") for each in told] == [
        "turn_started",
        "permission_asked",
        "permission_settled",
        "notice",
    ]
    assert told[1].fields == {"ask": "g-1", "turn": "g-1", "kind": None, "title": "rm"}
    assert scene.conversation.take_told() == []
