"""How clients come, lose their connections, return and are given up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.routing.conftest import RULES, Scene, closed, marked

from acprelay.errors import CursorExpired, Forbidden, InvalidParams, LimitReached
from acprelay.routing.frames import loss_notice

COMMANDS = b'{"sessionUpdate":"available_commands_update","availableCommands":[]}'
MODE = b'{"sessionUpdate":"current_mode_update","currentModeId":"code"}'
CONFIG = b'{"sessionUpdate":"config_option_update","configOptions":[]}'
PLAN = b'{"sessionUpdate":"plan","entries":[]}'
USAGE = b'{"sessionUpdate":"usage_update","used":1}'
ASK = (
    b'{"id":"q","method":"session/request_permission","params":{"sessionId":"own",'
    b'"toolCall":{"toolCallId":"call"},"options":[{"optionId":"yes","kind":"allow_once"}]}}'
)


def result(name: str, request_id: bytes, place: int, members: bytes = b"") -> bytes:
    """What a client is told of its attachment."""
    return (
        b'{"jsonrpc":"2.0","id":%b,"result":{%b"_meta":{"acprelay":'
        b'{"attachment":"%b","secret":"%b\'s","position":"g:%d"}}}}'
        % (request_id, members, name.encode(), name.encode(), place)
    )


def reminder(update: bytes) -> bytes:
    """A part of the snapshot, as a client is given it."""
    return (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
        b'"update":%b,"_meta":{"acprelay":{"generation":"g","snapshot":true}}}}' % update
    )


def say(scene: Scene, *texts: str) -> None:
    """The agent says something, each in a batch of its own."""
    for text in texts:
        scene.agent(scene.said(text))


def told(scene: Scene, after: int = 0) -> list[bytes]:
    """What the log has from a place on."""
    return scene.log_has(after)


def asked(number: int = 1) -> bytes:
    """The ask, as clients get it."""
    return (
        b'{"id":"g-%d","method":"session/request_permission","params":{"sessionId":"s:main",'
        b'"toolCall":{"toolCallId":"call"},"options":[{"optionId":"yes","kind":"allow_once"}],'
        b'"_meta":{"acprelay":{"generation":"g"}}}}' % number
    )


@pytest.fixture
def talking(scene: Scene) -> Scene:
    """Bob is there, and the agent has said a and b."""
    scene.open("bob")
    say(scene, "a", "b")
    scene.gets("bob")
    return scene


def test_whoever_opens_the_session_gets_the_reply_and_then_all_that_was_said(
    scene: Scene,
) -> None:
    scene.conversation.begin_run("own", last_id=1)
    say(scene, "a")
    scene.presence.open(scene.make("ann"), b'{"id":1,"result":{}}')
    assert scene.gets("ann", limit=1) == [b'{"id":1,"result":{}}']
    say(scene, "b")
    assert scene.gets("ann") == told(scene)


class TestLoading:
    @pytest.mark.requirement("replay.load-answers-last", "order.replayed-before-live")
    def test_it_gives_the_log_then_the_reply_then_what_is_new(self, talking: Scene) -> None:
        scene = talking
        scene.presence.load(scene.make("ann"), b'"l"')
        say(scene, "c")
        due = [*told(scene)[:2], result("ann", b'"l"', 2), *told(scene, 2)]
        taken = []
        while messages := scene.gets("ann", limit=1):
            taken += messages
        assert taken == due

    def test_of_an_empty_log_it_gives_the_reply(self, scene: Scene) -> None:
        scene.presence.load(scene.make("ann"), b"0")
        assert scene.gets("ann") == [result("ann", b"0", 0)]

    def test_the_result_says_how_things_stand(self, talking: Scene) -> None:
        scene = talking
        scene.snapshot.open(b'{"modes":{"currentModeId":"ask","x":1},"configOptions":[]}')
        scene.snapshot.observe("current_mode_update", MODE)
        scene.presence.load(scene.make("ann"), b"1")
        members = b'"modes":{"currentModeId":"code","x":1},"configOptions":[],'
        assert scene.gets("ann")[-1] == result("ann", b"1", 2, members)

    @pytest.mark.parametrize("takes_between", [True, False])
    def test_twice_on_one_attachment_gives_two_whole_histories(
        self, talking: Scene, *, takes_between: bool
    ) -> None:
        scene = talking
        ann = scene.make("ann")
        scene.presence.load(ann, b"1")
        taken = scene.gets("ann") if takes_between else []
        say(scene, "c")
        scene.presence.load(ann, b"2")
        say(scene, "d")
        log = told(scene)
        assert taken + scene.gets("ann") == [
            *log[:2],
            result("ann", b"1", 2),
            log[2],
            *log[:3],
            result("ann", b"2", 3),
            log[3],
        ]

    def test_asks_follow_the_reply_and_come_once(self, talking: Scene) -> None:
        scene = talking
        scene.agent(ASK)
        ann = scene.make("ann")
        scene.presence.load(ann, b"1")
        assert scene.gets("ann") == [*told(scene), result("ann", b"1", 2), asked()]
        scene.presence.load(ann, b"2")
        assert scene.gets("ann") == [*told(scene), result("ann", b"2", 2)]

    @pytest.mark.requirement("replay.truncated-history-says-so-first")
    @pytest.mark.parametrize("again", [True, False])
    def test_of_a_log_whose_start_is_gone_says_so_first_and_gives_the_snapshot(
        self, *, again: bool
    ) -> None:
        scene = Scene(history_bytes=0)
        scene.open("ann")
        scene.snapshot.observe("plan", PLAN)
        say(scene, "a", "b", "c")
        assert scene.log.start == 2
        if again:
            scene.clients["ann"].cursor = 3
        ann = scene.clients["ann"] if again else scene.make("ann")
        if not again:
            scene.presence.give_up("ann")
        scene.presence.load(ann, b"1")
        assert scene.gets("ann") == [
            loss_notice("s:main", "g", CursorExpired(oldest="g:2")),
            *told(scene, 2),
            result("ann", b"1", 3),
            reminder(PLAN),
        ]

    def test_a_client_that_lost_sight_of_the_log_sees_again(self) -> None:
        scene = Scene(history_bytes=0)
        scene.open("ann")
        say(scene, "a", "b", "c")
        assert [each["params"]["code"] for each in scene.reads("ann")] == ["cursor_expired"]
        say(scene, "d")
        assert scene.gets("ann") == []
        scene.presence.load(scene.clients["ann"], b"1")
        notice, entry, reply = scene.gets("ann")
        assert json.loads(notice)["params"]["code"] == "cursor_expired"
        assert [entry] == told(scene, 3)
        assert reply == result("ann", b"1", 4)


class TestResuming:
    @pytest.mark.requirement("replay.resume-answers-first", "replay.resume-ends-with-what-is-open")
    def test_it_gives_the_reply_the_snapshot_what_is_open_and_then_what_is_new(
        self, talking: Scene
    ) -> None:
        scene = talking
        for kind, update in [
            ("usage_update", USAGE),
            ("plan", PLAN),
            ("config_option_update", CONFIG),
            ("current_mode_update", MODE),
            ("available_commands_update", COMMANDS),
        ]:
            scene.snapshot.observe(kind, update)
        scene.agent(ASK)
        scene.presence.resume(scene.make("ann"), b"1")
        say(scene, "c")
        assert scene.gets("ann") == [
            result("ann", b"1", 2, b'"configOptions":[],'),
            *map(reminder, [COMMANDS, MODE, CONFIG, PLAN, USAGE]),
            asked(),
            *told(scene, 2),
        ]

    def test_again_gives_nothing_of_the_log_twice(self, talking: Scene) -> None:
        scene = talking
        ann = scene.make("ann")
        scene.presence.resume(ann, b"1")
        say(scene, "c")
        scene.presence.resume(ann, b"2")
        say(scene, "d")
        log = told(scene)
        assert scene.gets("ann") == [
            result("ann", b"1", 2),
            log[2],
            result("ann", b"2", 3),
            log[3],
        ]

    def test_a_client_that_lost_sight_of_the_log_sees_again_what_is_new(self) -> None:
        scene = Scene(history_bytes=0)
        scene.open("ann")
        say(scene, "a", "b")
        scene.gets("ann")
        scene.presence.resume(scene.clients["ann"], b"1")
        say(scene, "c")
        assert scene.gets("ann") == [result("ann", b"1", 2), *told(scene, 2)]

    def test_a_client_that_loses_sight_before_it_comes_to_the_reply_sees_what_is_new(
        self,
    ) -> None:
        scene = Scene(history_bytes=0)
        scene.open("ann")
        say(scene, "a")
        scene.presence.resume(scene.clients["ann"], b"1")
        say(scene, "b")
        notice, reply, *rest = scene.gets("ann")
        assert json.loads(notice)["params"]["code"] == "cursor_expired"
        assert reply == result("ann", b"1", 1)
        assert rest == told(scene, 1)


class TestAttaching:
    @pytest.mark.requirement("positions.return-gets-the-rest")
    @pytest.mark.parametrize("after", [0, 1, 2])
    def test_it_gives_the_reply_and_then_what_follows_the_place(
        self, talking: Scene, after: int
    ) -> None:
        scene = talking
        scene.agent(ASK)
        scene.presence.attach(scene.make("ann"), b"1", after=scene.presence.locate(f"g:{after}"))
        say(scene, "c")
        log = told(scene)
        assert scene.gets("ann") == [
            result("ann", b"1", after),
            *log[after:2],
            asked(),
            log[2],
        ]

    def test_what_was_gathered_counts_as_said(self, talking: Scene) -> None:
        assert talking.presence.locate("g:2") == 2
        assert talking.presence.locate("start") == 0

    @pytest.mark.requirement("positions.expired-names-the-oldest", "positions.lost-tail-is-told")
    @pytest.mark.parametrize("place", ["g:1", "g:4", "f:2", "start"])
    def test_a_place_that_the_log_does_not_reach_is_expired(self, place: str) -> None:
        scene = Scene(history_bytes=0)
        scene.open("ann")
        say(scene, "a", "b", "c")
        with pytest.raises(CursorExpired) as caught:
            scene.presence.locate(place)
        assert caught.value.data["oldest"] == "g:2"

    @pytest.mark.parametrize("text", ["", "end", "g", "g:", "g:-1", ":1", "g:1 ", "g:x"])
    def test_what_is_no_place_is_refused(self, scene: Scene, text: str) -> None:
        with pytest.raises(InvalidParams, match="cannot read position"):
            scene.presence.locate(text)


class TestAdopting:
    def adopt(
        self, scene: Scene, name: str = "ann", *, after: int | None, pending: list[bytes] | None
    ) -> None:
        scene.presence.adopt(
            name, f"{name}'s", b'"a"', principal="local", after=after, pending=pending
        )

    @pytest.fixture
    def lost(self, open_scene: Scene) -> Scene:
        """Ann has had a, and her connection is lost; b was said since."""
        say(open_scene, "a")
        open_scene.gets("ann")
        open_scene.loses("ann")
        say(open_scene, "b")
        return open_scene

    @pytest.mark.requirement("order.one-contiguous-slice")
    @pytest.mark.parametrize(("after", "rest"), [(None, 1), (2, 2), (1, 1), (0, 0)])
    def test_it_gives_what_the_client_has_not_seen(
        self, lost: Scene, after: int | None, rest: int
    ) -> None:
        self.adopt(lost, after=after, pending=[])
        assert lost.gets("ann") == [result("ann", b'"a"', rest), *told(lost, rest)]
        say(lost, "c")
        assert lost.gets("ann") == told(lost, 2)

    def test_its_asks_come_again_once_and_new_ones_come(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.agent(ASK)
        assert scene.gets("ann") == [asked()]
        scene.loses("ann")
        scene.agent(ASK)
        assert scene.gets("bob") == [asked(1), asked(2)]
        self.adopt(scene, after=0, pending=[])
        assert scene.gets("ann") == [result("ann", b'"a"', 0), asked(1), asked(2)]

    @pytest.mark.parametrize(
        ("name", "secret"), [("ann", "bob's"), ("ann", ""), ("bob", "ann's"), ("cat", "cat's")]
    )
    def test_not_without_the_secret_nor_what_was_never_there(
        self, lost: Scene, name: str, secret: str
    ) -> None:
        with pytest.raises(Forbidden) as caught:
            lost.presence.adopt(name, secret, b"1", principal="local", after=0, pending=None)
        assert "attach anew" in caught.value.hint
        assert lost.gets("bob") == told(lost)
        self.adopt(lost, after=None, pending=[])
        assert lost.gets("ann") == [result("ann", b'"a"', 1), *told(lost, 1)]

    def test_one_that_is_connected_can_be_taken_over(self, open_scene: Scene) -> None:
        scene = open_scene
        say(scene, "a", "b")
        scene.gets("ann")
        self.adopt(scene, after=1, pending=None)
        scene.wait(10_000)
        assert scene.gets("ann") == [result("ann", b'"a"', 1), *told(scene, 1)]

    def test_a_refused_place_changes_nothing(self, lost: Scene) -> None:
        ann = lost.clients["ann"]
        for number in range(300):
            ann.push(b"%d" % number, reply_to=b"%d" % number)
        lost.gets("ann")
        with pytest.raises(CursorExpired):
            self.adopt(lost, after=1, pending=None)
        assert lost.presence.is_awaited

    def test_one_who_lost_sight_of_the_log_reads_on_from_where_it_begins(self) -> None:
        scene = Scene(history_bytes=0)
        scene.open("ann")
        say(scene, "a", "b")
        scene.gets("ann")
        scene.loses("ann")
        self.adopt(scene, after=scene.presence.locate("g:1"), pending=[])
        assert scene.gets("ann") == [result("ann", b'"a"', 1), *told(scene, 1)]

    def test_one_who_goes_on_behind_what_is_forgotten_gets_the_replies_it_waits_for(self) -> None:
        scene = Scene(history_bytes=0)
        scene.open("ann")
        for request_id in (b"1", b"2"):
            scene.client("ann", b'{"id":%b,"method":"_x"}' % request_id)
        scene.agent(b'{"id":2,"result":1}', b'{"id":3,"result":2}')
        assert len(scene.gets("ann")) == 2
        scene.loses("ann")
        say(scene, "a", "b")
        self.adopt(scene, after=scene.presence.locate("g:1"), pending=[b"2"])
        assert scene.gets("ann") == [
            result("ann", b'"a"', 1),
            b'{"id":2,"result":2}',
            *told(scene, 1),
        ]

    def test_the_answer_that_an_earlier_connection_never_had_is_not_given_to_a_later_one(
        self, lost: Scene
    ) -> None:
        self.adopt(lost, after=1, pending=[])
        lost.loses("ann")
        lost.presence.adopt("ann", "ann's", b'"later"', principal="local", after=1, pending=[])
        assert lost.gets("ann") == [result("ann", b'"later"', 1), *told(lost, 1)]

    def test_an_ask_that_was_seen_behind_ones_own_words_is_closed_when_it_is_settled(
        self, open_scene: Scene
    ) -> None:
        scene = open_scene
        scene.client(
            "ann",
            b'{"id":1,"method":"session/prompt","params":{"prompt":[{"type":"text","text":"x"}]}}',
        )
        scene.agent(ASK)
        assert len(scene.gets("ann")) == 2
        scene.loses("ann")
        self.adopt(scene, after=1, pending=[b"1"])
        scene.client("bob", b'{"id":"g-1","result":{"outcome":{"outcome":"cancelled"}}}')
        scene.client(
            "bob", b'{"id":"g-1","result":{"outcome":{"outcome":"selected","optionId":"yes"}}}'
        )
        scene.conversation.cancel_turn("g-1", now=0.0)
        assert closed(b'"g-1"') in scene.gets("ann")


class TestLingering:
    def test_an_attachment_waits_for_a_while(self, open_scene: Scene) -> None:
        scene = open_scene
        is_awaited = [scene.presence.is_awaited]
        scene.loses("ann")
        is_awaited.append(scene.presence.is_awaited)
        deadlines = [scene.conversation.deadline_at]
        scene.wait(RULES.linger_s - 1)
        known = [scene.presence.find("ann")]
        scene.wait(1)
        known.append(scene.presence.find("ann"))
        is_awaited.append(scene.presence.is_awaited)
        assert is_awaited == [False, True, False]
        assert known == [scene.clients["ann"], None]
        assert [*deadlines, scene.conversation.deadline_at] == [RULES.linger_s, None]
        with pytest.raises(Forbidden):
            scene.presence.adopt("ann", "ann's", b"1", principal="local", after=None, pending=None)

    def test_the_wait_begins_anew_with_each_loss(self, open_scene: Scene) -> None:
        scene = open_scene
        scene.loses("ann")
        scene.wait(1)
        scene.loses("bob")
        scene.presence.adopt("ann", "ann's", b"1", principal="local", after=None, pending=None)
        scene.wait(1)
        scene.loses("ann")
        assert scene.conversation.deadline_at == RULES.linger_s + 1
        scene.wait(RULES.linger_s - 1)
        assert scene.presence.find("bob") is None
        assert scene.presence.find("ann") is not None

    def test_without_patience_an_attachment_ends_with_its_connection(self) -> None:
        scene = Scene(rules=replace(RULES, linger_s=0))
        scene.join("ann")
        scene.loses("ann")
        assert scene.presence.find("ann") is None

    def test_losing_what_is_not_connected_changes_nothing(self, open_scene: Scene) -> None:
        open_scene.loses("cat")
        open_scene.loses("ann")
        open_scene.now = 5
        open_scene.loses("ann")
        assert open_scene.conversation.deadline_at == RULES.linger_s

    def test_of_too_many_that_wait_the_first_is_given_up(self, scene: Scene) -> None:
        names = [f"c{number}" for number in range(65)]
        scene.join(*names)
        scene.loses(*names)
        assert scene.presence.find("c0") is None
        assert [name for name in names if scene.presence.find(name) is None] == ["c0"]

    def test_giving_up_is_idempotent(self, open_scene: Scene) -> None:
        open_scene.presence.give_up("ann")
        open_scene.presence.give_up("ann")
        assert open_scene.presence.find("ann") is None
        assert open_scene.presence.find("bob") is not None

    @pytest.mark.parametrize("way", ["at once", "in time"])
    def test_an_ask_that_only_waited_for_one_who_is_given_up_is_settled_for_all_to_see(
        self, open_scene: Scene, way: str
    ) -> None:
        scene = open_scene
        scene.agent(ASK)
        scene.gets("bob")
        scene.client("bob", b'{"id":"g-1","result":{"outcome":{"outcome":"cancelled"}}}')
        if way == "at once":
            scene.presence.give_up("ann")
        else:
            scene.loses("ann")
            scene.wait(RULES.linger_s)
        fields = '"ask":"g-1","toolCallId":"call","outcome":"cancelled","by":"client"'
        assert scene.gets("bob") == [marked("permission_settled", 1, fields, in_turn=False)]


class TestRoom:
    @pytest.mark.requirement("limits.clients-per-session")
    @pytest.mark.parametrize("way", ["load", "resume", "attach"])
    def test_not_more_than_so_many_clients_are_connected(self, way: str) -> None:
        scene = Scene(rules=replace(RULES, most_clients=1))
        scene.join("bob")
        ann = scene.make("ann")

        def come() -> None:
            if way == "attach":
                scene.presence.attach(ann, b"1", after=0)
            else:
                getattr(scene.presence, way)(ann, b"1")

        with pytest.raises(LimitReached) as caught:
            come()
        assert caught.value.data["most"] == 1
        assert scene.presence.find("ann") is None
        scene.loses("bob")
        come()
        assert scene.reads("ann")[0]["id"] == 1

    @pytest.mark.requirement("limits.clients-per-session")
    def test_who_returns_for_its_attachment_has_to_wait_until_there_is_room(self) -> None:
        scene = Scene(rules=replace(RULES, most_clients=1))
        scene.join("ann")
        scene.loses("ann")
        say(scene, "a")
        scene.join("bob")

        def come() -> None:
            scene.presence.adopt("ann", "ann's", b"1", principal="local", after=None, pending=None)

        with pytest.raises(LimitReached) as caught:
            come()
        assert caught.value.data["most"] == 1
        assert scene.presence.is_awaited
        scene.loses("bob")
        come()
        assert scene.gets("ann") == [result("ann", b"1", 0), *told(scene)]

    def test_who_seems_to_be_there_still_may_return_for_its_attachment(self) -> None:
        scene = Scene(rules=replace(RULES, most_clients=1))
        scene.join("ann")
        scene.presence.adopt("ann", "ann's", b"1", principal="local", after=None, pending=None)
        assert [each["id"] for each in scene.reads("ann")] == [1]

    def test_who_is_there_may_read_everything_again(self) -> None:
        scene = Scene(rules=replace(RULES, most_clients=1))
        scene.join("ann")
        scene.presence.load(scene.clients["ann"], b"1")
        scene.presence.resume(scene.clients["ann"], b"2")
        assert [each["id"] for each in scene.reads("ann")] == [1, 2]
