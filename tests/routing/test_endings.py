"""Frames that are lost, and runs that are over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.routing.conftest import closed, failed, marked, noticed, refused, started

from acprelay.errors import AgentExited, FrameTooLarge, RequestCancelled
from acprelay.wire import OversizedFrame

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

ASKED = b'{"id":%b,"method":"_x"}'
PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
DONE = b'{"id":%b,"result":{"stopReason":"end_turn"}}'
ASK = b'{"id":%b,"method":"_vendor/ask"}'
EXITED = AgentExited(agent="coder", status="exit status 3", stderr="boom")
DEEP = b"[" * 5000 + b"]" * 5000
TOO_LARGE = FrameTooLarge(size=2000, limit=1000)


def oversized(head: bytes, tail: bytes = b'"}}') -> OversizedFrame:
    return OversizedFrame(size=2000, head=head, tail=tail, index=0)


class TestOversizedFrames:
    @pytest.mark.requirement("processes.oversized-frames-end-alone")
    def test_of_an_update_everybody_is_told_in_its_place(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.agent(
            scene.said("a"),
            oversized(b'{"method":"session/update","params":{"sessionId":"own","update":{"x":"'),
            scene.said("b"),
        )
        for name in ("ann", "bob"):
            assert scene.gets(name) == [
                scene.seen(1, "a", in_turn=False),
                noticed(2, TOO_LARGE, in_turn=False),
                scene.seen(3, "b", in_turn=False),
            ]
        assert scene.agent_gets() == []

    def test_the_notice_says_how_large_it_was_and_what_the_limit_is(
        self, open_scene: Scene
    ) -> None:
        open_scene.agent(oversized(b'{"method":"_x","params":{"x":"'))
        [told] = open_scene.reads("ann")
        params = told["params"]
        assert (params["code"], params["size"], params["limit"]) == ("frame_too_large", 2000, 1000)
        assert params["message"] == "cannot relay a message of 2000 bytes: the limit is 1000"

    @pytest.mark.parametrize(
        ("head", "tail"),
        [(b'{"id":2,"result":{"x":"', b'"}}'), (b'{"result":{"x":"', b'"},"id":2}')],
    )
    def test_of_an_answer_whoever_waits_gets_an_error(
        self, open_scene: Scene, head: bytes, tail: bytes
    ) -> None:
        open_scene.client("bob", ASKED % b'"p"')
        open_scene.agent(oversized(head, tail), DONE % b"2")
        notice = noticed(1, TOO_LARGE, in_turn=False)
        assert open_scene.gets("bob") == [refused(b'"p"', TOO_LARGE), notice]
        assert open_scene.gets("ann") == [notice]
        assert open_scene.conversation.take_oddities().dropped_answers == 1

    def test_of_a_prompts_answer_the_turn_has_failed(self, open_scene: Scene) -> None:
        open_scene.client("bob", PROMPT % b"1")
        open_scene.agent(oversized(b'{"id":2,"result":{"x":"'), DONE % b"2")
        assert open_scene.gets("bob") == [
            started(1, "g-1"),
            failed(2, "g-1", TOO_LARGE),
            refused(b"1", TOO_LARGE),
            noticed(3, TOO_LARGE, in_turn=False),
        ]
        assert open_scene.conversation.turn is None

    def test_of_an_ask_the_agent_gets_an_error(self, open_scene: Scene) -> None:
        open_scene.agent(oversized(b'{"id":"q","method":"_vendor/ask","params":{"x":"'))
        assert open_scene.agent_gets() == [refused(b'"q"', TOO_LARGE)]
        assert open_scene.gets("bob") == [noticed(1, TOO_LARGE, in_turn=False)]

    @pytest.mark.parametrize(
        "head",
        [
            b'{"id":3,"result":{"x":"',
            b'{"id":"2","result":{"x":"',
            b'{"result":{"x":"',
            b'{"id":2,"x":"',
            b"prose that never ends ...",
            b"\xff\xff",
        ],
    )
    def test_what_nobody_waits_for_is_told_and_settles_nothing(
        self, open_scene: Scene, head: bytes
    ) -> None:
        open_scene.client("bob", ASKED % b"1")
        open_scene.agent_gets()
        open_scene.agent(oversized(head))
        assert open_scene.gets("bob") == [noticed(1, TOO_LARGE, in_turn=False)]
        assert open_scene.agent_gets() == []
        open_scene.agent(DONE % b"2")
        assert open_scene.gets("bob") == [DONE % b"1"]

    def test_several_in_one_batch_each_keep_their_place(self, open_scene: Scene) -> None:
        scene = open_scene
        skipped = oversized(b'{"method":"_x","params":{"x":"')
        scene.agent(skipped, skipped, scene.said("a"), scene.said("b"), skipped)
        assert scene.gets("ann") == [
            noticed(1, TOO_LARGE, in_turn=False),
            noticed(2, TOO_LARGE, in_turn=False),
            scene.seen(3, "a", in_turn=False),
            scene.seen(4, "b", in_turn=False),
            noticed(5, TOO_LARGE, in_turn=False),
        ]


@pytest.mark.parametrize(
    "value",
    [pytest.param(b'"caf\xe9"', id="not in UTF-8"), pytest.param(DEEP, id="nests too deeply")],
)
class TestFramesThatCannotBeRead:
    def test_of_a_prompts_answer_the_turn_has_failed(self, open_scene: Scene, value: bytes) -> None:
        open_scene.client("bob", PROMPT % b"1")
        open_scene.agent(b'{"id":2,"result":{"stopReason":"end_turn","x":%b}}' % value, DONE % b"2")
        begun, _, reply = open_scene.gets("bob")
        assert begun == started(1, "g-1")
        error = json.loads(reply)["error"]
        assert error["data"]["code"] == "agent_refused"
        assert "it answered session/prompt with a malformed message" in error["message"]
        assert open_scene.conversation.turn is None

    def test_of_an_ask_the_agent_gets_an_error(self, open_scene: Scene, value: bytes) -> None:
        open_scene.agent(b'{"id":"q","method":"_vendor/ask","params":{"x":%b}}' % value)
        [answer] = map(json.loads, open_scene.agent_gets())
        assert (answer["id"], answer["error"]["code"]) == ("q", -32700)
        assert open_scene.gets("bob") == []

    def test_an_update_goes_nowhere(self, open_scene: Scene, value: bytes) -> None:
        open_scene.agent(b'{"method":"session/update","params":{"sessionId":"own","x":%b}}' % value)
        assert (open_scene.gets("bob"), open_scene.agent_gets()) == ([], [])
        assert open_scene.conversation.take_oddities().noise_lines == 1


class TestTheEndOfARun:
    @pytest.mark.requirement("turns.death-fails-what-waits", "turns.death-closes-dialogs")
    def test_an_exit_in_a_turn_tells_everybody_and_fails_what_is_in_flight(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        scene.client("bob", PROMPT % b'"p"')
        scene.client("ann", b'{"id":1,"method":"session/set_mode"}')
        scene.agent(scene.said("a"), ASK % b"0")
        scene.agent_gets()
        asked = scene.gets("bob")
        scene.run_ends(EXITED)
        log = [
            started(1, "g-1"),
            scene.seen(2, "a"),
            noticed(3, EXITED, in_turn=True),
            failed(4, "g-1", EXITED),
        ]
        assert asked == [*log[:2], b'{"id":"g-1","method":"_vendor/ask"}']
        assert scene.gets("bob") == [
            *log[2:],
            refused(b'"p"', EXITED),
            closed(b'"g-1"'),
        ]
        assert scene.gets("ann") == [*log, refused(b"1", EXITED)]
        assert scene.agent_gets() == []

    def test_the_error_says_how_the_agent_ended_and_what_it_said_last(
        self, open_scene: Scene
    ) -> None:
        open_scene.client("bob", ASKED % b"1")
        open_scene.run_ends(EXITED)
        [_, reply] = open_scene.reads("bob")
        assert reply["error"] == {"code": -32021, "message": EXITED.message, "data": EXITED.data}
        assert EXITED.data["status"] == "exit status 3"
        assert EXITED.data["stderr"] == "boom"

    def test_without_a_turn_everybody_is_told(self, open_scene: Scene) -> None:
        open_scene.run_ends(EXITED)
        for name in ("ann", "bob"):
            assert open_scene.gets(name) == [noticed(1, EXITED, in_turn=False)]

    def test_a_permission_that_was_open_is_closed_and_marked(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.agent(
            b'{"id":7,"method":"session/request_permission","params":{"sessionId":"own",'
            b'"options":[{"optionId":"yes"}]}}'
        )
        scene.gets("ann")
        scene.run_ends(EXITED)
        fields = '"ask":"g-1","toolCallId":null,"outcome":"cancelled","by":"agent"'
        assert scene.gets("ann") == [
            noticed(1, EXITED, in_turn=False),
            closed(b'"g-1"'),
            marked("permission_settled", 2, fields, in_turn=False),
        ]
        assert scene.agent_gets() == []

    def test_what_the_agent_says_afterwards_goes_nowhere(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("bob", ASKED % b"1")
        scene.agent_gets()
        scene.run_ends(EXITED)
        scene.gets("bob")
        scene.agent(
            scene.said("a"), DONE % b"2", ASK % b"0", b"noise", oversized(b'{"id":1,"method":"x')
        )
        assert scene.gets("bob") == []
        assert scene.agent_gets() == []

    def test_answers_and_cancellations_afterwards_go_nowhere(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("bob", PROMPT % b"1")
        scene.agent(ASK % b"0")
        scene.agent_gets()
        scene.run_ends(EXITED)
        scene.gets("bob")
        assert not scene.client("bob", b'{"id":"g-1","result":null}')
        assert not scene.cancels("bob", b"1")
        assert not scene.conversation.cancel_turn("g-1", now=0.0)
        scene.conversation.close_turns(now=0.0)
        scene.presence.give_up("bob")
        assert scene.agent_gets() == []
        assert scene.gets("bob") == []


def test_an_ask_that_the_agent_withdraws_is_closed_and_answered(open_scene: Scene) -> None:
    scene = open_scene
    scene.client("bob", PROMPT % b"1")
    scene.agent(ASK % b"0")
    scene.agent_gets()
    scene.gets("bob")
    scene.agent(b'{"method":"$/cancel_request","params":{"requestId":0}}')
    assert scene.gets("bob") == [closed(b'"g-1"')]
    assert scene.agent_gets() == [refused(b"0", RequestCancelled(method="_vendor/ask"))]
