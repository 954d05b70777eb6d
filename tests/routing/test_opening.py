"""An agent that opens its session: what of its words is the answer, kept, noted or refused."""

from __future__ import annotations

import json

import pytest

from acprelay.errors import AgentRefused
from acprelay.routing.opening import SessionOpening
from acprelay.routing.snapshot import Snapshot
from acprelay.wire import OversizedFrame

ANSWER = b'{"jsonrpc":"2.0","id":2,"result":{"sessionId":"own","modes":null}}'
SAID = b'{"method":"session/update","params":{"sessionId":"own","update":%b}}'
PLAN = b'{"sessionUpdate":"plan","entries":[]}'
HINT = "no client is there before the session is open"


def opening(
    *, snapshot: Snapshot | None = None, most_kept: int = 1000, method: str = "session/new"
) -> SessionOpening:
    return SessionOpening(
        agent="coder",
        request_id=b"2",
        method=method,
        own_session_id="own",
        snapshot=snapshot,
        most_kept=most_kept,
    )


def oversized(head: bytes, tail: bytes = b'"}}', *, index: int = 0) -> OversizedFrame:
    return OversizedFrame(2000, head, tail, index)


def reason(asked: SessionOpening) -> str:
    """Why there is no answer."""
    assert isinstance(asked.failure, AgentRefused)
    assert asked.is_over
    assert asked.answer is None
    return asked.failure.message


@pytest.mark.requirement(
    "order.early-updates-follow-the-answer", "order.nothing-before-the-session-id"
)
def test_what_an_agent_says_around_its_answer_is_kept() -> None:
    asked = opening()
    asked.receive([SAID % b"1", b"noise"], [])
    is_over = [asked.is_over]
    asked.receive([SAID % b"2", ANSWER, SAID % b"3", ANSWER], [])
    assert [*is_over, asked.is_over] == [False, True]
    assert asked.answer is not None
    assert asked.answer.raw == ANSWER
    assert asked.failure is None
    assert asked.kept == [SAID % b"1", SAID % b"2", SAID % b"3", ANSWER]
    assert asked.take_agent_output() == b""


def test_an_agents_refusal_is_an_answer() -> None:
    asked = opening()
    asked.receive([b'{"id":2,"error":{"code":-32000,"message":"log in"}}'], [])
    assert asked.answer is not None
    assert asked.answer.is_error


@pytest.mark.parametrize(
    "stray", [b'{"id":"2","result":{}}', b'{"id":1,"result":{}}', b'{"id":null,"error":{}}']
)
def test_an_answer_to_something_else_is_none(stray: bytes) -> None:
    asked = opening()
    asked.receive([stray], [])
    assert not asked.is_over
    assert asked.kept == []


def test_what_an_agent_replays_is_noted_and_not_kept() -> None:
    snapshot = Snapshot()
    asked = opening(snapshot=snapshot, method="session/load", most_kept=0)
    lines = [SAID % PLAN, SAID % b'{"sessionUpdate":"agent_message_chunk"}', SAID % b"1"]
    too_long = oversized(b'{"method":"session/update","params":{"x":"', index=4)
    asked.receive([*lines, b'{"method":"_x","params":{}}', ANSWER, SAID % b"2"], [too_long])
    assert (asked.kept, asked.skipped) == ([SAID % b"2"], [])
    assert snapshot.updates() == [PLAN]
    assert asked.answer is not None


@pytest.mark.parametrize("session", [b'"sessionId":"own/sub",', b'"sessionId":null,', b""])
def test_what_is_replayed_of_a_sub_agent_is_not_the_sessions_state(session: bytes) -> None:
    snapshot = Snapshot()
    asked = opening(snapshot=snapshot, method="session/load")
    foreign = (SAID % PLAN.replace(b"[]", b"[1]")).replace(b'"sessionId":"own",', session)
    asked.receive([SAID % PLAN, foreign, ANSWER], [])
    assert snapshot.updates() == [PLAN]


def test_an_agent_that_says_too_much_before_its_answer_is_given_up() -> None:
    size = len(SAID % b"1")
    asked = opening(most_kept=2 * size)
    asked.receive([SAID % b"1"] * 2, [])
    assert not asked.is_over
    asked.receive([SAID % b"1", ANSWER], [])
    assert reason(asked) == (
        f"cannot use agent 'coder': it answered session/new with {3 * size} bytes of updates "
        "before its answer"
    )


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id":2,"result":{"sessionId":"own"},"error":{"code":1,"message":"no"}}',
        b'{"id":2,"result":{"sessionId":"own","sessionId":"other"}}',
        b'{"jsonrpc":"2.0","id":2}',
    ],
)
def test_an_answer_that_cannot_be_read_is_the_end(answer: bytes) -> None:
    asked = opening()
    asked.receive([answer, ANSWER], [])
    assert reason(asked).startswith(
        "cannot use agent 'coder': it answered session/new with a malformed message (cannot "
    )


