"""Turns: what begins one, what everybody is told of it, and how each of its waits ends."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.routing.conftest import (
    RULES,
    Scene,
    closed,
    ended,
    failed,
    marked,
    noticed,
    refused,
    started,
)

from acprelay.errors import AgentExited, LimitReached, SessionEnded
from acprelay.routing.events import RunUnwanted, TurnChanged

PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":%b}}'
SENT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"own","prompt":%b}}'
DONE = b'{"id":%b,"result":{"stopReason":"end_turn"}}'
CANCEL = b'{"method":"session/cancel","params":{"sessionId":"s:main"}}'
TOLD_TO_STOP = b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"own"}}'
STOPPED = b'{"jsonrpc":"2.0","id":%b,"result":{"stopReason":"cancelled"}}'
CANCELLED = '"outcome":"ended","stopReason":"cancelled"'
HELLO = b'{"type":"text","text":"hello"}'
PICTURE = b'{"type":"image", "data":"AA==","x":1.0}'
CHUNK = b'{"sessionUpdate":"user_message_chunk","content":%b}'
ASK = (
    b'{"id":"q","method":"session/request_permission","params":{"sessionId":"own",'
    b'"toolCall":{"toolCallId":"call"},"options":[{"optionId":"yes","kind":"allow_once"}]}}'
)
ANSWERED_CANCELLED = b'{"jsonrpc":"2.0","id":"q","result":{"outcome":{"outcome":"cancelled"}}}'
EXITED = AgentExited(agent="coder", status="exit status 3", stderr="boom")


def settled(seq: int, *, in_turn: bool = True, by: str = "cancel", ask: str = "g-1") -> bytes:
    """The marker of a permission that was cancelled."""
    fields = f'"ask":"{ask}","toolCallId":"call","outcome":"cancelled","by":"{by}"'
    return marked("permission_settled", seq, fields, in_turn=in_turn)


def prompts(scene: Scene, *names: str) -> None:
    """Clients prompt, one after another; each prompt has its own id."""
    for number, name in enumerate(names, start=1):
        scene.client(name, PROMPT % (b"%d" % number, b"[]"))


def update(update: bytes) -> bytes:
    """An update of the agent."""
    return b'{"method":"session/update","params":{"sessionId":"own","update":%b}}' % update


OUTCOMES = {
    "a stop reason": (
        b'"result":{"stopReason":"max_tokens","x":1}',
        '"outcome":"ended","stopReason":"max_tokens"',
    ),
    "a stop reason with escapes": (
        b'"result":{"stopReason":"\\u0065nd\\u00e9"}',
        '"outcome":"ended","stopReason":"endé"',
    ),
    "no stop reason": (b'"result":{}', '"outcome":"ended"'),
    "null": (b'"result":null', '"outcome":"ended"'),
    "a stop reason that is none": (b'"result":{"stopReason":5}', '"outcome":"ended"'),
    "an error": (
        b'"error":{"code":-32000,"message":"log in","data":{"a":1}}',
        '"outcome":"failed","error":{"code":-32000,"message":"log in"}',
    ),
    "an error that says nothing": (b'"error":null', '"outcome":"failed"'),
    "an error without a code": (b'"error":{"message":"no"}', '"outcome":"failed"'),
    "an error with a code that is none": (
        b'"error":{"code":"1","message":"no"}',
        '"outcome":"failed"',
    ),
}


class TestMarkers:
    @pytest.mark.requirement("sharing.turns-are-marked")
    @pytest.mark.parametrize("answer", OUTCOMES)
    def test_the_start_and_the_end_of_a_turn_are_told_to_all(
        self, open_scene: Scene, answer: str
    ) -> None:
        said, told = OUTCOMES[answer]
        prompts(open_scene, "ann")
        open_scene.agent(b'{"id":2,%b}' % said)
        markers = [started(1, "g-1"), ended(2, "g-1", told)]
        assert open_scene.gets("bob") == markers
        assert open_scene.gets("ann") == [*markers, b'{"id":1,%b}' % said]

    def test_the_shell_is_told_of_both(self, open_scene: Scene) -> None:
        turns = [open_scene.conversation.turn]
        prompts(open_scene, "ann")
        turns.append(open_scene.conversation.turn)
        assert open_scene.events() == [TurnChanged()]
        open_scene.agent(DONE % b"2")
        turns.append(open_scene.conversation.turn)
        assert turns == [None, "g-1", None]
        assert open_scene.events() == [TurnChanged()]
        assert open_scene.events() == []

    def test_a_turn_that_follows_another_at_once_is_a_change(self, open_scene: Scene) -> None:
        prompts(open_scene, "ann", "bob")
        open_scene.events()
        open_scene.agent(DONE % b"2")
        assert open_scene.conversation.turn == "g-2"
        assert open_scene.events() == [TurnChanged()]

    @pytest.mark.requirement("order.late-updates-are-marked")
    def test_what_is_said_outside_of_turns_is_marked_so(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.agent(scene.said("before"))
        prompts(scene, "ann")
        scene.agent(scene.said("in"), DONE % b"2", scene.said("after"))
        assert scene.gets("bob") == [
            scene.seen(1, "before", in_turn=False),
            started(2, "g-1"),
            scene.seen(3, "in"),
            ended(4, "g-1"),
            scene.seen(5, "after", in_turn=False),
        ]

    def test_the_short_way_marks_as_the_long_one_does(self, open_scene: Scene) -> None:
        scene = open_scene
        piece = b'{"sessionUpdate":"agent_message_chunk","content":{}}'
        scene.agent(*[update(piece)] * 3)
        prompts(scene, "ann")
        scene.agent(*[update(piece)] * 3)
        scene.agent(DONE % b"2", *[update(piece)] * 3)
        marks = [each["params"]["_meta"]["acprelay"] for each in scene.reads("bob")]
        assert [mark["seq"] for mark in marks] == list(range(1, 12))
        assert ["outOfTurn" in mark for mark in marks] == [True] * 3 + [False] * 5 + [True] * 3

    def test_of_a_turn_that_an_earlier_relay_did_not_end_its_log_says_so(
        self, dormant_scene: Scene
    ) -> None:
        dormant_scene.conversation.mark_interrupted("f-7")
        told = marked("turn_ended", 1, '"turn":"f-7","outcome":"interrupted"', in_turn=False)
        assert dormant_scene.gets("ann") == [told]


class TestWhatOthersSee:
    @pytest.mark.requirement(
        "sharing.prompts-are-shown-to-the-others", "sharing.prompts-are-not-shown-to-their-author"
    )
    def test_a_prompt_is_shown_block_by_block_to_all_but_its_author(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        scene.client("ann", PROMPT % (b"1", b"[ %b , %b ]" % (HELLO, PICTURE)))
        assert scene.gets("ann") == [started(1, "g-1")]
        first, *chunks = scene.gets("bob")
        assert first == started(1, "g-1")
        assert chunks == [
            b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
            b'"update":{"sessionUpdate":"user_message_chunk","content":%b,"messageId":"g-1"},'
            b'"_meta":{"acprelay":{"generation":"g","seq":%d}}}}' % (block, seq)
            for seq, block in [(2, HELLO), (3, PICTURE)]
        ]
        scene.agent(scene.said("a"))
        assert scene.gets("ann") == [scene.seen(4, "a")]

    @pytest.mark.requirement("sharing.prompts-are-shown-at-their-start")
    def test_a_prompt_is_shown_when_its_turn_starts_and_not_before(self, open_scene: Scene) -> None:
        scene = open_scene
        prompts(scene, "ann")
        scene.client("bob", PROMPT % (b"1", b"[%b]" % HELLO))
        assert scene.gets("ann") == [started(1, "g-1")]
        scene.agent(DONE % b"2")
        over, _, begun, chunk = scene.reads("ann")
        assert over["method"] == "_acprelay/turn_ended"
        assert begun["params"]["turn"] == "g-2"
        assert chunk["params"]["update"]["content"]["text"] == "hello"
        assert scene.log.head == 4
        assert len(scene.gets("bob")) == 3

    def test_whoever_loads_the_session_sees_its_own_prompts_too(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("ann", PROMPT % (b"1", b"[%b]" % HELLO))
        assert len(scene.gets("ann")) == 1
        scene.presence.load(scene.clients["ann"], b"7")
        begun, chunk, reply = scene.reads("ann")
        assert begun["params"]["turn"] == "g-1"
        assert chunk["params"]["update"]["content"]["text"] == "hello"
        assert reply["id"] == 7

    def test_the_author_of_a_prompt_that_was_given_up_hides_nothing(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        prompts(scene, "bob")
        scene.client("ann", PROMPT % (b"1", b"[%b]" % HELLO))
        scene.presence.give_up("ann")
        scene.agent(DONE % b"2")
        assert len(scene.gets("bob")) == 5

    @pytest.mark.requirement("sharing.echoes-do-not-double")
    def test_an_echo_of_the_prompt_is_not_shown_again(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("ann", PROMPT % (b"1", b"[%b]" % HELLO))
        scene.agent(update(CHUNK % HELLO), scene.said("a"))
        assert scene.gets("bob")[2:] == [scene.seen(3, "a")]
        assert scene.gets("ann")[1:] == [scene.seen(3, "a")]

    @pytest.mark.parametrize("when", ["before", "second time", "after", "after failure"])
    def test_what_is_no_echo_is_shown(self, open_scene: Scene, when: str) -> None:
        scene = open_scene
        if when != "before":
            scene.client("ann", PROMPT % (b"1", b"[%b]" % HELLO))
        if when == "second time":
            scene.agent(update(CHUNK % HELLO))
        if when == "after":
            scene.agent(DONE % b"2")
        if when == "after failure":
            scene.run_ends(EXITED)
            scene.conversation.begin_run("own", last_id=1)
        head = scene.log.head
        scene.agent(update(CHUNK % HELLO))
        assert scene.log.head == head + 1


class TestQueue:
    @pytest.mark.requirement("turns.one-prompt-in-flight", "turns.queue-keeps-order")
    def test_prompts_reach_the_agent_one_at_a_time_in_order(self, open_scene: Scene) -> None:
        scene = open_scene
        prompts(scene, "ann", "bob", "ann")
        assert scene.agent_gets() == [SENT % (b"2", b"[]")]
        scene.agent(DONE % b"2")
        assert scene.agent_gets() == [SENT % (b"3", b"[]")]
        scene.agent(DONE % b"3")
        assert scene.agent_gets() == [SENT % (b"4", b"[]")]
        scene.agent(DONE % b"4")
        assert scene.agent_gets() == []
        replies = [each["id"] for each in scene.reads("ann") if "id" in each]
        assert replies == [1, 3]

    @pytest.mark.requirement("turns.queue-is-capped")
    def test_a_queue_that_is_full_refuses_the_next_and_takes_one_later(self) -> None:
        scene = Scene(rules=replace(RULES, most_queued=1))
        scene.open("ann")
        prompts(scene, "ann", "ann")
        with pytest.raises(LimitReached) as caught:
            scene.client("ann", PROMPT % (b"3", b"[]"))
        assert caught.value.data["most"] == 1
        scene.agent(DONE % b"2")
        scene.client("ann", PROMPT % (b"3", b"[]"))
        assert scene.conversation.describe_turns("ann")["queued"][0]["turn"] == "g-3"

    @pytest.mark.requirement("turns.queue-is-listed")
    def test_whoever_asks_is_told_what_runs_and_what_waits(self, open_scene: Scene) -> None:
        scene = open_scene
        assert scene.conversation.describe_turns("ann") == {"running": None, "queued": []}
        prompts(scene, "ann", "bob")
        assert scene.conversation.describe_turns("ann") == {
            "running": {"turn": "g-1", "mine": True, "cancelling": False},
            "queued": [{"turn": "g-2", "mine": False}],
        }

    def test_other_requests_do_not_wait_for_the_turn(self, open_scene: Scene) -> None:
        prompts(open_scene, "ann")
        open_scene.client("bob", b'{"id":1,"method":"_x"}')
        assert open_scene.agent_gets()[1:] == [b'{"id":3,"method":"_x"}']


class TestCancelling:
    @pytest.mark.requirement("turns.owner-cancels-all-its-prompts")
    def test_the_owner_cancels_its_turn_and_its_own_prompts_that_wait(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        prompts(scene, "ann", "bob", "ann")
        scene.agent_gets()
        scene.gets("ann")
        scene.client("ann", CANCEL)
        assert scene.agent_gets() == [TOLD_TO_STOP]
        assert scene.gets("ann") == [STOPPED % b"3"]
        scene.agent(b'{"id":2,"result":{"stopReason":"cancelled"}}')
        assert scene.agent_gets() == [SENT % (b"3", b"[]")]
        assert scene.gets("bob") == [
            started(1, "g-1"),
            ended(2, "g-1", CANCELLED),
            started(3, "g-2"),
        ]

    @pytest.mark.requirement("turns.queued-client-cancels-its-own")
    def test_who_only_has_prompts_that_wait_cancels_those(self, open_scene: Scene) -> None:
        prompts(open_scene, "ann", "bob")
        open_scene.agent_gets()
        open_scene.gets("bob")
        open_scene.client("bob", CANCEL)
        assert open_scene.agent_gets() == []
        assert open_scene.gets("bob") == [STOPPED % b"2"]

    def test_who_has_no_prompt_at_all_cancels_the_turn(self, open_scene: Scene) -> None:
        prompts(open_scene, "ann")
        open_scene.agent_gets()
        open_scene.client("bob", CANCEL)
        assert open_scene.agent_gets() == [TOLD_TO_STOP]

    def test_the_agent_is_told_once(self, open_scene: Scene) -> None:
        prompts(open_scene, "ann")
        open_scene.agent_gets()
        for name in ("ann", "bob", "ann"):
            open_scene.client(name, CANCEL)
        open_scene.conversation.cancel_turn("g-1", now=0.0)
        open_scene.cancels("ann", b"1")
        assert open_scene.agent_gets() == [TOLD_TO_STOP]

    def test_without_a_turn_nothing_is_cancelled(self, open_scene: Scene) -> None:
        open_scene.client("ann", CANCEL)
        assert open_scene.agent_gets() == []
        assert open_scene.conversation.deadline_at is None

    @pytest.mark.requirement("turns.queued-prompts-are-cancelled")
    @pytest.mark.parametrize("way", ["by its turn", "by its id"])
    def test_a_prompt_that_waits_can_be_cancelled_alone(self, open_scene: Scene, way: str) -> None:
        scene = open_scene
        prompts(scene, "ann", "bob", "bob")
        scene.gets("bob")
        if way == "by its turn":
            assert scene.conversation.cancel_turn("g-2", now=0.0)
            assert not scene.conversation.cancel_turn("g-2", now=0.0)
        else:
            assert scene.cancels("bob", b"2")
            assert not scene.cancels("bob", b"2")
        assert scene.gets("bob") == [STOPPED % b"2"]
        assert [each["turn"] for each in scene.conversation.describe_turns("x")["queued"]] == [
            "g-3"
        ]

    def test_the_turn_that_runs_can_be_cancelled_by_its_name_or_its_id(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        for turn, minted in (("g-1", b"2"), ("g-2", b"3")):
            prompts(scene, "ann")
            scene.agent_gets()
            if turn == "g-1":
                assert scene.conversation.cancel_turn(turn, now=0.0)
            else:
                assert scene.cancels("ann", b"1")
            assert scene.agent_gets() == [TOLD_TO_STOP]
            scene.agent(DONE % minted)
            assert not scene.conversation.cancel_turn(turn, now=0.0)

    @pytest.mark.requirement(
        "turns.cancel-answers-open-asks",
        "turns.cancel-closes-dialogs",
        "turns.cancel-reaches-the-agent-at-once",
    )
    @pytest.mark.parametrize("way", ["session/cancel", "by its turn", "by its id"])
    def test_open_asks_are_answered_and_closed_and_later_ones_never_put(
        self, open_scene: Scene, way: str
    ) -> None:
        scene = open_scene
        prompts(scene, "ann")
        scene.agent(ASK)
        scene.agent_gets()
        scene.gets("ann")
        scene.gets("bob")
        if way == "session/cancel":
            scene.client("ann", CANCEL)
        elif way == "by its turn":
            scene.conversation.cancel_turn("g-1", now=0.0)
        else:
            scene.cancels("ann", b"1")
        assert scene.agent_gets() == [TOLD_TO_STOP, ANSWERED_CANCELLED]
        for name in ("ann", "bob"):
            assert scene.gets(name) == [closed(b'"g-1"'), settled(2)]
        scene.agent(ASK)
        assert scene.agent_gets() == [ANSWERED_CANCELLED]
        assert scene.gets("bob") == [settled(3, ask="g-2")]


class TestDeadlines:
    @pytest.fixture
    def cancelled(self, open_scene: Scene) -> Scene:
        """Ann has cancelled her turn; Bob's waits."""
        prompts(open_scene, "ann", "bob")
        open_scene.client("ann", CANCEL)
        for name in ("ann", "bob"):
            open_scene.gets(name)
        open_scene.agent_gets()
        open_scene.events()
        return open_scene

    @pytest.mark.requirement("turns.ignored-cancel-answers-the-owner")
    def test_at_the_first_its_owner_is_answered_and_the_turn_is_over(
        self, cancelled: Scene
    ) -> None:
        scene = cancelled
        assert scene.conversation.deadline_at == RULES.cancel_answer_s
        scene.wait(RULES.cancel_answer_s - 0.1)
        assert scene.gets("ann") == []
        scene.wait(0.1)
        assert scene.gets("ann") == [ended(2, "g-1", CANCELLED), STOPPED % b"1"]
        assert scene.gets("bob") == [ended(2, "g-1", CANCELLED)]
        assert scene.events() == [TurnChanged()]
        assert scene.agent_gets() == []

    def test_after_it_the_agents_answer_frees_it_for_the_next_prompt_and_nothing_else(
        self, cancelled: Scene
    ) -> None:
        scene = cancelled
        scene.wait(RULES.cancel_answer_s)
        scene.gets("ann")
        scene.agent(scene.said("late"), DONE % b"2")
        assert scene.gets("ann") == [scene.seen(3, "late", in_turn=False), started(4, "g-2")]
        assert scene.agent_gets() == [SENT % (b"3", b"[]")]
        assert scene.conversation.take_oddities().dropped_answers == 0

    @pytest.mark.parametrize(
        "answer", [b'{"id":2,"result":1,"error":2}', b'{"jsonrpc":"2.0","id":2}']
    )
    def test_after_it_an_answer_that_cannot_be_read_does_so_too(
        self, cancelled: Scene, answer: bytes
    ) -> None:
        scene = cancelled
        scene.wait(RULES.cancel_answer_s)
        scene.gets("ann")
        scene.agent(answer)
        assert scene.gets("ann") == [started(3, "g-2")]
        assert scene.agent_gets() == [SENT % (b"3", b"[]")]

    def test_after_it_the_owner_may_use_its_id_again(self, cancelled: Scene) -> None:
        scene = cancelled
        scene.wait(RULES.cancel_answer_s)
        scene.gets("ann")
        assert not scene.cancels("ann", b"1")
        scene.client("ann", b'{"id":1,"method":"_x"}')
        [line] = scene.agent_gets()
        scene.agent(DONE % b"2", b'{"id":%d,"result":"x"}' % json.loads(line)["id"])
        assert scene.gets("ann") == [b'{"id":1,"result":"x"}', started(3, "g-2")]

    @pytest.mark.requirement("turns.ignored-cancel-ends-the-run")
    def test_at_the_second_the_run_is_unwanted(self, cancelled: Scene) -> None:
        scene = cancelled
        scene.wait(RULES.cancel_answer_s)
        scene.events()
        assert scene.conversation.deadline_at == RULES.cancel_end_s
        scene.wait(RULES.cancel_end_s - RULES.cancel_answer_s)
        reason = "its agent did not stop its turn when it was told to"
        assert scene.events() == [RunUnwanted(reason)]
        scene.wait(1000)
        assert scene.events() == []
        scene.agent(DONE % b"2")
        assert scene.agent_gets() == []
        assert scene.conversation.describe_turns("bob")["queued"] != []

    def test_an_agent_that_stops_in_time_meets_none(self, cancelled: Scene) -> None:
        cancelled.agent(DONE % b"2")
        assert cancelled.conversation.deadline_at is None

    def test_an_ask_after_the_first_is_still_answered_cancelled(self, cancelled: Scene) -> None:
        cancelled.wait(RULES.cancel_answer_s)
        cancelled.gets("bob")
        cancelled.agent(ASK)
        assert cancelled.agent_gets() == [ANSWERED_CANCELLED]
        assert cancelled.gets("bob") == [settled(3, in_turn=False)]


