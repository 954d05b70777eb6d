"""A conversation without a run: what waits for one, and what each end of a run makes of it."""

from __future__ import annotations

import json

import pytest
from tests.routing.conftest import Scene, failed, noticed, refused, started

from acprelay.errors import AgentExited, InvalidRequest, LimitReached, RequestCancelled, SpawnFailed
from acprelay.routing.events import RunWanted, TurnChanged

PROMPT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
SENT = b'{"id":%b,"method":"session/prompt","params":{"sessionId":"own","prompt":[]}}'
ASKED = b'{"id":%b,"method":"_x"}'
SPAWN_FAILED = SpawnFailed("cannot start agent 'coder'", hint="install it")
EXITED = AgentExited(agent="coder", status="exit status 3", stderr="boom")


def test_without_a_run_nothing_is_wanted_until_somebody_wants_the_agent(
    dormant_scene: Scene,
) -> None:
    scene = dormant_scene
    assert not scene.conversation.is_served
    scene.client("ann", b'{"method":"session/cancel","params":{"sessionId":"s:main"}}')
    scene.wait(1000)
    assert scene.events() == []
    assert scene.conversation.is_idle


@pytest.mark.parametrize("wanted", [PROMPT % b"1", ASKED % b"1"])
def test_a_run_is_wanted_once_whatever_waits(dormant_scene: Scene, wanted: bytes) -> None:
    scene = dormant_scene
    scene.client("ann", wanted)
    assert scene.events() == [RunWanted()]
    assert not scene.conversation.is_idle
    scene.client("bob", PROMPT % b"1")
    scene.client("bob", ASKED % b"2")
    scene.wait(1)
    assert scene.events() == []
    assert scene.log.head == 0


def test_a_run_gets_what_waits_in_order_and_the_first_prompt_with_it(
    dormant_scene: Scene,
) -> None:
    scene = dormant_scene
    scene.client("ann", PROMPT % b"1")
    scene.client("ann", ASKED % b"2")
    scene.client("bob", PROMPT % b"1")
    scene.client("bob", b'{"id":2,"method":"_y","params":{"sessionId":"s:main"}}')
    scene.events()
    scene.conversation.begin_run("own", last_id=4)
    assert scene.agent_gets() == [
        ASKED % b"5",
        b'{"id":6,"method":"_y","params":{"sessionId":"own"}}',
        SENT % b"7",
    ]
    assert scene.events() == [TurnChanged()]
    scene.agent(b'{"id":6,"result":"bob\'s"}', b'{"id":7,"result":{}}')
    assert scene.agent_gets() == [SENT % b"8"]
    assert scene.gets("bob")[0] == started(1, "g-1")


def test_what_a_run_finds_changed_is_told_before_its_first_turn(dormant_scene: Scene) -> None:
    scene = dormant_scene
    scene.client("ann", PROMPT % b"1")
    scene.conversation.begin_run("own", last_id=1, news=[b'{"a":1}'])
    scene.conversation.publish()
    told, begun = scene.gets("ann")
    assert told == (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
        b'"update":{"a":1},"_meta":{"acprelay":{"generation":"g","seq":1,"outOfTurn":true}}}}'
    )
    assert begun == started(2, "g-1")


def test_a_run_that_did_not_come_fails_everything_once_and_the_next_is_asked_for_anew(
    dormant_scene: Scene,
) -> None:
    scene = dormant_scene
    scene.client("ann", PROMPT % b"1")
    scene.client("ann", ASKED % b"2")
    scene.client("bob", PROMPT % b"1")
    scene.events()
    scene.run_ends(SPAWN_FAILED)
    notice = noticed(1, SPAWN_FAILED, in_turn=False)
    assert scene.gets("ann") == [notice, refused(b"1", SPAWN_FAILED), refused(b"2", SPAWN_FAILED)]
    assert scene.gets("bob") == [notice, refused(b"1", SPAWN_FAILED)]
    assert scene.events() == []
    assert scene.conversation.is_idle
    scene.client("ann", PROMPT % b"1")
    assert scene.events() == [RunWanted()]
    scene.conversation.begin_run("own", last_id=1)
    assert scene.agent_gets() == [SENT % b"2"]


