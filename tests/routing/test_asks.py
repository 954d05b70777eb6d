"""The agent's requests to clients: who is asked, and whose answer counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
DONE = b'{"id":%b,"result":{"stopReason":"end_turn"}}'
ASK = b'{"id":%b,"method":"session/request_permission","params":{"sessionId":"own"}}'
ASKED = b'{"id":"g-%d","method":"session/request_permission","params":{"sessionId":"s:main"}}'
YES = b'{"id":%b,"result":{"outcome":{"outcome":"selected","optionId":"yes"}}}'
CLOSED = b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":"g-%d"}}'

IDS = [b"0", b"1", b'"1"', b"1.0", b'"\\u0031"', b"null"]


@pytest.fixture
def turn(open_scene: Scene) -> Scene:
    """Bob's turn runs."""
    open_scene.client("bob", PROMPT % b"1")
    open_scene.agent_gets()
    return open_scene


def refusal(line: bytes) -> tuple[object, int]:
    answer = json.loads(line)
    return answer["id"], answer["error"]["code"]


def test_the_owner_of_the_turn_is_asked(turn: Scene) -> None:
    turn.agent(ASK % b"0")
    assert turn.gets("bob") == [ASKED % 1]
    assert turn.gets("ann") == []
    assert turn.agent_gets() == []


def test_of_several_turns_the_oldest_one_counts(turn: Scene) -> None:
    turn.client("ann", PROMPT % b"1")
    turn.agent(ASK % b"0", DONE % b"2", ASK % b"1")
    assert turn.gets("bob") == [ASKED % 1, DONE % b"1"]
    assert turn.gets("ann") == [ASKED % 2]


def test_a_request_that_is_no_prompt_makes_nobody_the_owner(open_scene: Scene) -> None:
    open_scene.client("bob", b'{"id":1,"method":"session/set_mode"}')
    open_scene.agent(ASK % b"0")
    assert open_scene.gets("bob") == []


def test_without_a_turn_the_only_client_is_asked(open_scene: Scene) -> None:
    open_scene.conversation.detach("bob")
    open_scene.agent(ASK % b"0")
    assert open_scene.gets("ann") == [ASKED % 1]


@pytest.mark.parametrize("leaving", [(), ("ann", "bob")])
def test_without_a_turn_and_not_exactly_one_client_an_ask_is_refused_at_once(
    open_scene: Scene, leaving: tuple[str, ...]
) -> None:
    for name in leaving:
        open_scene.conversation.detach(name)
    open_scene.agent(ASK % b'"q"')
    [line] = open_scene.agent_gets()
    assert refusal(line) == ("q", -32601)
    assert open_scene.gets("ann") == []


@pytest.mark.parametrize(
    "method",
    [
        b"fs/read_text_file",
        b"fs/write_text_file",
        b"terminal/create",
        b"terminal/output",
        b"terminal/wait_for_exit",
        b"terminal/kill",
        b"terminal/release",
        b"fs/later",
    ],
)
def test_what_the_relay_has_not_promised_the_agent_is_refused(turn: Scene, method: bytes) -> None:
    turn.agent(b'{"id":9,"method":"%b","params":{"sessionId":"own"}}' % method)
    [line] = turn.agent_gets()
    assert refusal(line) == (9, -32601)
    assert turn.gets("bob") == []


@pytest.mark.parametrize(
    "method", [b"_vendor/ask", b"craft/drainMidTurnQueue", b"fsx", b"\xc3\xa9"]
)
def test_what_the_relay_does_not_know_is_put_to_the_client(turn: Scene, method: bytes) -> None:
    turn.agent(b'{"id":9,"method":"%b","params":[1.0]}' % method)
    assert turn.gets("bob") == [b'{"id":"g-1","method":"%b","params":[1.0]}' % method]


def test_an_ask_comes_after_what_it_is_about(turn: Scene) -> None:
    turn.agent(turn.said("a"), ASK % b"0", turn.said("b"))
    assert turn.gets("bob") == [turn.seen(1, "a"), ASKED % 1, turn.seen(2, "b")]


def test_only_ids_the_session_and_a_forged_stamp_change_in_an_ask(turn: Scene) -> None:
    turn.agent(
        b' {"z":1.0, "params":{"_meta":{"acprelay":1,"x":null}, "sessionId" : "own",'
        b'"requestId":2,"toolCall":{"sessionId":"own"}},"method":"session/request_permission",'
        b'"id":0} '
    )
    assert turn.gets("bob") == [
        b' {"z":1.0, "params":{"_meta":{"x":null}, "sessionId" : "s:main",'
        b'"requestId":2,"toolCall":{"sessionId":"own"}},"method":"session/request_permission",'
        b'"id":"g-1"} '
    ]


