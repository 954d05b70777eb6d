"""Permissions: who is asked, whose answer counts, and what everybody is told of the end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acprelay.routing.access import LOCAL
from acprelay.routing.asks import Asks
from acprelay.routing.attachment import Attachment
from acprelay.routing.audit import Decider, Decision
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.policy import Action, Policy, Rule
from acprelay.routing.publisher import Publisher
from acprelay.wire import peek, walk

ALL = 1 << 40
"""A limit that no test reaches."""

OPTIONS = (
    b'[{"optionId":"yes","name":"Yes","kind":"allow_once"},'
    b'{"optionId":"ever","name":"Always","kind":"allow_always"},'
    b'{"optionId":"no","name":"No","kind":"reject_once"}]'
)
ASK = (
    b'{"id":%b,"method":"session/request_permission","params":{"sessionId":"own",'
    b'"toolCall":{"toolCallId":"call"},"options":' + OPTIONS + b"}}"
)
ASKED = (
    b'{"id":"g-%d","method":"session/request_permission","params":{"sessionId":"s:main",'
    b'"toolCall":{"toolCallId":"call"},"options":'
    + OPTIONS
    + b',"_meta":{"acprelay":{"generation":"g"}}}}'
)
SELECT = b'{"id":%b,"result":{"outcome":{"outcome":"selected","optionId":"%b"}}}'
CANCEL = b'{"id":%b,"result":{"outcome":{"outcome":"cancelled"}}}'
ERROR = b'{"id":%b,"error":{"code":-32601,"message":"no"}}'
CLOSED = b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":"g-%d"}}'
SETTLED = (
    b'{"jsonrpc":"2.0","method":"_acprelay/permission_settled","params":{"sessionId":"s:main",'
    b'"ask":"g-%d","toolCallId":"call",%b,"_meta":{"acprelay":{"generation":"g","seq":%d}}}}'
)
CANCELLED = b'{"jsonrpc":"2.0","id":%b,"result":{"outcome":{"outcome":"cancelled"}}}'
SELECTED = b'{"jsonrpc":"2.0","id":%b,"result":{"outcome":{"outcome":"selected","optionId":"%b"}}}'
BY_CANCEL = b'"outcome":"cancelled","by":"cancel"'
BY_CLIENT = b'"outcome":"selected","by":"client","optionId":"yes"'

IDS = [b"0", b"1", b'"1"', b"1.0", b'"\\u0031"', b"null", b'"\\ud83d"']


class Scene:
    """A broker whose peers a test plays. Ann owns the turn; nobody is there yet."""

    def __init__(self, policy: Policy = Policy(), *, most_open: int = 256) -> None:  # noqa: B008 - a value
        self.log = MemoryLog(generation="g", history_bytes=ALL)
        self.publisher = Publisher(public_id="s:main", log=self.log)
        self.publisher.open_turn()
        self.agent_got: list[bytes] = []
        self.asks = Asks(
            prefix="g",
            publisher=self.publisher,
            to_agent=self.agent_got.append,
            policy=policy,
            agent="coder",
            role="main",
            cwd="/home/me",
            permission_s=60.0,
            elicitation_s=30.0,
            most_open=most_open,
        )
        self.now = 0.0
        self.turn: str | None = "t1"
        self.owner: str | None = "ann"
        self.is_cancelling = False
        self.known_requests: dict[tuple[str, bytes], bytes] = {}

    def join(self, *names: str) -> Scene:
        """Clients attach, at the head of the log."""
        for name in names:
            self.publisher.flush()
            attachment = Attachment(
                id=name,
                secret="",
                session_id="s:main",
                log=self.log,
                cursor=self.log.head,
                principal=LOCAL.id,
                grants=LOCAL.grants,
            )
            self.publisher.attachments[name] = attachment
            self.asks.attached(name)
        return self

    def lose(self, name: str) -> None:
        """A connection is lost."""
        self.publisher.absent[name] = self.publisher.attachments.pop(name)

    def adopt(self, name: str, *, after: int | None = None) -> None:
        """A client comes back, and may not have seen all."""
        attachment = self.publisher.absent.pop(name)
        if after is not None:
            attachment.go_back(after, None)
        self.publisher.attachments[name] = attachment
        self.asks.attached(name)

    def give_up(self, name: str) -> None:
        """A client will not come back."""
        self.publisher.attachments.pop(name, None)
        self.publisher.absent.pop(name, None)
        self.asks.left(name)

    def ask(self, line: bytes) -> None:
        """The agent asks."""
        self.asks.receive(
            peek(line),
            now=self.now,
            turn=self.turn,
            owner=self.owner,
            is_cancelling=self.is_cancelling,
            own_session_id="own",
            client_request=lambda name, request_id: self.known_requests.get((name, request_id)),
        )

    def answer(self, name: str, line: bytes) -> bool:
        """A client answers."""
        return self.asks.answer(name, peek(line), now=self.now)

    def agent_gets(self) -> list[bytes]:
        """What the agent is told now."""
        got = self.agent_got[:]
        self.agent_got.clear()
        return got

    def gets(self, name: str) -> list[bytes]:
        """What a client is written now, message by message."""
        self.publisher.flush()
        attachment = self.publisher.find(name)
        assert attachment is not None
        blob = b"".join(attachment.take(ALL))
        return [blob[start:stop] for _, start, stop in walk(blob)]

    def decision(self) -> Decision:
        """The one decision that was made."""
        [decision] = self.asks.take_decisions()
        return decision


@pytest.fixture
def scene() -> Scene:
    """Nobody is there yet."""
    return Scene()


@pytest.fixture
def asked(scene: Scene) -> Scene:
    """Ann and Bob have been asked."""
    scene.join("ann", "bob").ask(ASK % b"0")
    assert scene.gets("ann") == scene.gets("bob") == [ASKED % 1]
    return scene


def refusal(line: bytes) -> tuple[object, int]:
    answer = json.loads(line)
    return answer["id"], answer["error"]["code"]


class TestAsking:
    @pytest.mark.requirement(
        "permissions.all-who-may-approve-are-asked", "identity.ask-ids-are-shared"
    )
    def test_every_client_is_asked_under_the_same_id(self, scene: Scene) -> None:
        scene.join("ann", "bob", "cat").ask(ASK % b"0")
        for name in ("ann", "bob", "cat"):
            assert scene.gets(name) == [ASKED % 1]
        assert scene.agent_gets() == []

    def test_the_owner_of_the_turn_does_not_matter(self, scene: Scene) -> None:
        scene.owner = scene.turn = None
        scene.join("ann", "bob").ask(ASK % b"0")
        assert scene.gets("ann") == scene.gets("bob") == [ASKED % 1]

    @pytest.mark.requirement(
        "permissions.asks-wait-with-nobody-attached", "permissions.asked-once-on-attach"
    )
    def test_with_nobody_there_it_waits_and_who_comes_is_asked_once(self, scene: Scene) -> None:
        scene.ask(ASK % b"0")
        assert scene.agent_gets() == []
        scene.join("ann", "bob")
        scene.asks.attached("ann")
        assert scene.gets("ann") == scene.gets("bob") == [ASKED % 1]
        assert scene.answer("bob", SELECT % (b'"g-1"', b"yes"))
        assert scene.agent_gets() == [SELECT % (b"0", b"yes")]

    def test_who_comes_is_asked_in_the_order_of_asking(self, scene: Scene) -> None:
        scene.ask(ASK % b"0")
        scene.ask(ASK % b"1")
        assert scene.join("ann").gets("ann") == [ASKED % 1, ASKED % 2]

    def test_an_ask_comes_after_what_it_is_about(self, scene: Scene) -> None:
        scene.join("ann")
        for n in (1, 2):
            scene.publisher.publish_update(b'{"n":%d}' % n)
            scene.ask(ASK % b"0")
        kinds = [json.loads(message)["method"] for message in scene.gets("ann")]
        assert kinds == ["session/update", "session/request_permission"] * 2

    def test_only_ids_the_session_and_the_stamp_change_in_an_ask(self, scene: Scene) -> None:
        scene.join("ann").ask(
            b' {"z":1.0, "params":{"_meta":{"acprelay":1,"x":null}, "sessionId" : "own",'
            b'"requestId":2,"options":[{"optionId":"a","sessionId":"own"}]},'
            b'"method":"session/request_permission","id":0} '
        )
        assert scene.gets("ann") == [
            b' {"z":1.0, "params":{"_meta":{"acprelay":{"generation":"g"},"x":null}, '
            b'"sessionId" : "s:main","requestId":2,'
            b'"options":[{"optionId":"a","sessionId":"own"}]},'
            b'"method":"session/request_permission","id":"g-1"} '
        ]

    @pytest.mark.requirement(
        "identity.sub-agents-have-the-public-id", "identity.sub-agents-keep-their-id"
    )
    def test_a_sub_agents_session_id_is_kept_in_the_stamp(self, scene: Scene) -> None:
        scene.join("ann").ask((ASK % b"0").replace(b'"own"', b'"own/\\ud83d"'))
        [message] = scene.gets("ann")
        params = json.loads(message)["params"]
        assert params["sessionId"] == "s:main"
        assert params["_meta"]["acprelay"] == {
            "generation": "g",
            "agentSessionId": "own/\ud83d",
        }

    @pytest.mark.parametrize(
        "options",
        [
            b"",
            b',"options":null',
            b',"options":[]',
            b',"options":{}',
            b',"options":[{"optionId":1},{"name":"x"},"yes",null]',
            b',"options":[{"optionId":"yes","size":%b}]' % (b"9" * 5000),
        ],
    )
    def test_without_an_option_that_could_be_chosen_nobody_is_asked(
        self, scene: Scene, options: bytes
    ) -> None:
        scene.join("ann").ask(
            b'{"id":"q","method":"session/request_permission","params":{"sessionId":"own"%b}}'
            % options
        )
        assert [refusal(line) for line in scene.agent_gets()] == [("q", -32602)]
        assert scene.gets("ann") == []
        assert scene.asks.take_decisions() == []

    @pytest.mark.parametrize("params", [b"null", b"[]", b"[{}]"])
    def test_a_permission_whose_params_are_no_object_is_refused(
        self, scene: Scene, params: bytes
    ) -> None:
        scene.ask(b'{"id":7,"method":"session/request_permission","params":%b}' % params)
        assert [refusal(line) for line in scene.agent_gets()] == [(7, -32602)]

    @pytest.mark.requirement("limits.open-asks")
    def test_more_asks_than_may_be_open_are_refused(self) -> None:
        scene = Scene(most_open=2).join("ann")
        for agent_id in (b"0", b"1", b"2"):
            scene.ask(ASK % agent_id)
        assert [refusal(line) for line in scene.agent_gets()] == [(2, -32044)]
        assert scene.asks.count == 2
        assert scene.answer("ann", SELECT % (b'"g-1"', b"yes"))
        scene.agent_gets()
        scene.ask(ASK % b"2")
        assert scene.agent_gets() == []

    def test_it_is_open_until_it_is_answered(self, scene: Scene) -> None:
        history = [scene.asks.is_open]
        scene.join("ann").ask(ASK % b"0")
        history.append(scene.asks.is_open)
        scene.answer("ann", SELECT % (b'"g-1"', b"no"))
        history.append(scene.asks.is_open)
        assert history == [False, True, False]

    def test_ids_of_different_brokers_differ(self) -> None:
        first, second = Scene(), Scene()
        for scene in (first, second):
            scene.join("ann").ask(ASK % b"0")
        assert not first.answer("ann", SELECT % (b'"h-1"', b"yes"))


class TestAnswering:
    @pytest.mark.requirement("identity.ids-come-back-as-sent")
    @pytest.mark.parametrize("agent_id", IDS)
    def test_the_answer_reaches_the_agent_byte_for_byte_under_its_own_id(
        self, scene: Scene, agent_id: bytes
    ) -> None:
        scene.join("ann").ask(ASK % agent_id)
        said = b'{"x":1.0, "result" : {"outcome":{"optionId":"y\\u0065s","outcome":"selected"}'
        assert scene.answer("ann", said + b',"_meta":{"a":1}},"id":"g-1"} ')
        assert scene.agent_gets() == [said + b',"_meta":{"a":1}},"id":%b} ' % agent_id]

    @pytest.mark.requirement("permissions.first-valid-answer-wins")
    def test_the_first_valid_answer_wins(self, asked: Scene) -> None:
        assert asked.answer("bob", SELECT % (b'"g-1"', b"no"))
        assert not asked.answer("ann", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == [SELECT % (b"0", b"no")]

    @pytest.mark.requirement("permissions.losers-are-told", "permissions.outcomes-are-marked")
    def test_the_others_are_told_and_then_everybody_how_it_ended(self, asked: Scene) -> None:
        asked.answer("bob", SELECT % (b'"g-1"', b"yes"))
        assert asked.gets("ann") == [CLOSED % 1, SETTLED % (1, BY_CLIENT, 1)]
        assert asked.gets("bob") == [SETTLED % (1, BY_CLIENT, 1)]

    def test_the_end_stands_in_the_log_before_what_the_agent_does_next(self, asked: Scene) -> None:
        asked.publisher.publish_update(b"1")
        asked.answer("bob", SELECT % (b'"g-1"', b"yes"))
        asked.publisher.publish_update(b"2")
        methods = [json.loads(message)["method"] for message in asked.gets("bob")]
        assert methods == ["session/update", "_acprelay/permission_settled", "session/update"]

    @pytest.mark.requirement("permissions.settled-asks-stay-undelivered")
    def test_an_ask_settled_before_it_was_delivered_is_never_delivered(self, scene: Scene) -> None:
        scene.join("ann", "bob").ask(ASK % b"0")
        assert scene.gets("ann") == [ASKED % 1]
        scene.answer("ann", SELECT % (b'"g-1"', b"yes"))
        assert scene.gets("bob") == [SETTLED % (1, BY_CLIENT, 1)]

    @pytest.mark.requirement("identity.answers-count-from-the-asked")
    def test_who_was_not_asked_cannot_answer(self, asked: Scene) -> None:
        assert not asked.answer("eve", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == []

    @pytest.mark.parametrize("unknown", [b'"g-2"', b"0", b'"0"', b"1", b"null", b'"g-1 "'])
    def test_an_answer_to_what_was_not_asked_reaches_nobody(
        self, asked: Scene, unknown: bytes
    ) -> None:
        assert not asked.answer("ann", SELECT % (unknown, b"yes"))
        assert asked.agent_gets() == []

    def test_asks_whose_ids_look_alike_are_answered_one_by_one(self, scene: Scene) -> None:
        scene.join("ann")
        for agent_id in IDS:
            scene.ask(ASK % agent_id)
        for n in range(len(IDS), 0, -1):
            assert scene.answer("ann", SELECT % (b'"g-%d"' % n, b"yes"))
        assert scene.agent_gets() == [SELECT % (agent_id, b"yes") for agent_id in reversed(IDS)]

    @pytest.mark.parametrize("option_id", [b"yes-again", b"y" * 4096])
    def test_an_option_is_chosen_however_long_its_id_is(
        self, scene: Scene, option_id: bytes
    ) -> None:
        scene.join("ann")
        for n in (1, 2):
            scene.ask((ASK % b"0").replace(b'"yes"', b'"%b"' % option_id))
            assert scene.answer("ann", SELECT % (b'"g-%d"' % n, option_id))
        assert scene.agent_gets() == [SELECT % (b"0", option_id)] * 2
        scene.ask(ASK % b"0")
        assert scene.answer("ann", SELECT % (b'"g-3"', option_id))
        assert scene.agent_gets() == []

    def test_an_agent_that_uses_an_open_id_again_has_two_asks(self, scene: Scene) -> None:
        scene.join("ann").ask(ASK % b"0")
        scene.ask(ASK % b"0")
        assert scene.answer("ann", SELECT % (b'"g-2"', b"no"))
        assert scene.answer("ann", SELECT % (b'"g-1"', b"yes"))
        assert scene.agent_gets() == [SELECT % (b"0", b"no"), SELECT % (b"0", b"yes")]


INVALID = [
    b'"result":{"outcome":{"outcome":"selected","optionId":"YES"}}',
    b'"result":{"outcome":{"outcome":"selected","optionId":"\\ud83d"}}',
    b'"result":{"outcome":{"outcome":"selected","optionId":1}}',
    b'"result":{"outcome":{"outcome":"selected","optionId":null}}',
    b'"result":{"outcome":{"outcome":"selected"}}',
    b'"result":{"outcome":{"outcome":"selected","optionId":"yes","optionId":"no"}}',
    b'"result":{"outcome":{"outcome":"maybe","optionId":"yes"}}',
    b'"result":{"outcome":{"optionId":"yes"}}',
    b'"result":{"outcome":"selected","optionId":"yes"}',
    b'"result":{"outcome":null}',
    b'"result":{}',
    b'"result":null',
    b'"result":"yes"',
]


class TestInvalidAnswers:
    @pytest.mark.requirement("permissions.only-offered-options-count")
    @pytest.mark.parametrize("result", INVALID)
    def test_what_was_not_offered_is_refused_and_told_to_that_client_alone(
        self, asked: Scene, result: bytes
    ) -> None:
        assert asked.answer("ann", b'{"id":"g-1",%b}' % result)
        assert asked.agent_gets() == []
        [message] = asked.gets("ann")
        notice: dict[str, Any] = json.loads(message)
        assert notice["method"] == "_acprelay/notice"
        assert notice["params"]["sessionId"] == "s:main"
        assert notice["params"]["ask"] == "g-1"
        assert notice["params"]["code"] == "invalid_params"
        assert notice["params"]["message"].startswith("cannot ")
        assert notice["params"]["hint"]
        assert notice["params"]["_meta"] == {"acprelay": {"generation": "g"}}
        assert asked.gets("bob") == []
        assert asked.answer("bob", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == [SELECT % (b"0", b"yes")]

    def test_it_was_the_only_answer_of_that_client(self, asked: Scene) -> None:
        asked.answer("ann", SELECT % (b'"g-1"', b"other"))
        assert not asked.answer("ann", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == []

    def test_who_has_answered_is_not_told_to_close_it(self, asked: Scene) -> None:
        asked.answer("ann", SELECT % (b'"g-1"', b"other"))
        asked.gets("ann")
        asked.answer("bob", SELECT % (b'"g-1"', b"yes"))
        assert asked.gets("ann") == [SETTLED % (1, BY_CLIENT, 1)]


class TestAbstentions:
    @pytest.mark.requirement("permissions.errors-are-abstentions")
    def test_an_error_is_no_decision(self, asked: Scene) -> None:
        assert asked.answer("ann", ERROR % b'"g-1"')
        assert asked.agent_gets() == asked.gets("ann") == asked.gets("bob") == []
        assert asked.answer("bob", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == [SELECT % (b"0", b"yes")]

    def test_when_all_abstain_by_errors_it_keeps_waiting(self, asked: Scene) -> None:
        asked.answer("ann", ERROR % b'"g-1"')
        asked.answer("bob", ERROR % b'"g-1"')
        assert asked.agent_gets() == []
        assert asked.join("cat").gets("cat") == [ASKED % 1]
        asked.answer("cat", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == [SELECT % (b"0", b"yes")]

    @pytest.mark.parametrize("first", [CANCEL, ERROR])
    def test_cancelled_counts_once_everybody_abstains(self, asked: Scene, first: bytes) -> None:
        other = ERROR if first == CANCEL else CANCEL
        asked.answer("ann", first % b'"g-1"')
        assert asked.agent_gets() == []
        asked.answer("bob", other % b'"g-1"')
        assert asked.agent_gets() == [CANCEL % b"0"]
        by = b'"outcome":"cancelled","by":"client"'
        assert asked.gets("ann") == asked.gets("bob") == [SETTLED % (1, by, 1)]

    def test_an_invalid_answer_lets_an_earlier_cancelled_count(self, asked: Scene) -> None:
        asked.answer("ann", CANCEL % b'"g-1"')
        asked.answer("bob", SELECT % (b'"g-1"', b"other"))
        assert asked.agent_gets() == [CANCEL % b"0"]

    def test_of_several_that_cancel_the_first_one_is_quoted(self, asked: Scene) -> None:
        asked.answer("bob", CANCEL % b'"g-1"')
        asked.answer("ann", (CANCEL % b'"g-1"').replace(b"}}}", b'},"x":1}}'))
        assert asked.agent_gets() == [CANCEL % b"0"]
        assert asked.decision().client == "bob"

    def test_a_decision_outweighs_cancelled(self, asked: Scene) -> None:
        asked.answer("ann", CANCEL % b'"g-1"')
        asked.answer("bob", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == [SELECT % (b"0", b"yes")]

    def test_the_only_client_cancels_at_once_in_its_own_words(self, scene: Scene) -> None:
        scene.join("ann").ask(ASK % b"0")
        said = b'{"id":%b, "result":{"outcome":{"outcome":"cancelled"},"_meta":{"x":1.0}}}'
        scene.answer("ann", said % b'"g-1"')
        assert scene.agent_gets() == [said % b"0"]
        assert scene.decision().client == "ann"

    def test_who_leaves_for_good_abstains(self, asked: Scene) -> None:
        asked.answer("ann", CANCEL % b'"g-1"')
        asked.give_up("bob")
        assert asked.agent_gets() == [CANCEL % b"0"]

    def test_when_all_leave_it_waits_for_the_next_one(self, asked: Scene) -> None:
        asked.give_up("ann")
        asked.give_up("bob")
        asked.asks.left("bob")
        assert asked.agent_gets() == []
        assert asked.join("cat").gets("cat") == [ASKED % 1]

    def test_who_has_left_cannot_answer(self, asked: Scene) -> None:
        asked.give_up("ann")
        assert not asked.answer("ann", SELECT % (b'"g-1"', b"yes"))


class TestAbsence:
    def test_a_lost_connection_alone_is_no_abstention(self, asked: Scene) -> None:
        asked.lose("bob")
        asked.answer("ann", CANCEL % b'"g-1"')
        assert asked.agent_gets() == []

    def test_who_comes_back_is_not_asked_again(self, asked: Scene) -> None:
        asked.lose("bob")
        asked.adopt("bob")
        assert asked.gets("bob") == []
        assert asked.answer("bob", SELECT % (b'"g-1"', b"yes"))

    def test_who_may_not_have_seen_it_is_given_it_again_under_its_id(self, asked: Scene) -> None:
        asked.lose("bob")
        asked.adopt("bob", after=0)
        assert asked.gets("bob") == [ASKED % 1]

    def test_what_came_meanwhile_is_asked_on_the_return_once(self, asked: Scene) -> None:
        asked.lose("bob")
        asked.ask(ASK % b"1")
        asked.adopt("bob")
        assert asked.gets("bob") == [ASKED % 2]
        asked.lose("bob")
        asked.adopt("bob")
        assert asked.gets("bob") == []

    def test_what_was_settled_meanwhile_is_closed_on_the_return(self, asked: Scene) -> None:
        asked.lose("bob")
        asked.answer("ann", SELECT % (b'"g-1"', b"yes"))
        asked.adopt("bob", after=0)
        assert asked.gets("bob") == [CLOSED % 1, SETTLED % (1, BY_CLIENT, 1)]

    def test_who_has_answered_is_not_asked_again_on_the_return(self, asked: Scene) -> None:
        asked.answer("bob", ERROR % b'"g-1"')
        asked.lose("bob")
        asked.adopt("bob", after=0)
        assert asked.gets("bob") == []


class TestDeadline:
    @pytest.mark.requirement("permissions.deadline-refuses")
    def test_it_refuses_with_the_option_that_rejects_once(self, asked: Scene) -> None:
        assert asked.asks.deadline_at == 60.0
        asked.asks.tick(59.9)
        assert asked.agent_gets() == []
        asked.asks.tick(60.0)
        assert asked.agent_gets() == [SELECTED % (b"0", b"no")]
        by = b'"outcome":"selected","by":"deadline","optionId":"no"'
        assert asked.gets("ann") == asked.gets("bob") == [CLOSED % 1, SETTLED % (1, by, 1)]
        assert asked.asks.deadline_at is None

    @pytest.mark.requirement("permissions.deadline-refuses")
    def test_it_cancels_where_no_option_rejects_once(self, scene: Scene) -> None:
        scene.join("ann").ask((ASK % b"0").replace(b"reject_once", b"reject_always"))
        scene.asks.tick(60.0)
        assert scene.agent_gets() == [CANCELLED % b"0"]

    def test_an_option_with_a_lone_surrogate_is_chosen_as_it_was_offered(
        self, scene: Scene
    ) -> None:
        scene.join("ann").ask((ASK % b"0").replace(b'"no"', b'"\\ud83d"'))
        scene.asks.tick(60.0)
        assert scene.agent_gets() == [SELECTED % (b"0", b"\\ud83d")]
        by = b'"outcome":"selected","by":"deadline","optionId":"\\ud83d"'
        assert scene.gets("ann") == [SETTLED % (1, by, 1)]
        assert json.loads(scene.decision().encode())["optionId"] == "\ud83d"

    def test_the_next_one_is_that_of_the_oldest(self, scene: Scene) -> None:
        scene.ask(ASK % b"0")
        scene.now = 5.0
        scene.ask(ASK % b"1")
        assert scene.asks.deadline_at == 60.0
        scene.asks.tick(60.0)
        assert scene.agent_gets() == [SELECTED % (b"0", b"no")]
        assert scene.asks.deadline_at == 65.0

    def test_it_runs_while_nobody_is_there(self, scene: Scene) -> None:
        scene.ask(ASK % b"0")
        scene.asks.tick(60.0)
        assert scene.agent_gets() == [SELECTED % (b"0", b"no")]
        assert scene.join("ann").gets("ann") == []

    def test_an_answer_after_it_is_late(self, asked: Scene) -> None:
        asked.asks.tick(60.0)
        asked.agent_gets()
        assert not asked.answer("ann", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == []


class TestEnds:
    @pytest.mark.requirement("turns.cancel-answers-open-asks", "turns.cancel-closes-dialogs")
    def test_a_cancelled_turn_closes_what_is_open(self, asked: Scene) -> None:
        asked.asks.cancel(now=1.0)
        assert asked.agent_gets() == [CANCELLED % b"0"]
        expected = [CLOSED % 1, SETTLED % (1, BY_CANCEL, 1)]
        assert asked.gets("ann") == asked.gets("bob") == expected
        asked.asks.cancel(now=2.0)
        assert asked.agent_gets() == []

    def test_a_permission_asked_for_outside_of_a_turn_is_cancelled_too(self, scene: Scene) -> None:
        scene.turn = None
        scene.ask(ASK % b"0")
        scene.asks.cancel(now=1.0)
        assert scene.agent_gets() == [CANCELLED % b"0"]

    @pytest.mark.requirement("turns.cancel-answers-open-asks")
    def test_what_is_asked_while_the_turn_is_cancelled_is_answered_and_never_shown(
        self, scene: Scene
    ) -> None:
        scene.is_cancelling = True
        scene.join("ann").ask(ASK % b"0")
        assert scene.agent_gets() == [CANCELLED % b"0"]
        assert scene.gets("ann") == [SETTLED % (1, BY_CANCEL, 1)]
        assert scene.decision().by is Decider.CANCEL
        assert not scene.asks.is_open

    def test_a_withdrawn_ask_is_closed_and_answered(self, asked: Scene) -> None:
        asked.asks.withdraw(b"0", now=1.0)
        assert [refusal(line) for line in asked.agent_gets()] == [(0, -32800)]
        by = b'"outcome":"cancelled","by":"agent"'
        assert asked.gets("ann") == asked.gets("bob") == [CLOSED % 1, SETTLED % (1, by, 1)]
        assert asked.decision().by is Decider.AGENT_WITHDREW

    @pytest.mark.parametrize("unknown", [b'"0"', b"0.0", b"1", b""])
    def test_withdrawing_what_was_not_asked_changes_nothing(
        self, asked: Scene, unknown: bytes
    ) -> None:
        asked.asks.withdraw(unknown, now=1.0)
        assert asked.agent_gets() == []
        assert asked.asks.is_open

    def test_withdrawing_an_id_closes_every_ask_that_has_it(self, scene: Scene) -> None:
        for agent_id in (b"0", b"1", b"0"):
            scene.ask(ASK % agent_id)
        scene.asks.withdraw(b"0", now=1.0)
        assert [refusal(line) for line in scene.agent_gets()] == [(0, -32800)] * 2
        assert scene.asks.count == 1

    @pytest.mark.requirement("turns.death-closes-dialogs")
    def test_a_lost_agent_is_told_nothing_and_dialogs_close(self, asked: Scene) -> None:
        asked.asks.close(now=1.0)
        assert asked.agent_gets() == []
        by = b'"outcome":"cancelled","by":"agent"'
        assert asked.gets("ann") == asked.gets("bob") == [CLOSED % 1, SETTLED % (1, by, 1)]
        assert asked.decision().by is Decider.AGENT_GONE
        assert not asked.answer("ann", SELECT % (b'"g-1"', b"yes"))
        assert asked.agent_gets() == []


ELICIT = b'{"id":0,"method":"elicitation/create","params":{"requestId":%b,"sessionId":"own"}}'
ELICITED = (
    b'{"id":"g-1","method":"elicitation/create","params":{"requestId":%b,"sessionId":"s:main",'
    b'"_meta":{"acprelay":{"generation":"g"}}}}'
)
ANSWER = b'{"id":%b, "result":{"action":"accept","content":{"a":1.0}}}'
GIVEN_UP = b'{"jsonrpc":"2.0","id":0,"result":{"action":"cancel"}}'


class TestElicitation:
    @pytest.mark.requirement(
        "elicitation.goes-to-the-turns-owner", "identity.answers-count-from-the-asked"
    )
    def test_the_owner_of_the_turn_alone_is_asked(self, scene: Scene) -> None:
        scene.known_requests = {("ann", b"7"): b"1"}
        scene.join("bob", "ann").ask(ELICIT % b"7")
        scene.join("cat")
        assert scene.gets("ann") == [ELICITED % b"1"]
        assert scene.gets("bob") == scene.gets("cat") == []
        assert not scene.answer("bob", ANSWER % b'"g-1"')
        assert scene.answer("ann", ANSWER % b'"g-1"')
        assert scene.agent_gets() == [ANSWER % b"0"]
        assert scene.asks.take_decisions() == []
        assert scene.log.head == 0

    def test_an_error_is_an_answer(self, scene: Scene) -> None:
        scene.join("ann", "bob").ask(ELICIT % b"7")
        assert scene.answer("ann", ERROR % b'"g-1"')
        assert scene.agent_gets() == [ERROR % b"0"]

    def test_it_names_the_request_as_its_client_knows_it(self, scene: Scene) -> None:
        scene.known_requests = {("ann", b"7"): b'"mine"', ("bob", b"8"): b'"his"'}
        scene.join("ann", "bob").ask(ELICIT % b"7")
        assert scene.gets("ann") == [ELICITED % b'"mine"']

    @pytest.mark.parametrize("unknown", [b"8", b'"7"', b"7.0", b"null"])
    def test_what_is_no_request_of_that_client_is_not_named(
        self, scene: Scene, unknown: bytes
    ) -> None:
        scene.known_requests = {("ann", b"7"): b'"mine"', ("bob", b"8"): b'"his"'}
        scene.join("ann", "bob").ask(ELICIT % unknown)
        assert scene.gets("ann") == [ELICITED % b"null"]

    def test_it_need_not_name_a_request(self, scene: Scene) -> None:
        scene.join("ann").ask(b'{"id":0,"method":"elicitation/create","params":{"message":"?"}}')
        [asked] = scene.gets("ann")
        assert b"requestId" not in asked

    def test_an_absent_owner_is_asked_on_the_return(self, scene: Scene) -> None:
        scene.known_requests = {("ann", b"7"): b"1"}
        scene.join("ann", "bob").lose("ann")
        scene.ask(ELICIT % b"7")
        assert scene.gets("bob") == []
        scene.adopt("ann")
        scene.asks.attached("ann")
        assert scene.gets("ann") == [ELICITED % b"1"]

    @pytest.mark.requirement("elicitation.else-waits-and-is-cancelled")
    @pytest.mark.parametrize("owner", [None, "ann"])
    def test_with_no_owner_to_ask_it_waits_for_its_deadline(
        self, scene: Scene, owner: str | None
    ) -> None:
        scene.owner = owner
        scene.join("bob").ask(ELICIT % b"7")
        assert scene.gets("bob") == scene.agent_gets() == []
        assert scene.asks.deadline_at == 30.0
        scene.asks.tick(30.0)
        assert scene.agent_gets() == [GIVEN_UP]
        assert scene.gets("bob") == []

    def test_it_is_given_up_at_its_deadline_when_its_owner_has_left(self, scene: Scene) -> None:
        scene.join("ann", "bob").ask(ELICIT % b"7")
        scene.give_up("ann")
        assert scene.gets("bob") == scene.agent_gets() == []
        scene.asks.tick(30.0)
        assert scene.agent_gets() == [GIVEN_UP]

    def test_a_deadline_closes_it_at_the_client(self, scene: Scene) -> None:
        scene.join("ann").ask(ELICIT % b"7")
        scene.gets("ann")
        scene.asks.tick(30.0)
        assert scene.gets("ann") == [CLOSED % 1]

    def test_a_cancelled_turn_gives_it_up(self, scene: Scene) -> None:
        scene.join("ann").ask(ELICIT % b"7")
        scene.asks.cancel(now=1.0)
        assert scene.agent_gets() == [GIVEN_UP]
        assert scene.gets("ann") == []

    def test_what_arrives_while_the_turn_is_cancelled_is_given_up(self, scene: Scene) -> None:
        scene.is_cancelling = True
        scene.join("ann").ask(ELICIT % b"7")
        assert scene.agent_gets() == [GIVEN_UP]
        assert scene.gets("ann") == []


OTHER = b'{"id":0,"method":"_vendor/ask","params":{"sessionId":"own","requestId":7}}'
OTHER_ASKED = (
    b'{"id":"g-1","method":"_vendor/ask","params":{"sessionId":"s:main","requestId":7,'
    b'"_meta":{"acprelay":{"generation":"g"}}}}'
)


class TestOtherRequests:
    @pytest.mark.parametrize("method", [b"fs/read_text_file", b"fs/x", b"terminal/create"])
    @pytest.mark.parametrize("is_cancelling", [False, True])
    def test_what_the_relay_has_not_promised_is_refused(
        self, scene: Scene, method: bytes, is_cancelling: bool
    ) -> None:
        scene.is_cancelling = is_cancelling
        scene.join("ann").ask(b'{"id":9,"method":"%b","params":{"sessionId":"own"}}' % method)
        assert [refusal(line) for line in scene.agent_gets()] == [(9, -32601)]
        assert scene.gets("ann") == []

    @pytest.mark.requirement("passing.unknown-asks-go-to-the-owner")
    def test_the_owner_of_the_turn_is_asked(self, scene: Scene) -> None:
        scene.known_requests = {("ann", b"7"): b"1"}
        scene.join("bob", "ann").ask(OTHER)
        scene.join("cat")
        assert scene.gets("ann") == [OTHER_ASKED]
        assert scene.gets("bob") == scene.gets("cat") == []
        assert not scene.answer("bob", ANSWER % b'"g-1"')
        assert scene.answer("ann", ANSWER % b'"g-1"')
        assert scene.agent_gets() == [ANSWER % b"0"]

    @pytest.mark.requirement("passing.unknown-asks-go-to-the-only-client")
    @pytest.mark.parametrize("owner", [None, "ann"])
    def test_without_the_owner_the_only_client_is_asked(
        self, scene: Scene, owner: str | None
    ) -> None:
        scene.owner = owner
        scene.join("bob").ask(OTHER)
        assert scene.gets("bob") == [OTHER_ASKED]

    @pytest.mark.requirement("passing.unknown-asks-are-refused-at-once")
    @pytest.mark.parametrize("names", [(), ("bob", "cat")])
    def test_with_nobody_to_choose_it_is_refused_at_once(
        self, scene: Scene, names: tuple[str, ...]
    ) -> None:
        scene.join(*names).ask(OTHER)
        assert [refusal(line) for line in scene.agent_gets()] == [(0, -32601)]
        assert not scene.asks.is_open

    @pytest.mark.parametrize("tail", [b"", b',"params":null', b',"params":[1.0]'])
    def test_one_without_an_object_passes_as_it_is(self, scene: Scene, tail: bytes) -> None:
        scene.join("ann").ask(b'{"id":0,"method":"\xc3\xa9"%b}' % tail)
        assert scene.gets("ann") == [b'{"id":"g-1","method":"\xc3\xa9"%b}' % tail]

    def test_it_has_no_deadline(self, scene: Scene) -> None:
        scene.join("ann").ask(OTHER)
        assert scene.asks.deadline_at is None
        scene.asks.tick(1e9)
        assert scene.agent_gets() == []

    @pytest.mark.parametrize("turn", ["t1", None])
    def test_only_one_of_the_turn_is_cancelled_with_it(
        self, scene: Scene, turn: str | None
    ) -> None:
        scene.turn = turn
        scene.join("ann").ask(OTHER)
        scene.asks.cancel(now=1.0)
        answers = [refusal(line) for line in scene.agent_gets()]
        assert answers == ([(0, -32800)] if turn else [])

    def test_what_arrives_while_the_turn_is_cancelled_is_refused(self, scene: Scene) -> None:
        scene.is_cancelling = True
        scene.join("ann").ask(OTHER)
        assert [refusal(line) for line in scene.agent_gets()] == [(0, -32800)]

    def test_a_lost_connection_changes_nothing(self, scene: Scene) -> None:
        scene.join("ann", "bob").ask(OTHER)
        scene.lose("ann")
        scene.adopt("ann")
        assert scene.gets("ann") == [OTHER_ASKED]
        assert scene.gets("bob") == scene.agent_gets() == []

    def test_the_only_one_left_is_asked_what_one_who_left_did_not_answer(
        self, scene: Scene
    ) -> None:
        scene.join("ann", "bob").ask(OTHER)
        scene.give_up("ann")
        assert scene.agent_gets() == []
        assert scene.gets("bob") == [OTHER_ASKED]
        assert scene.answer("bob", ANSWER % b'"g-1"')
        assert scene.agent_gets() == [ANSWER % b"0"]

    @pytest.mark.parametrize("others", [(), ("bob", "cat")])
    def test_with_nobody_to_choose_then_it_is_refused(
        self, scene: Scene, others: tuple[str, ...]
    ) -> None:
        scene.join("ann", *others).ask(OTHER)
        scene.give_up("ann")
        assert [refusal(line) for line in scene.agent_gets()] == [(0, -32601)]
        assert not scene.asks.is_open

    def test_a_withdrawn_one_is_closed_and_answered(self, scene: Scene) -> None:
        scene.join("ann").ask(OTHER)
        assert scene.gets("ann") == [OTHER_ASKED]
        scene.asks.withdraw(b"0", now=1.0)
        assert [refusal(line) for line in scene.agent_gets()] == [(0, -32800)]
        assert scene.gets("ann") == [CLOSED % 1]


REJECT_EDITS = Rule(action=Action.REJECT, name="no edits", kind=("edit",))
ALLOW_READS = Rule(action=Action.ALLOW, name="reads", kind=("read",))
POLICY = Policy(rules=(REJECT_EDITS, ALLOW_READS))
CALL = b'{"sessionUpdate":"tool_call","toolCallId":"call","kind":"%b","title":"T"}'


class TestPolicy:
    @pytest.mark.requirement("policy.answers-before-clients", "policy.decisions-are-audited")
    @pytest.mark.parametrize(
        ("kind", "option", "rule"),
        [(b"read", b"yes", "reads"), (b"edit", b"no", "no edits")],
    )
    def test_it_answers_before_anybody_is_asked(
        self, kind: bytes, option: bytes, rule: str
    ) -> None:
        scene = Scene(POLICY).join("ann")
        scene.asks.observe("tool_call", CALL % kind)
        scene.ask(ASK % b"0")
        assert scene.agent_gets() == [SELECTED % (b"0", option)]
        by = b'"outcome":"selected","by":"policy","optionId":"%b"' % option
        assert scene.gets("ann") == [SETTLED % (1, by, 1)]
        decision = scene.decision()
        assert (decision.by, decision.option, decision.verdict.rule) == (
            Decider.POLICY,
            option.decode(),
            rule,
        )

    @pytest.mark.requirement("policy.chooses-for-once")
    @pytest.mark.parametrize(
        ("kind", "offered", "kept"),
        [(b"read", b"allow_once", b"allow_always"), (b"edit", b"reject_once", b"reject_always")],
    )
    def test_where_the_option_for_once_is_not_offered_people_are_asked(
        self, kind: bytes, offered: bytes, kept: bytes
    ) -> None:
        scene = Scene(POLICY).join("ann")
        scene.asks.observe("tool_call", CALL % kind)
        scene.ask((ASK % b"0").replace(offered, kept))
        assert scene.agent_gets() == []
        assert len(scene.gets("ann")) == 1

    @pytest.mark.requirement("policy.answers-before-clients")
    def test_what_no_rule_is_about_is_asked(self) -> None:
        scene = Scene(POLICY).join("ann")
        scene.ask(ASK % b"0")
        assert scene.gets("ann") == [ASKED % 1]

    def test_an_update_of_another_kind_says_nothing_of_a_tool_call(self) -> None:
        scene = Scene(POLICY).join("ann")
        scene.asks.observe("plan", CALL % b"read")
        scene.ask(ASK % b"0")
        assert scene.gets("ann") == [ASKED % 1]

    @pytest.mark.requirement("policy.sees-the-merged-tool-call")
    def test_a_later_update_counts(self) -> None:
        scene = Scene(POLICY)
        scene.asks.observe("tool_call", CALL % b"read")
        update = b'{"sessionUpdate":"tool_call_update","toolCallId":"call","kind":"edit"}'
        scene.asks.observe("tool_call_update", update)
        scene.ask(ASK % b"0")
        assert scene.agent_gets() == [SELECTED % (b"0", b"no")]

    def test_the_next_agents_tool_calls_are_its_own(self) -> None:
        scene = Scene(POLICY).join("ann")
        scene.asks.observe("tool_call", CALL % b"read")
        scene.asks.close(now=1.0)
        scene.ask(ASK % b"0")
        assert scene.gets("ann") == [ASKED % 1]

    def test_a_turn_that_is_being_cancelled_comes_before_it(self) -> None:
        scene = Scene(POLICY)
        scene.is_cancelling = True
        scene.asks.observe("tool_call", CALL % b"read")
        scene.ask(ASK % b"0")
        assert scene.agent_gets() == [CANCELLED % b"0"]


class TestMarker:
    @pytest.mark.parametrize(
        ("tool_call", "told"),
        [
            (b'{"toolCallId":"a\\ud83d\\"b"}', 'a\ud83d"b'),
            (b'{"toolCallId":1}', None),
            (b'{"toolCallId":"a","toolCallId":"b"}', None),
            (b'"call"', None),
            (b"{}", None),
        ],
    )
    def test_it_names_the_tool_call_where_that_has_one_id(
        self, scene: Scene, tool_call: bytes, told: str | None
    ) -> None:
        scene.join("ann").ask((ASK % b"0").replace(b'{"toolCallId":"call"}', tool_call))
        scene.asks.cancel(now=1.0)
        assert json.loads(scene.gets("ann")[-1])["params"]["toolCallId"] == told


class TestAudit:
    def test_a_decision_says_who_decided_what_and_what_the_policy_says(self) -> None:
        scene = Scene(POLICY).join("ann")
        scene.now = 10.0
        scene.asks.observe("tool_call", CALL % b"delete")
        scene.ask(
            (ASK % b"0").replace(
                b'"call"}', b'"call","locations":[{"path":"/a"}],"rawInput":{"command":"rm"}}'
            )
        )
        scene.now = 12.5
        scene.answer("ann", SELECT % (b'"g-1"', b"ever"))
        decision = scene.decision()
        assert scene.asks.take_decisions() == []
        assert json.loads(decision.encode()) == {
            "at": 12.5,
            "askedAt": 10.0,
            "ask": "g-1",
            "sessionId": "s:main",
            "turn": "t1",
            "agent": "coder",
            "role": "main",
            "cwd": "/home/me",
            "toolCall": {
                "toolCallId": "call",
                "title": "T",
                "kind": "delete",
                "paths": ["/a"],
                "commands": ["rm"],
                "whole": True,
            },
            "policy": {
                "action": "ask",
                "rule": None,
                "reason": decision.verdict.reason,
            },
            "outcome": "selected",
            "optionId": "ever",
            "by": "client",
            "client": "ann",
        }

    def test_what_gave_nobody_an_option_is_cancelled(self, asked: Scene) -> None:
        asked.asks.close(now=1.0)
        entry = json.loads(asked.decision().encode())
        assert (entry["outcome"], entry["optionId"], entry["by"], entry["client"]) == (
            "cancelled",
            None,
            "agent-gone",
            None,
        )

    def test_an_entry_is_one_line_whatever_the_agent_writes(self) -> None:
        scene = Scene()
        call = b'{"sessionUpdate":"tool_call","toolCallId":"call","title":"a\\nb\\u2028\\ud83d"}'
        scene.asks.observe("tool_call", call)
        scene.ask(ASK % b"0")
        scene.asks.close(now=1.0)
        entry = scene.decision().encode()
        assert entry.isascii()
        assert len(entry.splitlines()) == 1