@pytest.mark.requirement("turns.death-fails-what-waits")
def test_a_run_that_ends_fails_everything_once(open_scene: Scene) -> None:
    scene = open_scene
    scene.client("ann", PROMPT % b"1")
    scene.client("ann", ASKED % b"2")
    scene.client("bob", PROMPT % b"1")
    scene.run_ends(EXITED)
    assert scene.gets("ann") == [
        started(1, "g-1"),
        noticed(2, EXITED, in_turn=True),
        failed(3, "g-1", EXITED),
        refused(b"1", EXITED),
        refused(b"2", EXITED),
    ]
    assert scene.gets("bob")[3:] == [refused(b"1", EXITED)]
    scene.conversation.begin_run("own", last_id=1)
    assert scene.agent_gets() == []
    scene.run_ends(EXITED)
    for name in ("ann", "bob"):
        assert scene.gets(name) == [noticed(4, EXITED, in_turn=False)]


def test_the_ids_of_an_earlier_run_are_not_used_again(open_scene: Scene) -> None:
    scene = open_scene
    scene.client("ann", ASKED % b"1")
    scene.run_ends(EXITED)
    scene.conversation.begin_run("other", last_id=1)
    scene.client("ann", b'{"id":1,"method":"_x","params":{"sessionId":"s:main"}}')
    assert scene.agent_gets() == [b'{"id":3,"method":"_x","params":{"sessionId":"other"}}']
    scene.agent(b'{"id":2,"result":"of the earlier run"}', b'{"id":3,"result":"x"}')
    assert scene.gets("ann")[-1:] == [b'{"id":1,"result":"x"}']
    assert scene.conversation.take_oddities().dropped_answers == 1


def test_what_an_agent_says_without_a_run_goes_nowhere(dormant_scene: Scene) -> None:
    scene = dormant_scene
    scene.agent(scene.said("a"), b"noise", b'{"id":"q","method":"session/request_permission"}')
    assert scene.log.head == 0
    assert not scene.conversation.take_oddities()
    scene.conversation.begin_run("own", last_id=1)
    assert scene.agent_gets() == []


def test_what_waits_can_be_cancelled(dormant_scene: Scene) -> None:
    scene = dormant_scene
    scene.client("bob", ASKED % b"1")
    scene.client("ann", ASKED % b"2")
    scene.client("ann", ASKED % b"1")
    scene.client("ann", PROMPT % b"3")
    assert scene.cancels("ann", b"1")
    assert not scene.cancels("ann", b"1")
    assert scene.cancels("ann", b"3")
    assert scene.gets("ann") == [
        refused(b"1", RequestCancelled(method="_x")),
        b'{"jsonrpc":"2.0","id":3,"result":{"stopReason":"cancelled"}}',
    ]
    scene.conversation.begin_run("own", last_id=1)
    assert scene.agent_gets() == [ASKED % b"2", ASKED % b"3"]


def test_not_more_than_so_many_requests_wait(dormant_scene: Scene) -> None:
    scene = dormant_scene
    for number in range(64):
        scene.client("ann", ASKED % (b"%d" % number))
    with pytest.raises(LimitReached) as caught:
        scene.client("ann", ASKED % b"64")
    assert caught.value.data["most"] == 64
    with pytest.raises(InvalidRequest):
        scene.client("ann", ASKED % b"63")
    scene.conversation.begin_run("own", last_id=1)
    assert len(scene.agent_gets()) == 64


def test_prompts_wait_beside_the_one_that_will_run_as_they_do_behind_it(
    dormant_scene: Scene,
) -> None:
    scene = dormant_scene
    for number in range(17):
        scene.client("ann", PROMPT % (b"%d" % number))
    with pytest.raises(LimitReached) as caught:
        scene.client("ann", PROMPT % b"17")
    assert caught.value.data["most"] == 16