def test_a_sub_agents_ask_names_the_session_that_clients_know(turn: Scene) -> None:
    turn.agent(b'{"id":0,"method":"_x","params":{"sessionId":"own/sub"}}')
    assert turn.gets("bob") == [b'{"id":"g-1","method":"_x","params":{"sessionId":"s:main"}}']


@pytest.mark.parametrize("agent_id", IDS)
def test_the_answer_reaches_the_agent_under_the_id_that_it_sent(
    turn: Scene, agent_id: bytes
) -> None:
    turn.agent(ASK % agent_id)
    assert turn.client("bob", b'{"x":1.0, "result" : {"outcome":null},"id":"g-1"}')
    assert turn.agent_gets() == [b'{"x":1.0, "result" : {"outcome":null},"id":%b}' % agent_id]


def test_asks_whose_ids_look_alike_are_answered_one_by_one(turn: Scene) -> None:
    turn.agent(*(ASK % agent_id for agent_id in IDS))
    assert turn.gets("bob") == [ASKED % n for n in range(1, len(IDS) + 1)]
    for n in range(len(IDS), 0, -1):
        assert turn.client("bob", YES % (b'"g-%d"' % n))
    assert turn.agent_gets() == [YES % agent_id for agent_id in reversed(IDS)]


def test_a_clients_error_is_an_answer(turn: Scene) -> None:
    turn.agent(ASK % b"0")
    assert turn.client("bob", b'{"id":"g-1","error":{"code":-32601,"message":"no"}}')
    assert turn.agent_gets() == [b'{"id":0,"error":{"code":-32601,"message":"no"}}']


def test_only_the_client_that_was_asked_answers_and_only_once(turn: Scene) -> None:
    turn.agent(ASK % b"0")
    assert not turn.client("ann", YES % b'"g-1"')
    assert turn.agent_gets() == []
    assert turn.client("bob", YES % b'"g-1"')
    assert not turn.client("bob", YES % b'"g-1"')
    assert turn.agent_gets() == [YES % b"0"]


@pytest.mark.parametrize("unknown", [b'"g-2"', b"0", b'"0"', b"null"])
def test_an_answer_to_what_was_not_asked_reaches_nobody(turn: Scene, unknown: bytes) -> None:
    turn.agent(ASK % b"0")
    assert not turn.client("bob", YES % unknown)
    assert turn.agent_gets() == []


def test_an_open_ask_delays_nothing_else(turn: Scene) -> None:
    turn.agent(ASK % b"0", turn.said("a"), DONE % b"2")
    assert turn.gets("bob") == [ASKED % 1, turn.seen(1, "a"), DONE % b"1"]
    assert turn.client("bob", YES % b'"g-1"')
    assert turn.agent_gets() == [YES % b"0"]


class TestWithdrawal:
    def test_a_withdrawn_ask_is_closed_at_the_client_and_answered_to_the_agent(
        self, turn: Scene
    ) -> None:
        turn.agent(ASK % b'"q"', b'{"method":"$/cancel_request","params":{"requestId":"q"}}')
        assert turn.gets("bob") == [ASKED % 1, CLOSED % 1]
        [line] = turn.agent_gets()
        assert refusal(line) == ("q", -32800)
        assert not turn.client("bob", YES % b'"g-1"')
        assert turn.agent_gets() == []

    def test_an_answer_before_the_withdrawal_counts(self, turn: Scene) -> None:
        turn.agent(ASK % b"0")
        assert turn.client("bob", YES % b'"g-1"')
        turn.agent(b'{"method":"$/cancel_request","params":{"requestId":0}}')
        assert turn.agent_gets() == [YES % b"0"]
        assert turn.gets("bob") == [ASKED % 1]

    @pytest.mark.parametrize(
        "params", [b'{"requestId":"0"}', b'{"requestId":0.0}', b"{}", b"null", b"[0]"]
    )
    def test_withdrawing_what_was_not_asked_changes_nothing(
        self, turn: Scene, params: bytes
    ) -> None:
        turn.agent(ASK % b"0", b'{"method":"$/cancel_request","params":%b}' % params)
        assert turn.gets("bob") == [ASKED % 1]
        assert turn.agent_gets() == []
        assert turn.client("bob", YES % b'"g-1"')

    def test_a_withdrawal_without_params_changes_nothing(self, turn: Scene) -> None:
        turn.agent(ASK % b"0", b'{"method":"$/cancel_request"}')
        assert turn.gets("bob") == [ASKED % 1]


