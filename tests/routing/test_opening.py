"""A conversation before its session is there, and how it gets there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import AgentExited
from acprelay.routing.events import OpeningRefused, SessionOpened
from acprelay.wire import OversizedFrame

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

NEW = b'{"jsonrpc":"2.0","id":"a","method":"session/new","params":{"cwd":"/w","mcpServers":[]}}'
OPENED = b'{"jsonrpc":"2.0","id":1,"result":{"sessionId":"own","modes":null}}'
REPLY = b'{"jsonrpc":"2.0","id":"a","result":{"sessionId":"s:main","modes":null}}'


@pytest.fixture
def asked(scene: Scene) -> Scene:
    """Ann has asked for a session, and the agent has heard it."""
    scene.join("ann")
    scene.client("ann", NEW)
    scene.agent_gets()
    return scene


def refusal(scene: Scene) -> dict[str, object]:
    """The error that an opening was refused with."""
    [refused] = scene.events()
    assert isinstance(refused, OpeningRefused)
    reply = json.loads(refused.reply)
    assert reply["id"] == "a"
    error: dict[str, object] = reply["error"]
    return error


def test_the_agent_is_asked_under_an_id_of_the_relays(scene: Scene) -> None:
    scene.join("ann")
    scene.client("ann", NEW)
    assert scene.agent_gets() == [NEW.replace(b'"id":"a"', b'"id":1')]
    assert scene.agent_gets() == []


def test_what_a_client_forges_for_the_relay_does_not_reach_the_agent(scene: Scene) -> None:
    scene.join("ann")
    scene.client("ann", b'{"id":0,"method":"session/new","params":{"_meta":{"acprelay":1,"x":2}}}')
    assert scene.agent_gets() == [
        b'{"id":1,"method":"session/new","params":{"_meta":{"x":2}}}',
    ]


def test_the_reply_names_the_session_as_clients_know_it(asked: Scene) -> None:
    asked.agent(OPENED)
    assert asked.events() == [SessionOpened(REPLY)]
    assert asked.events() == []
    assert asked.log.head == 0


def test_updates_before_the_reply_follow_it(asked: Scene) -> None:
    asked.agent(asked.said("a"))
    asked.agent(asked.said("b"), asked.said("c"), OPENED, asked.said("d"))
    assert asked.gets("ann") == []
    asked.clients["ann"].admit(REPLY)
    assert asked.gets("ann") == [
        REPLY,
        asked.seen(1, "a"),
        asked.seen(2, "b"),
        asked.seen(3, "c"),
        asked.seen(4, "d"),
    ]


def test_a_client_that_reads_slowly_gets_the_reply_first_all_the_same(asked: Scene) -> None:
    asked.agent(asked.said("a"))
    asked.agent(OPENED)
    asked.clients["ann"].admit(REPLY)
    assert asked.gets("ann", limit=1) == [REPLY]
    assert asked.gets("ann", limit=1) == [asked.seen(1, "a")]


def test_what_waits_for_the_opening_counts_as_unread_until_it_is_read(asked: Scene) -> None:
    assert asked.conversation.unread_bytes == 0
    asked.agent(asked.said("a"), b"noise", asked.said("b"))
    assert asked.conversation.unread_bytes == len(asked.said("a") + asked.said("b"))
    asked.agent(OPENED)
    assert asked.conversation.unread_bytes == asked.log.retained_bytes
    asked.clients["ann"].admit(REPLY)
    asked.gets("ann")
    assert asked.conversation.unread_bytes == 0


def test_noise_before_the_opening_is_counted_once_and_goes_nowhere(asked: Scene) -> None:
    asked.agent(b"Starting up ...", asked.said("a"), OPENED)
    asked.clients["ann"].admit(REPLY)
    assert asked.gets("ann") == [REPLY, asked.seen(1, "a")]
    assert asked.conversation.oddities.noise_lines == 1
    assert asked.conversation.oddities.last_noise == b"Starting up ..."


def test_an_ask_before_the_opening_is_refused_at_once(asked: Scene) -> None:
    asked.agent(b'{"id":7,"method":"session/request_permission","params":{"sessionId":"own"}}')
    [line] = asked.agent_gets()
    answer = json.loads(line)
    assert (answer["id"], answer["error"]["code"]) == (7, -32601)


def test_an_ask_right_behind_the_opening_is_put_to_the_client(asked: Scene) -> None:
    asked.agent(OPENED, b'{"id":7,"method":"_x","params":{"sessionId":"own"}}')
    asked.clients["ann"].admit(REPLY)
    assert asked.gets("ann") == [
        REPLY,
        b'{"id":"g-1","method":"_x","params":{"sessionId":"s:main"}}',
    ]


def test_an_answer_that_nobody_waits_for_opens_nothing(asked: Scene) -> None:
    asked.agent(b'{"id":"1","result":{"sessionId":"own"}}', b'{"id":2,"result":{}}')
    assert asked.events() == []
    assert asked.conversation.oddities.dropped_answers == 2


def test_an_agents_refusal_reaches_the_client_as_it_is(asked: Scene) -> None:
    asked.agent(b'{"id":1,"error":{"code":-32000,"message":"log in","x":[1]}}')
    assert asked.events() == [
        OpeningRefused(b'{"id":"a","error":{"code":-32000,"message":"log in","x":[1]}}')
    ]
    assert asked.log.head == 0


@pytest.mark.parametrize(
    "result",
    [b"null", b"[]", b"{}", b'{"sessionId":""}', b'{"sessionId":null}', b'{"sessionId":5}'],
)
def test_a_result_without_a_session_id_is_a_refusal(asked: Scene, result: bytes) -> None:
    asked.agent(b'{"id":1,"result":%b}' % result)
    error = refusal(asked)
    assert error["code"] == -32023
    assert error["message"] == (
        "cannot use agent 'coder': it answered session/new with a result without sessionId"
    )


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id":1,"result":{"sessionId":"own"},"error":{"code":1,"message":"no"}}',
        b'{"id":1,"result":{"sessionId":"own","sessionId":"other"}}',
    ],
)
def test_an_answer_that_cannot_be_relayed_is_a_refusal(asked: Scene, answer: bytes) -> None:
    asked.agent(answer)
    error = refusal(asked)
    assert error["code"] == -32023
    assert str(error["message"]).startswith(
        "cannot use agent 'coder': it answered session/new with a malformed message (cannot "
    )


def test_an_answer_over_the_limit_is_a_refusal(asked: Scene) -> None:
    asked.agent(OversizedFrame(2000, b'{"id":1,"result":{"sessionId":"own","x":"', b'"}}', 0))
    assert refusal(asked)["code"] == -32030
    assert asked.log.head == 0


def test_an_update_over_the_limit_before_the_opening_goes_nowhere(asked: Scene) -> None:
    asked.agent(
        OversizedFrame(2000, b'{"method":"session/update","params":{"x":"', b'"}}', 0),
        asked.said("a"),
        OPENED,
    )
    asked.clients["ann"].admit(REPLY)
    assert asked.gets("ann") == [REPLY, asked.seen(1, "a")]


def test_the_agents_exit_before_the_opening_is_a_refusal(asked: Scene) -> None:
    asked.agent(asked.said("a"))
    asked.conversation.fail(AgentExited(agent="coder", status="exit status 3", stderr="boom"))
    error = refusal(asked)
    assert error["code"] == -32021
    assert error["data"] == {
        "agent": "coder",
        "status": "exit status 3",
        "stderr": "boom",
        "code": "agent_exited",
        "retryable": True,
        "hint": "open a new session; the agent's last words are in stderr",
    }
    assert asked.log.head == 0


def test_a_client_can_cancel_its_opening(asked: Scene) -> None:
    assert asked.conversation.cancel_client_request("ann", b'"a"')
    assert asked.agent_gets() == [
        b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":1}}'
    ]
