"""The rules of every conversation, and that each reaches the part that keeps it."""

from __future__ import annotations

import pytest
from tests.routing.conftest import Scene

from acprelay.errors import LimitReached
from acprelay.routing.building import Rules
from acprelay.routing.events import AskDecided, RunUnwanted
from acprelay.routing.policy import Action, Policy, Rule
from acprelay.wire import OversizedFrame

PROMPT = b'{"id":%d,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
CANCEL = b'{"method":"session/cancel","params":{"sessionId":"s:main"}}'
ASK = (
    b'{"id":1,"method":"session/request_permission","params":{"sessionId":"own","options":'
    b'[{"optionId":"yes","kind":"allow_once"},{"optionId":"no","kind":"reject_once"}]}}'
)


def scene_with(rules: Rules) -> Scene:
    scene = Scene(rules=rules)
    scene.open("ann")
    return scene


def test_a_new_conversation_is_dormant_idle_and_waits_for_nothing() -> None:
    scene = Scene(rules=Rules())
    assert not scene.conversation.is_served
    assert scene.conversation.is_idle
    assert scene.conversation.deadline_at is None
    assert scene.conversation.turn is None
    assert not scene.conversation.take_oddities()
    assert not scene.conversation.take_snapshot_changed()


def test_the_limit_of_a_frame_is_told() -> None:
    scene = scene_with(Rules(max_frame=7))
    scene.agent(OversizedFrame(8, b"", b"", 0))
    assert scene.reads("ann")[0]["params"]["limit"] == 7


def test_so_many_prompts_wait() -> None:
    scene = scene_with(Rules(most_queued=0))
    scene.client("ann", PROMPT % 1)
    with pytest.raises(LimitReached):
        scene.client("ann", PROMPT % 2)


def test_a_cancelled_turn_has_so_long() -> None:
    scene = scene_with(Rules(cancel_answer_s=3, cancel_end_s=5))
    scene.client("ann", PROMPT % 1)
    scene.client("ann", CANCEL)
    deadlines = [scene.conversation.deadline_at]
    scene.wait(3)
    deadlines.append(scene.conversation.deadline_at)
    scene.wait(2)
    assert deadlines == [3, 5]
    assert any(isinstance(event, RunUnwanted) for event in scene.events())


@pytest.mark.parametrize(
    ("ask", "seconds"),
    [(ASK, 7), (b'{"id":1,"method":"elicitation/create","params":{"sessionId":"own"}}', 9)],
)
def test_asks_wait_so_long(ask: bytes, seconds: float) -> None:
    scene = scene_with(Rules(permission_s=7, elicitation_s=9))
    scene.client("ann", PROMPT % 1)
    scene.agent(ask)
    assert scene.conversation.deadline_at == seconds


def test_attachments_wait_so_long() -> None:
    scene = scene_with(Rules(linger_s=4))
    scene.loses("ann")
    assert scene.conversation.deadline_at == 4


def test_the_policy_decides_first() -> None:
    policy = Policy(rules=(Rule(name="all", action=Action.REJECT),))
    scene = scene_with(Rules(policy=policy))
    scene.agent(ASK)
    assert scene.agent_gets() == [
        b'{"jsonrpc":"2.0","id":1,"result":{"outcome":{"outcome":"selected","optionId":"no"}}}'
    ]
    events = scene.conversation.take_events()
    [decided] = [event for event in events if isinstance(event, AskDecided)]
    assert (decided.decision.option, decided.decision.by) == ("no", "policy")