class TestClosing:
    def test_every_prompt_is_answered_and_what_is_open_is_cancelled(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        prompts(scene, "ann", "bob")
        scene.client("ann", b'{"id":"x","method":"_x"}')
        scene.agent(ASK)
        scene.agent_gets()
        for name in ("ann", "bob"):
            scene.gets(name)
        scene.conversation.close_turns(now=0.0)
        markers = [settled(2), ended(3, "g-1", CANCELLED)]
        assert scene.gets("ann") == [closed(b'"g-1"'), *markers, STOPPED % b"1"]
        assert scene.gets("bob") == [closed(b'"g-1"'), *markers, STOPPED % b"2"]
        assert scene.agent_gets() == [ANSWERED_CANCELLED]
        assert not scene.conversation.is_idle
        ended_by_client = SessionEnded(key="s:main", reason="a client closed it")
        scene.run_ends(ended_by_client)
        assert scene.gets("ann")[1:] == [refused(b'"x"', ended_by_client)]
        assert scene.gets("bob")[1:] == []

    def test_a_prompt_that_comes_before_the_run_is_over_is_not_mixed_up_with_the_last(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        prompts(scene, "ann")
        scene.conversation.close_turns(now=0.0)
        scene.agent_gets()
        scene.gets("ann")
        scene.gets("bob")
        scene.client("bob", PROMPT % (b"9", b"[]"))
        assert scene.agent_gets() == []
        scene.agent(DONE % b"2")
        assert scene.agent_gets() == []
        assert scene.gets("ann") == []
        over = SessionEnded(key="s:main", reason="a client closed it")
        scene.run_ends(over)
        assert scene.gets("bob")[1:] == [refused(b"9", over)]
        scene.conversation.begin_run("own", last_id=1)
        prompts(scene, "ann")
        assert len(scene.agent_gets()) == 1

    def test_without_a_run_it_takes_nothing_away_from_the_next_one(
        self, dormant_scene: Scene
    ) -> None:
        scene = dormant_scene
        prompts(scene, "ann")
        scene.conversation.close_turns(now=0.0)
        assert scene.gets("ann") == [STOPPED % b"1"]
        scene.conversation.begin_run("own", last_id=1)
        prompts(scene, "ann")
        assert scene.agent_gets() == [SENT % (b"2", b"[]")]


class TestAgentsEnd:
    @pytest.mark.requirement("turns.death-leaves-a-marker", "turns.prompts-are-never-repeated")
    def test_the_turn_fails_and_so_do_those_that_wait(self, open_scene: Scene) -> None:
        scene = open_scene
        prompts(scene, "ann", "bob")
        scene.agent_gets()
        scene.events()
        scene.run_ends(EXITED)
        assert scene.gets("ann") == [
            started(1, "g-1"),
            noticed(2, EXITED, in_turn=True),
            failed(3, "g-1", EXITED),
            refused(b"1", EXITED),
        ]
        assert scene.gets("bob")[-1] == refused(b"2", EXITED)
        assert scene.events() == [TurnChanged()]
        scene.conversation.begin_run("own", last_id=1)
        assert scene.agent_gets() == []

    def test_a_turn_whose_owner_was_answered_fails_no_more(self, open_scene: Scene) -> None:
        scene = open_scene
        prompts(scene, "ann")
        scene.client("ann", CANCEL)
        scene.wait(RULES.cancel_answer_s)
        scene.gets("ann")
        scene.run_ends(EXITED)
        [notice] = scene.reads("ann")
        assert notice["method"] == "_acprelay/notice"
        assert scene.conversation.is_idle