@pytest.mark.requirement("replay.dormant-loads-start-nothing", "replay.live-loads-reach-no-agent")
@pytest.mark.parametrize("is_served", [True, False])
@pytest.mark.parametrize("way", ["load", "resume", "attach"])
def test_reading_starts_nothing_and_reaches_no_agent(
    scene: Scene, way: str, *, is_served: bool
) -> None:
    scene.open("bob")
    scene.agent(scene.said("a"))
    if not is_served:
        scene.run_ends(EXITED)
    ann = scene.make("ann")
    if way == "load":
        scene.presence.load(ann, b"1")
        scene.presence.load(ann, b"2")
    elif way == "resume":
        scene.presence.resume(ann, b"1")
        scene.presence.resume(ann, b"2")
    else:
        scene.presence.attach(ann, b"1", after=0)
    assert scene.gets("ann")
    assert scene.events() == []
    assert scene.agent_gets() == []


def is_idle(scene: Scene) -> bool:
    return scene.conversation.is_idle


class TestIdleness:
    """What keeps a conversation from being idle."""

    def test_a_request_at_the_agent_does(self, open_scene: Scene) -> None:
        assert is_idle(open_scene)
        open_scene.client("ann", ASKED % b"1")
        assert not is_idle(open_scene)
        open_scene.agent(b'{"id":2,"result":null}')
        assert is_idle(open_scene)

    def test_a_turn_does(self, open_scene: Scene) -> None:
        open_scene.client("ann", PROMPT % b"1")
        assert not is_idle(open_scene)
        open_scene.agent(b'{"id":2,"result":null}')
        assert is_idle(open_scene)

    def test_an_open_ask_does(self, open_scene: Scene) -> None:
        open_scene.agent(
            b'{"id":1,"method":"session/request_permission","params":{"sessionId":"own",'
            b'"options":[{"optionId":"yes"}]}}'
        )
        assert not is_idle(open_scene)
        assert open_scene.conversation.deadline_at == 3600
        open_scene.wait(3600)
        assert is_idle(open_scene)
        assert len(open_scene.conversation.take_events()) == 1


def test_what_waits_is_counted(open_scene: Scene) -> None:
    def waiting() -> tuple[int, int]:
        return open_scene.conversation.queued_prompts, open_scene.conversation.open_asks

    assert waiting() == (0, 0)
    for request_id in (b"1", b"2"):
        open_scene.client("ann", PROMPT % request_id)
    open_scene.agent(
        b'{"id":1,"method":"session/request_permission","params":{"sessionId":"own",'
        b'"options":[{"optionId":"yes"}]}}'
    )
    assert waiting() == (1, 1)


def test_a_notice_is_told_to_everybody(dormant_scene: Scene) -> None:
    dormant_scene.conversation.publish_notice(EXITED)
    for name in ("ann", "bob"):
        [told] = dormant_scene.reads(name)
        assert told["params"]["message"] == EXITED.message
        assert json.dumps(told["params"]["_meta"]) == (
            '{"acprelay": {"generation": "g", "seq": 1, "outOfTurn": true}}'
        )


def test_a_run_can_be_wanted_for_nobody_and_then_serves_whoever_comes(
    dormant_scene: Scene,
) -> None:
    scene = dormant_scene
    scene.conversation.want_run()
    scene.conversation.want_run()
    scene.client("ann", PROMPT % b"1")
    assert scene.events() == [RunWanted()]
    scene.conversation.begin_run("own", last_id=4)
    assert scene.agent_gets() == [SENT % b"5"]
    scene.events()
    scene.conversation.want_run()
    assert scene.events() == []


def test_a_run_that_was_wanted_for_nobody_and_failed_can_be_wanted_again(
    dormant_scene: Scene,
) -> None:
    scene = dormant_scene
    for _ in range(2):
        scene.conversation.want_run()
        assert scene.events() == [RunWanted()]
        scene.run_ends(SPAWN_FAILED)


def test_every_client_is_told_what_its_owner_has_to_tell(dormant_scene: Scene) -> None:
    scene = dormant_scene
    scene.conversation.tell("_acprelay/told", {"run": 2})
    for name in ("ann", "bob"):
        (told,) = (json.loads(frame) for frame in scene.gets(name))
        assert told["method"] == "_acprelay/told"
        assert told["params"]["run"] == 2