@pytest.mark.parametrize(
    ("head", "tail"),
    [(b'{"id":2,"result":{"x":"', b'"}}'), (b'{"result":{"x":"', b'"},"id":2}')],
)
def test_an_answer_over_the_limit_is_the_end(head: bytes, tail: bytes) -> None:
    asked = opening(method="session/load")
    asked.receive([], [oversized(head, tail)])
    assert reason(asked) == (
        "cannot use agent 'coder': it answered session/load with a result of 2000 bytes"
    )


def test_an_answer_over_the_limit_may_follow_what_was_said() -> None:
    asked = opening()
    too_long = oversized(b'{"id":2,"result":{"x":"', index=1)
    asked.receive([SAID % b"1", ANSWER], [too_long])
    assert reason(asked).endswith("with a result of 2000 bytes")


NOTICED = [b'{"method":"session/update","params":{"x":"', b'{"id":3,"x":"', b"prose"]


@pytest.mark.parametrize("head", NOTICED)
def test_what_else_is_over_the_limit_is_kept_in_its_place_to_be_told_of(head: bytes) -> None:
    asked = opening()
    asked.receive([SAID % b"1"], [oversized(head)])
    places = [0, 1, 2, 3]
    lines = [SAID % b"2", ANSWER, SAID % b"3"]
    asked.receive(lines, [oversized(head, index=index) for index in places])
    assert asked.answer is not None
    assert asked.kept == [SAID % b"1", SAID % b"2", SAID % b"3"]
    assert asked.skipped == [oversized(head, index=index) for index in [0, 1, 2, 2, 3]]
    assert asked.take_agent_output() == b""


def test_what_is_over_the_limit_after_the_answer_is_the_conversations_business() -> None:
    heads = [b'{"id":2,"result":{"x":"', b'{"id":7,"method":"_x","params":{"x":"']
    asked = opening(snapshot=Snapshot(), method="session/load", most_kept=0)
    asked.receive([ANSWER], [oversized(head, index=1) for head in heads])
    assert asked.answer is not None
    assert asked.skipped == [oversized(head) for head in heads]
    assert asked.take_agent_output() == b""


def test_an_answer_over_the_limit_to_something_else_goes_nowhere() -> None:
    asked = opening()
    asked.receive([ANSWER], [oversized(b'{"id":3,"result":{"x":"')])
    assert asked.answer is not None
    assert asked.skipped == []


def test_an_agent_that_says_too_much_over_the_limit_is_given_up_too() -> None:
    asked = opening(most_kept=99)
    head, tail = b'{"method":"_x","params":{"x":"', b"x" * 70
    asked.receive([ANSWER], [oversized(head, tail)])
    assert reason(asked).endswith("with 100 bytes of updates before its answer")


@pytest.mark.parametrize("noise", [b"Starting ...", b"", b"[]", b'{"id":3,"result":1,"error":2}'])
def test_noise_goes_nowhere(noise: bytes) -> None:
    asked = opening()
    asked.receive([noise, ANSWER], [])
    assert asked.answer is not None
    assert asked.kept == []


class TestRequestsOfTheAgent:
    """Nobody is there yet who could answer."""

    def refused(self, asked: SessionOpening) -> dict[str, object]:
        [line] = asked.take_agent_output().splitlines()
        assert asked.take_agent_output() == b""
        answer = json.loads(line)
        assert answer["error"]["code"] == -32601
        assert answer["error"]["data"]["hint"] == HINT
        return {"id": answer["id"], "method": answer["error"]["data"]["method"]}

    @pytest.mark.parametrize("request_id", [b"0", b'"q"', b"1.0", b"null"])
    def test_one_is_refused_at_once(self, request_id: bytes) -> None:
        asked = opening()
        asked.receive([b'{"id":%b,"method":"session/request_permission"}' % request_id], [])
        assert asked.kept == []
        assert not asked.is_over
        assert self.refused(asked) == {
            "id": json.loads(request_id),
            "method": "session/request_permission",
        }

    def test_one_that_cannot_be_read_is_too(self) -> None:
        asked = opening()
        asked.receive([b'{"id":7,"method":"_x","params":"text"}'], [])
        assert self.refused(asked) == {"id": 7, "method": "_x"}

    def test_one_over_the_limit_is_too(self) -> None:
        asked = opening()
        asked.receive([], [oversized(b'{"id":7,"method":"_x","params":{"x":"')])
        assert self.refused(asked) == {"id": 7, "method": "_x"}

    def test_one_whose_method_is_not_known_is_too(self) -> None:
        asked = opening()
        asked.receive([b'{"id":7,"method":5}'], [])
        assert self.refused(asked) == {"id": 7, "method": ""}
