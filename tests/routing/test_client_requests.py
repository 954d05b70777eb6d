"""Clients' requests to the agent, and the agent's answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.routing.conftest import ALL, ended, failed, refused, started

from acprelay.errors import AgentBackedUp, Forbidden, InvalidRequest
from acprelay.wire import peek

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
DONE = b'{"id":%b,"result":{"stopReason":"end_turn"}}'
BACKED_UP = AgentBackedUp(agent="coder", waiting=9, limit=8)

DEEP = b"[" * 5000 + b"]" * 5000

IDS = [b"0", b"1", b'"1"', b"1.0", b"1e0", b"-1", b'"\\u0031"', b'"\xc3\xa9"', b"null"]


class TestIds:
    @pytest.mark.requirement(
        "identity.requests-travel-under-minted-ids", "meta.clients-stamps-are-stripped"
    )
    @pytest.mark.requirement("meta.other-meta-passes", "passing.unknown-members")
    def test_a_prompt_reaches_the_agent_under_its_own_names(self, open_scene: Scene) -> None:
        open_scene.client(
            "ann",
            b'{"jsonrpc":"2.0", "params" : {"prompt":[{"text":"s:main"}],"sessionId":"s:main",'
            b'"_meta":{"acprelay":{"seq":1},"x":null}},"method":"session/prompt","z":1.0,"id":"p"}',
        )
        assert open_scene.agent_gets() == [
            b'{"jsonrpc":"2.0", "params" : {"prompt":[{"text":"s:main"}],"sessionId":"own",'
            b'"_meta":{"x":null}},"method":"session/prompt","z":1.0,"id":2}'
        ]

    def test_a_message_of_several_lines_reaches_the_agent_as_one(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{\r\n\t"id": 1,\n\t"method": "_x"\n}')
        assert open_scene.agent_gets() == [b'{  \t"id": 2, \t"method": "_x" }']

    @pytest.mark.requirement("identity.ids-come-back-as-sent", "identity.zero-is-an-id")
    @pytest.mark.parametrize("request_id", IDS)
    def test_an_answer_comes_back_under_the_id_that_was_sent(
        self, open_scene: Scene, request_id: bytes
    ) -> None:
        open_scene.client("ann", b'{"id":%b,"method":"_x"}' % request_id)
        open_scene.agent(b'{"id":2,"result":null}')
        assert open_scene.gets("ann") == [b'{"id":%b,"result":null}' % request_id]
        assert open_scene.gets("bob") == []

    @pytest.mark.requirement("identity.ids-come-back-as-sent")
    @pytest.mark.parametrize("request_id", IDS)
    def test_a_prompts_answer_does_too(self, open_scene: Scene, request_id: bytes) -> None:
        open_scene.client("ann", PROMPT % request_id)
        open_scene.agent(DONE % b"2")
        assert open_scene.gets("ann") == [started(1, "g-1"), ended(2, "g-1"), DONE % request_id]

    @pytest.mark.requirement("identity.ids-come-back-as-sent")
    def test_ids_that_look_alike_can_be_in_flight_together(self, open_scene: Scene) -> None:
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

    @pytest.mark.requirement("identity.requests-travel-under-minted-ids")
    def test_two_clients_with_the_same_id_each_get_their_own_answer(
        self, open_scene: Scene
    ) -> None:
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.client("bob", b'{"id":1,"method":"_x"}')
        open_scene.agent(b'{"id":3,"result":"bob\'s"}', b'{"id":2,"result":"ann\'s"}')
        assert open_scene.gets("ann") == [b'{"id":1,"result":"ann\'s"}']
        assert open_scene.gets("bob") == [b'{"id":1,"result":"bob\'s"}']

    def test_ids_that_the_relay_has_used_itself_are_kept_clear_of(self, scene: Scene) -> None:
        scene.join("ann")
        scene.conversation.begin_run("own", last_id=7)
        scene.client("ann", b'{"id":1,"method":"_x"}')
        assert scene.agent_gets() == [b'{"id":8,"method":"_x"}']


IN_USE = {
    "a request in flight": ([b'{"id":1,"method":"_x"}'], True),
    "a prompt at the agent": ([PROMPT % b"1"], True),
    "a prompt that waits": ([PROMPT % b"9", PROMPT % b"1"], True),
    "a request that is held": ([b'{"id":1,"method":"_x"}'], False),
    "a prompt that waits for a run": ([PROMPT % b"1"], False),
}


@pytest.mark.parametrize("later", [b'{"id":1,"method":"_y"}', PROMPT % b"1"])
@pytest.mark.parametrize("use", IN_USE)
def test_an_id_in_use_is_refused_and_nothing_is_sent(scene: Scene, use: str, later: bytes) -> None:
    earlier, is_served = IN_USE[use]
    scene.join("ann", "bob")
    if is_served:
        scene.conversation.begin_run("own", last_id=1)
    for said in earlier:
        scene.client("ann", said)
    scene.agent_gets()
    head = scene.log.head
    with pytest.raises(InvalidRequest, match="with id 1"):
        scene.client("ann", later)
    assert scene.agent_gets() == []
    assert scene.log.head == head
    scene.client("bob", later)
    scene.client("ann", later.replace(b'"id":1', b'"id":"1"'))


def test_an_id_may_be_used_again_once_it_is_answered(open_scene: Scene) -> None:
    for minted in (b"2", b"3"):
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.agent(b'{"id":%b,"result":%b}' % (minted, minted))
        assert open_scene.gets("ann") == [b'{"id":1,"result":%b}' % minted]


def test_an_id_used_again_is_not_answered_with_what_was_the_answer_before(
    open_scene: Scene,
) -> None:
    scene = open_scene
    scene.client("ann", b'{"id":1,"method":"_x"}')
    scene.agent(b'{"id":2,"result":"first"}')
    scene.gets("ann")
    scene.client("ann", b'{"id":1,"method":"_x"}')
    scene.loses("ann")
    place = scene.presence.locate("g:0")
    scene.presence.adopt("ann", "ann's", b"7", principal="local", after=place, pending=[b"1"])
    assert [each["id"] for each in scene.reads("ann")] == [7]
    scene.agent(b'{"id":3,"result":"second"}')
    assert scene.gets("ann") == [b'{"id":1,"result":"second"}']


@pytest.mark.parametrize("say", ["a prompt", "another request"])
def test_a_refused_request_leaves_the_earlier_ones_answer_to_come(
    open_scene: Scene, say: str
) -> None:
    open_scene.client("ann", b'{"id":1,"method":"_x"}')
    with pytest.raises(InvalidRequest):
        open_scene.client("ann", PROMPT % b"1" if say == "a prompt" else b'{"id":1,"method":"_y"}')
    open_scene.agent(b'{"id":2,"result":null}')
    assert open_scene.gets("ann") == [b'{"id":1,"result":null}']


class TestAnswers:
    @pytest.mark.requirement("order.answers-follow-their-updates", "order.late-updates-are-marked")
    def test_a_reply_never_overtakes_the_updates_before_it(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("ann", PROMPT % b"1")
        scene.agent(scene.said("a"), scene.said("b"))
        scene.agent(scene.said("c"), DONE % b"2", scene.said("after"))
        due = [
            started(1, "g-1"),
            scene.seen(2, "a"),
            scene.seen(3, "b"),
            scene.seen(4, "c"),
            ended(5, "g-1"),
            DONE % b"1",
            scene.seen(6, "after", in_turn=False),
        ]
        taken = []
        while messages := scene.gets("ann", limit=1):
            taken += messages
        assert taken == due
        assert scene.gets("bob") == due[:5] + due[6:]

    def test_an_error_comes_back_as_the_agent_wrote_it(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{"id":"p","method":"_x"}')
        open_scene.agent(b' {"error":{"code":-1, "message":"no","x":[1.0]},"y":null,"id":2} ')
        assert open_scene.gets("ann") == [
            b' {"error":{"code":-1, "message":"no","x":[1.0]},"y":null,"id":"p"} '
        ]

    @pytest.mark.requirement("identity.stray-answers-are-dropped")
    @pytest.mark.parametrize("late", [b"2", b"3", b'"2"', b"2.0", b"null"])
    def test_late_repeated_and_unknown_answers_are_dropped_and_counted(
        self, open_scene: Scene, late: bytes
    ) -> None:
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.agent(DONE % b"2")
        open_scene.gets("ann")
        open_scene.agent(DONE % late)
        open_scene.agent(DONE % late)
        assert open_scene.gets("ann") == []
        assert open_scene.gets("bob") == []
        assert open_scene.conversation.take_oddities().dropped_answers == 2

    @pytest.mark.parametrize(
        "answer",
        [
            b'{"id":2,"result":{},"error":{"code":1,"message":"no"}}',
            b'{"id":2,"result":{},"error":null}',
            b'{"jsonrpc":"2.0","id":2}',
            b'{"jsonrpc":"2.0","id":2,"x":1}',
            b'{"id":2,"result":{"sessionId":"own","sessionId":"own"}}',
            b'{"id":2,"result":{"cwd":"/caf\xe9"}}',
            b'{"id":2,"result":%b}' % DEEP,
        ],
    )
    def test_an_answer_that_cannot_be_relayed_is_an_error_for_whoever_waits(
        self, open_scene: Scene, answer: bytes
    ) -> None:
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.agent(answer, answer, DONE % b"2")
        [reply] = open_scene.reads("ann")
        assert (reply["id"], reply["error"]["code"]) == (1, -32023)
        assert reply["error"]["message"].startswith(
            "cannot use agent 'coder': it answered _x with a malformed message (cannot "
        )
        oddities = open_scene.conversation.take_oddities()
        assert oddities.noise_lines == 2
        assert oddities.dropped_answers == 1

    @pytest.mark.requirement("identity.session-ids-are-rewritten")
    @pytest.mark.parametrize(
        ("method", "result", "seen"),
        [
            # Elsewhere than in the answers that hold a session id by ACP it is the peers' business.
            (b"session/set_mode", b'{"sessionId":"own"}', b'{"sessionId":"own"}'),
            (b"_x", b'{"a":1,"sessionId":"own"}', b'{"a":1,"sessionId":"s:main"}'),
            (b"_x", b'{"sessionId":null}', b'{"sessionId":"s:main"}'),
            (b"_x", b'{"sessions":[{"sessionId":"own"}]}', b'{"sessions":[{"sessionId":"own"}]}'),
            (b"_x", b"null", b"null"),
        ],
    )
    def test_a_result_names_the_session_as_clients_know_it(
        self, open_scene: Scene, method: bytes, result: bytes, seen: bytes
    ) -> None:
        open_scene.client("ann", b'{"id":1,"method":"%b"}' % method)
        open_scene.agent(b'{"id":2,"result":%b}' % result)
        assert open_scene.gets("ann") == [b'{"id":1,"result":%b}' % seen]


class TestNotifications:
    @pytest.mark.requirement("passing.unknown-methods")
    def test_an_extension_without_a_session_id_passes_through(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{"method":"_x/y","params":[1, 2.50]}')
        assert open_scene.agent_gets() == [b'{"method":"_x/y","params":[1, 2.50]}']

    def test_without_a_run_they_go_nowhere_and_start_none(self, dormant_scene: Scene) -> None:
        dormant_scene.client("ann", b'{"method":"_x/y","params":[1, 2.50]}')
        assert dormant_scene.events() == []
        dormant_scene.conversation.begin_run("own", last_id=1)
        assert dormant_scene.agent_gets() == []

    def test_a_prompt_that_asks_for_no_answer_is_none(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{"method":"session/prompt","params":{"sessionId":"s:main"}}')
        assert open_scene.agent_gets() == []
        assert open_scene.conversation.is_idle

    def test_a_cancel_that_asks_for_an_answer_gets_the_agents(self, open_scene: Scene) -> None:
        said = b'{"id":1,"method":"session/cancel","params":{"sessionId":"%b"}}'
        open_scene.client("ann", said % b"s:main")
        assert open_scene.agent_gets() == [said.replace(b'"id":1', b'"id":2') % b"own"]
        open_scene.agent(b'{"id":2,"error":{"code":-32601,"message":"no"}}')
        assert open_scene.gets("ann") == [b'{"id":1,"error":{"code":-32601,"message":"no"}}']


class TestCancellation:
    @pytest.mark.requirement("identity.cancelled-ids-are-translated")
    @pytest.mark.parametrize("request_id", IDS)
    def test_it_names_the_request_as_the_agent_knows_it(
        self, open_scene: Scene, request_id: bytes
    ) -> None:
        open_scene.client("ann", b'{"id":%b,"method":"_x"}' % request_id)
        open_scene.agent_gets()
        assert open_scene.cancels("ann", request_id)
        assert open_scene.agent_gets() == [
            b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":2}}'
        ]

    @pytest.mark.parametrize(
        ("name", "request_id"), [("ann", b'"1"'), ("ann", b"2"), ("bob", b"1")]
    )
    def test_what_this_client_never_asked_is_not_cancelled(
        self, open_scene: Scene, name: str, request_id: bytes
    ) -> None:
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.client("ann", PROMPT % b"5")
        open_scene.agent_gets()
        assert not open_scene.cancels(name, request_id)
        assert open_scene.agent_gets() == []

    def test_a_cancelled_request_is_still_answered_by_the_agent(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.cancels("ann", b"1")
        open_scene.agent(b'{"id":2,"error":{"code":-32800,"message":"cancelled"}}')
        assert open_scene.gets("ann") == [b'{"id":1,"error":{"code":-32800,"message":"cancelled"}}']

    def test_what_was_answered_is_not_cancelled(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.agent(b'{"id":2,"result":null}')
        open_scene.agent_gets()
        assert not open_scene.cancels("ann", b"1")
        assert open_scene.agent_gets() == []


class TestRefusedOutput:
    @pytest.mark.requirement("processes.stdin-is-bounded")
    def test_requests_that_could_not_be_written_fail_and_others_do_not(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        scene.client("bob", b'{"id":1,"method":"_x"}')
        scene.agent_gets()
        scene.client("ann", b'{"id":1,"method":"_x"}')
        scene.client("ann", PROMPT % b"2")
        scene.agent_gets()
        scene.conversation.output_refused(BACKED_UP)
        assert scene.gets("ann") == [
            started(1, "g-1"),
            refused(b"1", BACKED_UP),
            failed(2, "g-1", BACKED_UP),
            refused(b"2", BACKED_UP),
        ]
        assert scene.agent_gets() == []
        scene.agent(b'{"id":2,"result":"bob\'s"}')
        assert scene.gets("bob")[-1:] == [b'{"id":1,"result":"bob\'s"}']

    def test_the_next_prompt_has_its_turn_then(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("ann", PROMPT % b"1")
        scene.client("bob", PROMPT % b"1")
        scene.agent_gets()
        scene.conversation.output_refused(BACKED_UP)
        assert scene.conversation.turn == "g-2"
        assert [json.loads(line)["id"] for line in scene.agent_gets()] == [3]

    def test_only_what_was_written_last_is_refused_and_once(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("ann", b'{"id":1,"method":"_x"}')
        scene.agent_gets()
        scene.client("ann", b'{"id":2,"method":"_x"}')
        scene.agent_gets()
        scene.conversation.output_refused(BACKED_UP)
        scene.conversation.output_refused(BACKED_UP)
        assert [each["id"] for each in scene.reads("ann")] == [2]

    def test_what_the_agent_has_answered_is_not_refused(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.client("ann", b'{"id":1,"method":"_x"}')
        scene.agent_gets()
        scene.agent(b'{"id":2,"result":null}')
        scene.conversation.output_refused(BACKED_UP)
        assert scene.gets("ann") == [b'{"id":1,"result":null}']


class TestSettings:
    """What one client sets, the others see."""

    MODES = b'{"sessionUpdate":"current_mode_update","currentModeId":"%b"}'

    def set(self, scene: Scene, what: bytes, params: bytes, result: bytes = b"{}") -> None:
        said = b'{"id":1,"method":"session/%b","params":{"sessionId":"s:main",%b}}'
        scene.client("ann", said % (what, params))
        minted = json.loads(scene.agent_gets()[-1])["id"]
        scene.conversation.take_snapshot_changed()
        scene.agent(b'{"id":%d,"result":%b}' % (minted, result))

    def update(self, update: bytes, seq: int = 1) -> bytes:
        return (
            b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
            b'"update":%b,"_meta":{"acprelay":{"generation":"g","seq":%d,"outOfTurn":true}}}}'
            % (update, seq)
        )

    @pytest.mark.requirement("sharing.modes-reach-the-others")
    def test_a_mode_is_an_update_for_the_others(self, open_scene: Scene) -> None:
        self.set(open_scene, b"set_mode", b'"modeId":"code"')
        assert open_scene.gets("ann") == [b'{"id":1,"result":{}}']
        assert open_scene.gets("bob") == [self.update(self.MODES % b"code")]
        assert open_scene.conversation.take_snapshot_changed()
        assert not open_scene.conversation.take_snapshot_changed()

    def test_a_mode_that_the_agent_has_told_itself_is_not_told_again(
        self, open_scene: Scene
    ) -> None:
        open_scene.agent(
            b'{"method":"session/update","params":{"sessionId":"own","update":%b}}'
            % (self.MODES % b"code")
        )
        self.set(open_scene, b"set_mode", b'"modeId":"code"')
        assert open_scene.log.head == 1
        assert not open_scene.conversation.take_snapshot_changed()

    @pytest.mark.requirement("sharing.options-reach-the-others")
    def test_a_config_option_is_an_update_for_the_others(self, open_scene: Scene) -> None:
        options = b'[{"id":"model","currentValue":"big"}]'
        self.set(
            open_scene,
            b"set_config_option",
            b'"configId":"model","value":"big"',
            b'{"configOptions":%b}' % options,
        )
        [reply] = open_scene.gets("ann")
        assert reply == b'{"id":1,"result":{"configOptions":%b}}' % options
        told = b'{"sessionUpdate":"config_option_update","configOptions":%b}' % options
        assert open_scene.gets("bob") == [self.update(told)]

    def test_a_model_has_no_update_but_is_remembered(self, open_scene: Scene) -> None:
        open_scene.snapshot.open(b'{"models":{"currentModelId":"small"}}')
        self.set(open_scene, b"set_model", b'"modelId":"big"')
        assert open_scene.log.head == 0
        assert open_scene.conversation.take_snapshot_changed()
        models = open_scene.snapshot.result_members()["models"]
        assert bytes(models) == b'{"currentModelId":"big"}'

    @pytest.mark.parametrize("what", [b"set_mode", b"set_config_option", b"set_model"])
    def test_what_the_agent_refuses_is_told_to_nobody_else(
        self, open_scene: Scene, what: bytes
    ) -> None:
        said = b'{"id":1,"method":"session/%b","params":{"sessionId":"s:main","modeId":"code"}}'
        open_scene.client("ann", said % what)
        open_scene.agent(b'{"id":2,"error":{"code":1,"message":"no"}}')
        assert open_scene.gets("bob") == []
        assert not open_scene.conversation.take_snapshot_changed()

    def test_params_that_say_nothing_change_nothing(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{"id":1,"method":"session/set_mode"}')
        open_scene.agent(b'{"id":2,"result":null}')
        assert open_scene.gets("ann") == [b'{"id":1,"result":null}']
        assert open_scene.gets("bob") == []


class TestLeaving:
    @pytest.mark.requirement("turns.leaving-changes-nothing")
    @pytest.mark.parametrize("for_good", [True, False])
    def test_a_client_leaving_changes_nothing_for_the_agent(
        self, open_scene: Scene, *, for_good: bool
    ) -> None:
        scene = open_scene
        scene.client("ann", PROMPT % b"1")
        scene.agent_gets()
        scene.loses("ann")
        if for_good:
            scene.presence.give_up("ann")
        assert scene.agent_gets() == []
        assert scene.conversation.turn == "g-1"
        scene.agent(scene.said("a"), DONE % b"2")
        assert scene.gets("bob") == [started(1, "g-1"), scene.seen(2, "a"), ended(3, "g-1")]

    @pytest.mark.requirement("sharing.adopted-attachments-get-their-reply")
    def test_a_client_that_drops_in_its_turn_and_adopts_its_attachment_gets_its_reply(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        scene.client("ann", PROMPT % b'"p"')
        scene.agent(scene.said("a"))
        scene.gets("ann")
        scene.loses("ann")
        scene.agent(scene.said("b"), DONE % b"2")
        place = scene.presence.locate("g:2")
        scene.presence.adopt("ann", "ann's", b"7", principal="local", after=place, pending=[b'"p"'])
        _, *rest = scene.gets("ann", ALL)
        assert rest == [scene.seen(3, "b"), ended(4, "g-1"), DONE % b'"p"']

    def test_an_answer_for_a_client_that_was_given_up_goes_nowhere(self, open_scene: Scene) -> None:
        open_scene.client("ann", b'{"id":1,"method":"_x"}')
        open_scene.client("bob", b'{"id":1,"method":"_x"}')
        open_scene.presence.give_up("ann")
        open_scene.agent(b'{"id":2,"result":1}', b'{"id":3,"result":2}')
        assert open_scene.gets("ann") == []
        assert open_scene.gets("bob") == [b'{"id":1,"result":2}']

    def test_a_client_that_was_given_up_says_nothing_to_the_agent_any_more(
        self, open_scene: Scene
    ) -> None:
        open_scene.presence.give_up("ann")
        said = peek(b'{"id":1,"method":"_x"}')
        with pytest.raises(Forbidden):
            open_scene.conversation.receive_client("ann", said, now=0.0)
        assert open_scene.gets("ann") == []
        assert open_scene.conversation.is_idle
