"""Clients' requests to the agent, and the agent's answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import InvalidRequest
from acprelay.wire import peek

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
DONE = b'{"id":%b,"result":{"stopReason":"end_turn"}}'

IDS = [b"0", b"1", b'"1"', b"1.0", b"1e0", b"-1", b'"\\u0031"', b'"\xc3\xa9"', b"null"]


def test_a_prompt_reaches_the_agent_under_its_own_names(open_scene: Scene) -> None:
    open_scene.client(
        "ann",
        b'{"jsonrpc":"2.0", "params" : {"prompt":[{"text":"s:main"}],"sessionId":"s:main",'
        b'"_meta":{"acprelay":{"seq":1},"x":null}},"method":"session/prompt","z":1.0,"id":"p"}',
    )
    assert open_scene.agent_gets() == [
        b'{"jsonrpc":"2.0", "params" : {"prompt":[{"text":"s:main"}],"sessionId":"own",'
        b'"_meta":{"x":null}},"method":"session/prompt","z":1.0,"id":2}'
    ]


def test_a_message_of_several_lines_reaches_the_agent_as_one(open_scene: Scene) -> None:
    open_scene.client("ann", b'{\r\n\t"id": 1,\n\t"method": "_x"\n}')
    assert open_scene.agent_gets() == [b'{  \t"id": 2, \t"method": "_x" }']


@pytest.mark.parametrize("request_id", IDS)
def test_an_answer_comes_back_under_the_id_that_was_sent(
    open_scene: Scene, request_id: bytes
) -> None:
    open_scene.client("ann", PROMPT % request_id)
    open_scene.agent(DONE % b"2")
    assert open_scene.gets("ann") == [DONE % request_id]
    assert open_scene.gets("bob") == []


def test_ids_that_look_alike_can_be_in_flight_together(open_scene: Scene) -> None:
    for request_id in IDS:
        open_scene.client("ann", b'{"id":%b,"method":"_x"}' % request_id)
    minted = [json.loads(line)["id"] for line in open_scene.agent_gets()]
    assert len(set(minted)) == len(IDS)
    for name in reversed(minted):
        open_scene.agent(b'{"id":%d,"result":%d}' % (name, name))
    assert open_scene.gets("ann") == [
        b'{"id":%b,"result":%d}' % (request_id, name)
        for request_id, name in reversed(list(zip(IDS, minted, strict=True)))
    ]


def test_two_clients_with_the_same_id_each_get_their_own_answer(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.client("bob", PROMPT % b"1")
    open_scene.agent(b'{"id":3,"result":"bob\'s"}', b'{"id":2,"result":"ann\'s"}')
    assert open_scene.gets("ann") == [b'{"id":1,"result":"ann\'s"}']
    assert open_scene.gets("bob") == [b'{"id":1,"result":"bob\'s"}']


def test_a_second_request_with_an_id_in_flight_is_refused_and_not_sent(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.agent_gets()
    with pytest.raises(InvalidRequest, match="with id 1"):
        open_scene.client("ann", PROMPT % b"1")
    assert open_scene.agent_gets() == []
    open_scene.agent(DONE % b"2")
    assert open_scene.gets("ann") == [DONE % b"1"]


def test_a_reply_never_overtakes_the_updates_before_it(open_scene: Scene) -> None:
    scene = open_scene
    scene.client("ann", PROMPT % b"1")
    scene.agent(scene.said("a"), scene.said("b"))
    scene.agent(scene.said("c"), DONE % b"2", scene.said("after"))
    due = [
        scene.seen(1, "a"),
        scene.seen(2, "b"),
        scene.seen(3, "c"),
        DONE % b"1",
        scene.seen(4, "after"),
    ]
    taken = []
    while messages := scene.gets("ann", limit=1):
        taken += messages
    assert taken == due
    assert scene.gets("bob") == due[:3] + due[4:]


def test_an_error_comes_back_as_the_agent_wrote_it(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b'"p"')
    open_scene.agent(b' {"error":{"code":-1, "message":"no","x":[1.0]},"y":null,"id":2} ')
    assert open_scene.gets("ann") == [
        b' {"error":{"code":-1, "message":"no","x":[1.0]},"y":null,"id":"p"} '
    ]


@pytest.mark.parametrize("late", [b"2", b"3", b'"2"', b"2.0", b"null"])
def test_late_repeated_and_unknown_answers_are_dropped_and_counted(
    open_scene: Scene, late: bytes
) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.agent(DONE % b"2")
    open_scene.gets("ann")
    open_scene.agent(DONE % late)
    open_scene.agent(DONE % late)
    assert open_scene.gets("ann") == []
    assert open_scene.gets("bob") == []
    assert open_scene.conversation.oddities.dropped_answers == 2


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id":2,"result":{},"error":{"code":1,"message":"no"}}',
        b'{"id":2,"result":{},"error":null}',
        b'{"id":2,"result":{"sessionId":"own","sessionId":"own"}}',
    ],
)
def test_an_answer_that_cannot_be_relayed_is_an_error_for_whoever_waits(
    open_scene: Scene, answer: bytes
) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.agent(open_scene.said("a"), answer, answer, DONE % b"2")
    update, reply = map(json.loads, open_scene.gets("ann"))
    assert update["params"]["update"] == {"text": "a"}
    assert (reply["id"], reply["error"]["code"]) == (1, -32023)
    assert reply["error"]["message"].startswith(
        "cannot use agent 'coder': it answered session/prompt with a malformed message (cannot "
    )
    assert open_scene.conversation.oddities.noise_lines == 2
    assert open_scene.conversation.oddities.dropped_answers == 1


@pytest.mark.parametrize(
    ("method", "result", "seen"),
    [
        # Elsewhere than in the answers that hold a session id by ACP it is the peers' business.
        (b"session/prompt", b'{"sessionId":"own"}', b'{"sessionId":"own"}'),
        (b"_x", b'{"a":1,"sessionId":"own"}', b'{"a":1,"sessionId":"s:main"}'),
        (b"_x", b'{"sessionId":null}', b'{"sessionId":"s:main"}'),
        (b"_x", b'{"sessions":[{"sessionId":"own"}]}', b'{"sessions":[{"sessionId":"own"}]}'),
    ],
)
def test_a_result_names_the_session_as_clients_know_it(
    open_scene: Scene, method: bytes, result: bytes, seen: bytes
) -> None:
    open_scene.client("ann", b'{"id":1,"method":"%b"}' % method)
    open_scene.agent(b'{"id":2,"result":%b}' % result)
    assert open_scene.gets("ann") == [b'{"id":1,"result":%b}' % seen]


def test_a_notification_reaches_the_agent_and_nobody_waits(open_scene: Scene) -> None:
    open_scene.client("ann", b'{"method":"session/cancel","params":{"sessionId":"s:main"}}')
    assert open_scene.agent_gets() == [
        b'{"method":"session/cancel","params":{"sessionId":"own"}}',
    ]


def test_an_extension_without_a_session_id_passes_through(open_scene: Scene) -> None:
    open_scene.client("ann", b'{"method":"_x/y","params":[1, 2.50]}')
    assert open_scene.agent_gets() == [b'{"method":"_x/y","params":[1, 2.50]}']


@pytest.mark.parametrize("request_id", IDS)
def test_a_clients_cancellation_names_the_request_as_the_agent_knows_it(
    open_scene: Scene, request_id: bytes
) -> None:
    open_scene.client("ann", PROMPT % request_id)
    open_scene.agent_gets()
    assert open_scene.conversation.cancel_client_request("ann", request_id)
    assert open_scene.agent_gets() == [
        b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":2}}'
    ]


@pytest.mark.parametrize(("name", "request_id"), [("ann", b'"1"'), ("ann", b"2"), ("bob", b"1")])
def test_a_cancellation_of_what_this_client_never_asked_goes_nowhere(
    open_scene: Scene, name: str, request_id: bytes
) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.agent_gets()
    assert not open_scene.conversation.cancel_client_request(name, request_id)
    assert open_scene.agent_gets() == []


def test_a_cancelled_request_is_still_answered_by_the_agent(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.conversation.cancel_client_request("ann", b"1")
    open_scene.agent(b'{"id":2,"error":{"code":-32800,"message":"cancelled"}}')
    assert open_scene.gets("ann") == [b'{"id":1,"error":{"code":-32800,"message":"cancelled"}}']


def test_a_request_that_could_not_be_sent_is_not_waited_for(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.conversation.forget_request("ann", peek(PROMPT % b"1"))
    open_scene.agent(DONE % b"2")
    assert open_scene.gets("ann") == []
    open_scene.client("ann", PROMPT % b"1")
    open_scene.agent(DONE % b"3")
    assert open_scene.gets("ann") == [DONE % b"1"]


def test_forgetting_what_was_never_asked_changes_nothing(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.conversation.forget_request("bob", peek(PROMPT % b"1"))
    open_scene.conversation.forget_request("ann", peek(b'{"method":"_x"}'))
    open_scene.agent(DONE % b"2")
    assert open_scene.gets("ann") == [DONE % b"1"]


def test_cancelling_the_turns_answers_every_prompt_and_nothing_else(open_scene: Scene) -> None:
    scene = open_scene
    scene.client("ann", PROMPT % b"1")
    scene.client("ann", b'{"id":"mode","method":"session/set_mode"}')
    scene.client("bob", PROMPT % b"1")
    scene.agent(scene.said("a"))
    scene.conversation.cancel_turns()
    cancelled = b'{"jsonrpc":"2.0","id":1,"result":{"stopReason":"cancelled"}}'
    assert scene.gets("ann") == [scene.seen(1, "a"), cancelled]
    assert scene.gets("bob") == [scene.seen(1, "a"), cancelled]
    scene.agent(DONE % b"2", b'{"id":3,"result":null}', DONE % b"4")
    assert scene.gets("ann") == [b'{"id":"mode","result":null}']
    assert scene.gets("bob") == []
    assert scene.conversation.oddities.dropped_answers == 2


def test_an_answer_for_a_client_that_has_left_is_dropped_and_counted(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.client("bob", PROMPT % b"1")
    open_scene.conversation.detach("ann")
    open_scene.agent(DONE % b"2", DONE % b"3")
    assert open_scene.gets("ann") == []
    assert open_scene.gets("bob") == [DONE % b"1"]
    assert open_scene.conversation.oddities.dropped_answers == 1


def test_a_client_leaving_changes_nothing_for_the_agent(open_scene: Scene) -> None:
    open_scene.client("ann", PROMPT % b"1")
    open_scene.agent_gets()
    open_scene.conversation.detach("ann")
    assert open_scene.agent_gets() == []
