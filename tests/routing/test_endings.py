"""Frames that are lost, and conversations that are over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import AgentExited, SessionEnded
from acprelay.wire import OversizedFrame

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
DONE = b'{"id":%b,"result":{"stopReason":"end_turn"}}'
ASK = b'{"id":%b,"method":"_vendor/ask"}'
EXITED = AgentExited(agent="coder", status="exit status 3", stderr="boom")


def oversized(head: bytes, tail: bytes = b'"}}') -> OversizedFrame:
    return OversizedFrame(size=2000, head=head, tail=tail, index=0)


def brief(message: bytes) -> tuple[object, ...]:
    """What a message of the relay's own says, in short."""
    read = json.loads(message)
    if "error" in read:
        return "error", read["id"], read["error"]["code"], read["error"]["data"]["code"]
    params = read["params"]
    if read["method"] == "$/cancel_request":
        return "cancel", params["requestId"]
    assert read["method"] == "_acprelay/notice"
    assert params["sessionId"] == "s:main"
    assert params["_meta"]["acprelay"]["generation"] == "g"
    return "notice", params["code"], params["_meta"]["acprelay"]["seq"]


TOO_LARGE = ("notice", "frame_too_large", 1)


class TestOversizedFrames:
    def test_of_an_update_everybody_is_told_in_its_place(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.agent(
            scene.said("a"),
            oversized(b'{"method":"session/update","params":{"sessionId":"own","update":{"x":"'),
            scene.said("b"),
        )
        for name in ("ann", "bob"):
            before, told, after = scene.gets(name)
            assert (before, after) == (scene.seen(1, "a"), scene.seen(3, "b"))
            assert brief(told) == ("notice", "frame_too_large", 2)
        assert scene.agent_gets() == []

    def test_the_notice_says_how_large_it_was_and_what_the_limit_is(
        self, open_scene: Scene
    ) -> None:
        open_scene.agent(oversized(b'{"method":"_x","params":{"x":"'))
        [told] = open_scene.gets("ann")
        params = json.loads(told)["params"]
        assert (params["size"], params["limit"]) == (2000, 1000)
        assert params["message"] == "cannot relay a message of 2000 bytes: the limit is 1000"

    def test_of_an_answer_whoever_waits_gets_an_error(self, open_scene: Scene) -> None:
        open_scene.client("bob", PROMPT % b'"p"')
        open_scene.agent(oversized(b'{"id":2,"result":{"x":"'), DONE % b"2")
        assert list(map(brief, open_scene.gets("bob"))) == [
            ("error", "p", -32030, "frame_too_large"),
            TOO_LARGE,
        ]
        assert list(map(brief, open_scene.gets("ann"))) == [TOO_LARGE]
        assert open_scene.conversation.oddities.dropped_answers == 1

    def test_of_an_answer_whose_id_comes_last_likewise(self, open_scene: Scene) -> None:
        open_scene.client("bob", PROMPT % b'"p"')
        open_scene.agent(oversized(b'{"result":{"x":"', b'"},"id":2}'))
        assert list(map(brief, open_scene.gets("bob"))) == [
            ("error", "p", -32030, "frame_too_large"),
            TOO_LARGE,
        ]

    def test_of_an_ask_the_agent_gets_an_error(self, open_scene: Scene) -> None:
        open_scene.client("bob", PROMPT % b"1")
        open_scene.agent_gets()
        open_scene.agent(oversized(b'{"id":"q","method":"_vendor/ask","params":{"x":"'))
        assert list(map(brief, open_scene.agent_gets())) == [
            ("error", "q", -32030, "frame_too_large")
        ]
        assert list(map(brief, open_scene.gets("bob"))) == [TOO_LARGE]

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
        open_scene.client("bob", PROMPT % b"1")
        open_scene.agent_gets()
        open_scene.agent(oversized(head))
        assert list(map(brief, open_scene.gets("bob"))) == [TOO_LARGE]
        assert open_scene.agent_gets() == []
        open_scene.agent(DONE % b"2")
        assert open_scene.gets("bob") == [DONE % b"1"]

    def test_several_in_one_batch_each_keep_their_place(self, open_scene: Scene) -> None:
        scene = open_scene
        skipped = oversized(b'{"method":"_x","params":{"x":"')
        scene.agent(skipped, skipped, scene.said("a"), scene.said("b"), skipped)
        told_1, told_2, a, b, told_3 = scene.gets("ann")
        assert (a, b) == (scene.seen(3, "a"), scene.seen(4, "b"))
        assert [brief(told)[2] for told in (told_1, told_2, told_3)] == [1, 2, 5]


class TestFailing:
    def test_an_exit_in_a_turn_tells_everybody_and_fails_what_is_in_flight(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        scene.client("bob", PROMPT % b'"p"')
        scene.client("ann", b'{"id":1,"method":"session/set_mode"}')
        scene.agent(scene.said("a"), ASK % b"0")
        scene.agent_gets()
        scene.conversation.fail(EXITED)
        update, asked, *rest = scene.gets("bob")
        assert update == scene.seen(1, "a")
        assert asked == b'{"id":"g-1","method":"_vendor/ask"}'
        assert list(map(brief, rest)) == [
            ("notice", "agent_exited", 2),
            ("error", "p", -32021, "agent_exited"),
            ("cancel", "g-1"),
        ]
        update, *rest = scene.gets("ann")
        assert update == scene.seen(1, "a")
        assert list(map(brief, rest)) == [
            ("notice", "agent_exited", 2),
            ("error", 1, -32021, "agent_exited"),
        ]
        assert scene.agent_gets() == []

    def test_the_error_says_how_the_agent_ended_and_what_it_said_last(
        self, open_scene: Scene
    ) -> None:
        open_scene.client("bob", PROMPT % b"1")
        open_scene.conversation.fail(EXITED)
        _, reply = open_scene.gets("bob")
        assert json.loads(reply)["error"] == {
            "code": -32021,
            "message": EXITED.message,
            "data": EXITED.data,
        }
        assert EXITED.data["status"] == "exit status 3"
        assert EXITED.data["stderr"] == "boom"

    def test_without_a_turn_everybody_is_told(self, open_scene: Scene) -> None:
        open_scene.conversation.fail(EXITED)
        for name in ("ann", "bob"):
            assert list(map(brief, open_scene.gets(name))) == [("notice", "agent_exited", 1)]

    def test_only_the_first_reason_counts(self, open_scene: Scene) -> None:
        open_scene.conversation.fail(EXITED)
        open_scene.conversation.fail(SessionEnded(key="s:main", reason="its client left"))
        assert list(map(brief, open_scene.gets("ann"))) == [("notice", "agent_exited", 1)]

    def test_what_the_agent_says_afterwards_goes_nowhere(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("bob", PROMPT % b"1")
        scene.agent_gets()
        scene.conversation.fail(EXITED)
        scene.gets("bob")
        scene.agent(
            scene.said("a"), DONE % b"2", ASK % b"0", b"noise", oversized(b'{"id":1,"method":"x')
        )
        assert scene.gets("bob") == []
        assert scene.agent_gets() == []

    def test_what_a_client_asks_afterwards_is_refused_with_the_same_reason(
        self, open_scene: Scene
    ) -> None:
        open_scene.conversation.fail(EXITED)
        for _ in range(2):
            with pytest.raises(AgentExited) as caught:
                open_scene.client("ann", PROMPT % b"1")
            assert caught.value is EXITED
        assert open_scene.agent_gets() == []

    def test_answers_and_cancellations_afterwards_go_nowhere(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("bob", PROMPT % b"1")
        scene.agent(ASK % b"0")
        scene.agent_gets()
        scene.conversation.fail(EXITED)
        assert not scene.client("bob", b'{"id":"g-1","result":null}')
        assert not scene.conversation.cancel_client_request("bob", b"1")
        scene.conversation.cancel_turns()
        scene.conversation.detach("bob")
        assert scene.agent_gets() == []