class TestRequestIds:
    """An elicitation may be about a request of the client's."""

    ELICIT = b'{"id":0,"method":"%b","params":{"requestId":%b}}'
    ELICITED = b'{"id":"g-1","method":"%b","params":{"requestId":%b}}'

    @pytest.mark.parametrize("request_id", IDS)
    def test_it_names_the_request_as_the_client_knows_it(
        self, open_scene: Scene, request_id: bytes
    ) -> None:
        open_scene.client("ann", PROMPT % request_id)
        open_scene.agent(self.ELICIT % (b"elicitation/create", b"2"))
        assert open_scene.gets("ann") == [self.ELICITED % (b"elicitation/create", request_id)]

    @pytest.mark.parametrize("unknown", [b"7", b'"2"', b"null"])
    def test_what_is_not_in_flight_is_left_alone(self, turn: Scene, unknown: bytes) -> None:
        turn.agent(self.ELICIT % (b"elicitation/create", unknown))
        assert turn.gets("bob") == [self.ELICITED % (b"elicitation/create", unknown)]

    def test_another_clients_request_is_left_alone(self, turn: Scene) -> None:
        turn.client("ann", b'{"id":"mine","method":"_x"}')
        turn.agent(self.ELICIT % (b"elicitation/create", b"3"))
        assert turn.gets("bob") == [self.ELICITED % (b"elicitation/create", b"3")]

    def test_an_extensions_member_of_that_name_is_left_alone(self, turn: Scene) -> None:
        turn.agent(self.ELICIT % (b"_vendor/ask", b"2"))
        assert turn.gets("bob") == [self.ELICITED % (b"_vendor/ask", b"2")]


class TestDetaching:
    def test_an_open_ask_goes_to_whoever_is_left(self, turn: Scene) -> None:
        turn.agent(ASK % b"0")
        turn.conversation.detach("bob")
        assert turn.agent_gets() == []
        assert turn.gets("ann") == [ASKED % 1]
        assert not turn.client("bob", YES % b'"g-1"')
        assert turn.client("ann", YES % b'"g-1"')
        assert turn.agent_gets() == [YES % b"0"]

    def test_with_nobody_left_a_permission_is_answered_cancelled(self, turn: Scene) -> None:
        turn.conversation.detach("ann")
        turn.agent(ASK % b"0")
        turn.conversation.detach("bob")
        assert turn.agent_gets() == [
            b'{"jsonrpc":"2.0","id":0,"result":{"outcome":{"outcome":"cancelled"}}}'
        ]
        assert not turn.client("bob", YES % b'"g-1"')

    def test_with_nobody_left_any_other_ask_is_answered_with_an_error(self, turn: Scene) -> None:
        turn.conversation.detach("ann")
        turn.agent(b'{"id":"q","method":"_vendor/ask"}')
        turn.conversation.detach("bob")
        [line] = turn.agent_gets()
        assert refusal(line) == ("q", -32601)

    def test_other_clients_asks_stay_with_them(self, turn: Scene) -> None:
        turn.agent(ASK % b"0")
        turn.conversation.detach("ann")
        assert turn.agent_gets() == []
        assert turn.gets("bob") == [ASKED % 1]
        assert turn.client("bob", YES % b'"g-1"')

    def test_without_its_owner_a_turn_asks_the_only_client_left(self, turn: Scene) -> None:
        turn.conversation.detach("bob")
        turn.agent(ASK % b"0")
        assert turn.gets("ann") == [ASKED % 1]

    def test_detaching_twice_changes_nothing(self, turn: Scene) -> None:
        turn.agent(ASK % b"0")
        turn.conversation.detach("bob")
        turn.conversation.detach("bob")
        assert turn.gets("ann") == [ASKED % 1]
        assert turn.agent_gets() == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":0,"method":"_x","params":"text"}',
        b'{"id":0,"method":"_x","params":{"sessionId":5}}',
        b'{"id":0,"method":5}',
        b'{"id":0,"method":"_x","result":1}',
    ],
)
def test_an_ask_that_cannot_be_relayed_is_refused_at_once(turn: Scene, line: bytes) -> None:
    turn.agent(line)
    [answer] = turn.agent_gets()
    assert refusal(answer) == (0, -32600)
    assert turn.gets("bob") == []
    assert turn.conversation.oddities.noise_lines == 1
