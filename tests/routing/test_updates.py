"""What an agent says for everybody: in order, to all, and byte for byte."""

from __future__ import annotations

import pytest
from tests.routing.conftest import Scene

STAMP = b'"acprelay":{"generation":"g","seq":1,"outOfTurn":true}'
FOREIGN_STAMP = b'"acprelay":{"generation":"g","seq":1,"outOfTurn":true,"agentSessionId":%b}'

# What the agent writes, and what clients get of it.
SHAPES = {
    "params last": (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"own","update":{}}}',
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main","update":{},'
        b'"_meta":{%b}}}' % STAMP,
    ),
    "params first, and spaces": (
        b' { "params" : { "sessionId" : "own" , "update" : { } } , "method" : "session/update" } ',
        b' { "params" : { "sessionId" : "s:main" , "update" : { } ,"_meta":{%b}} ,'
        b' "method" : "session/update" } ' % STAMP,
    ),
    "session id last": (
        b'{"method":"session/update","params":{"update":{},"sessionId":"own"}}',
        b'{"method":"session/update","params":{"update":{},"sessionId":"s:main","_meta":{%b}}}'
        % STAMP,
    ),
    "unknown members everywhere": (
        b'{"x":[1.0,-0,1e5],"method":"session/update","params":{"y":"\\u00e9\\/","sessionId":"own",'
        b'"update":{"z":{"sessionId":"own","_meta":{"acprelay":1}}},"sessionid":"own"},"id2":null}',
        b'{"x":[1.0,-0,1e5],"method":"session/update","params":{"y":"\\u00e9\\/","sessionId":'
        b'"s:main","update":{"z":{"sessionId":"own","_meta":{"acprelay":1}}},"sessionid":"own",'
        b'"_meta":{%b}},"id2":null}' % STAMP,
    ),
    "other meta": (
        b'{"method":"session/update","params":{"sessionId":"own","_meta":{"traceparent":"00-1"}}}',
        b'{"method":"session/update","params":{"sessionId":"s:main",'
        b'"_meta":{"traceparent":"00-1",%b}}}' % STAMP,
    ),
    "empty meta": (
        b'{"method":"session/update","params":{"_meta":{},"sessionId":"own"}}',
        b'{"method":"session/update","params":{"_meta":{%b},"sessionId":"s:main"}}' % STAMP,
    ),
    "null meta": (
        b'{"method":"session/update","params":{"_meta":null,"sessionId":"own"}}',
        b'{"method":"session/update","params":{"_meta":{%b},"sessionId":"s:main"}}' % STAMP,
    ),
    "a forged stamp": (
        b'{"method":"session/update","params":{"sessionId":"own","_meta":'
        b'{"a":1,"acprelay":{"generation":"f","seq":9},"b":2}}}',
        b'{"method":"session/update","params":{"sessionId":"s:main","_meta":{"a":1,%b,"b":2}}}'
        % STAMP,
    ),
    "a session id with escapes": (
        b'{"method":"session/update","params":{"sessionId":"\\u006fwn"}}',
        b'{"method":"session/update","params":{"sessionId":"s:main","_meta":{%b}}}' % STAMP,
    ),
    "a sub-agent's session id": (
        b'{"method":"session/update","params":{"sessionId":"own/sub","update":{}}}',
        b'{"method":"session/update","params":{"sessionId":"s:main","update":{},"_meta":{%b}}}'
        % (FOREIGN_STAMP % b'"own/sub"'),
    ),
    "the public id, which the agent cannot know": (
        b'{"method":"session/update","params":{"sessionId":"s:main"}}',
        b'{"method":"session/update","params":{"sessionId":"s:main","_meta":{%b}}}'
        % (FOREIGN_STAMP % b'"s:main"'),
    ),
    "an extension with a session id": (
        b'{"method":"_vendor/x","params":{"sessionId":"own","requestId":1}}',
        b'{"method":"_vendor/x","params":{"sessionId":"s:main","requestId":1,"_meta":{%b}}}'
        % STAMP,
    ),
    "an extension without one": (
        b'{"method":"_auth/status_update","params":{"ok":true}}',
        b'{"method":"_auth/status_update","params":{"ok":true,"_meta":{%b}}}' % STAMP,
    ),
    "an unprefixed extension": (
        b'{"method":"craft/drainMidTurnQueue","params":{}}',
        b'{"method":"craft/drainMidTurnQueue","params":{"_meta":{%b}}}' % STAMP,
    ),
    "null params": (
        b'{"method":"_x","params":null}',
        b'{"method":"_x","params":{"_meta":{%b}}}' % STAMP,
    ),
    "no params": (b'{"method":"_x"}', b'{"method":"_x","params":{"_meta":{%b}}}' % STAMP),
    "a null session id": (
        b'{"method":"_x","params":{"sessionId":null}}',
        b'{"method":"_x","params":{"sessionId":"s:main","_meta":{%b}}}' % STAMP,
    ),
}

NOISE = [
    b"Loading model ...",
    b"",
    b"   ",
    b"\x1b[31mwarning\x1b[0m",
    b"\xff\xfe",
    b'{"method":"session/update","params":{"text":"\xff"}}',
    b"null",
    b"42",
    b'"text"',
    b"[]",
    b'[{"method":"session/update","params":{}}]',
    b"{}",
    b'{"level":"info","msg":"ready"}',
    b'{"id":null}',
    b'{"method":5}',
    b'{"method":"session/update","params":"text"}',
    b'{"method":"session/update","params":{"sessionId":5}}',
    b'{"method":"session/update","method":"session/update"}',
    b'{"method":"session/update","params":{"sessionId":"own","sessionId":"other"}}',
    b'{"method":"session/update"',
    b'{"method":"session/update"} {"method":"session/update"}',
    b'{"method":"_x","params":[1]}',  # which has no room for a stamp
    b'{"method":"x","params":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
]


@pytest.mark.requirement(
    "meta.stamp-is-added",
    "meta.forged-stamp-is-replaced",
    "meta.other-meta-passes",
    "passing.unknown-members",
    "identity.sub-agents-have-the-public-id",
    "identity.sub-agents-keep-their-id",
    "identity.session-ids-are-rewritten",
    "positions.updates-carry-them",
)
@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_session_id_and_the_stamp_of_a_notification_change(
    open_scene: Scene, shape: str
) -> None:
    line, seen = SHAPES[shape]
    open_scene.agent(line)
    assert open_scene.gets("ann") == [seen]
    assert open_scene.gets("bob") == [seen]
    assert open_scene.agent_gets() == []


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_was_seen_before_is_treated_as_it_was_the_first_time(
    open_scene: Scene, shape: str
) -> None:
    line, seen = SHAPES[shape]
    open_scene.agent(line, line)
    open_scene.agent(*[line] * 10)
    due = [seen.replace(b'"seq":1', b'"seq":%d' % seq) for seq in range(1, 13)]
    assert open_scene.gets("ann") == due


def test_all_shapes_keep_their_order_whichever_way_each_goes(open_scene: Scene) -> None:
    turn = list(SHAPES.values()) * 3
    open_scene.agent(*(line for line, _ in turn))
    due = [
        seen.replace(b'"generation":"g","seq":1', b'"generation":"g","seq":%d' % seq)
        for seq, (_, seen) in enumerate(turn, start=1)
    ]
    assert open_scene.gets("ann") == due


def test_one_batch_and_many_give_the_same_bytes(open_scene: Scene) -> None:
    texts = [f"{n}" for n in range(300)]
    open_scene.agent(*map(open_scene.said, texts[:150]))
    for text in texts[150:]:
        open_scene.agent(open_scene.said(text))
    assert open_scene.gets("ann") == [
        open_scene.seen(n, t, in_turn=False) for n, t in enumerate(texts, start=1)
    ]


def test_slow_and_fast_clients_get_the_same(open_scene: Scene) -> None:
    due = []
    slow = []
    for seq in range(1, 20):
        open_scene.agent(open_scene.said("x" * seq))
        due.append(open_scene.seen(seq, "x" * seq, in_turn=False))
        assert open_scene.gets("ann") == due[-1:]
        if seq % 3 == 0:
            slow += open_scene.gets("bob", limit=1)
    assert len(slow) == 6
    assert slow + open_scene.gets("bob") == due


def test_a_client_that_comes_later_sees_what_is_said_from_then_on(open_scene: Scene) -> None:
    open_scene.agent(open_scene.said("a"))
    open_scene.join("cat")
    open_scene.agent(open_scene.said("b"))
    assert open_scene.gets("cat") == [open_scene.seen(2, "b", in_turn=False)]


@pytest.mark.requirement("processes.noise-stays-out", "processes.noise-is-told")
@pytest.mark.parametrize("noise", NOISE)
def test_noise_is_counted_and_changes_nothing(open_scene: Scene, noise: bytes) -> None:
    open_scene.agent(open_scene.said("a"), noise, open_scene.said("b"))
    assert open_scene.gets("ann") == [
        open_scene.seen(1, "a", in_turn=False),
        open_scene.seen(2, "b", in_turn=False),
    ]
    assert open_scene.agent_gets() == []
    oddities = open_scene.conversation.take_oddities()
    assert oddities.noise_lines == 1
    assert oddities.last_noise == noise[:200]


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":1,"method":<deep>}',
        b'{"id":<deep>,"method":"_x"}',
        b'{"id":1,"params":<deep>,"result":1,"error":2}',
        b'{"method":"_x","params":{"sessionId":<deep>}}',
    ],
)
def test_however_deeply_a_line_nests_what_follows_it_is_delivered(
    open_scene: Scene, line: bytes
) -> None:
    # Somewhere on the way a reader runs out of stack, one a little earlier than another.
    for depth in range(700, 1100):
        open_scene.agent(line.replace(b"<deep>", b"[" * depth + b"]" * depth))
    open_scene.agent(open_scene.said("a"))
    assert open_scene.gets("ann") == [open_scene.seen(1, "a", in_turn=False)]


def test_a_log_may_forget_what_everybody_has_had() -> None:
    scene = Scene(history_bytes=0)
    scene.open("ann")
    for seq in range(1, 8):
        scene.agent(scene.said("a"))
        assert scene.gets("ann") == [scene.seen(seq, "a", in_turn=False)]
    assert scene.log.start == 6


@pytest.mark.parametrize(
    ("update", "kept"),
    [
        (b'{"sessionUpdate":"plan","entries":[]}', True),
        (b'{"sessionUpdate":"agent_message_chunk","content":{}}', False),
        (b'{"sessionUpdate":"plan"}', False),
        (b'{"entries":[]}', False),
    ],
)
def test_what_latecomers_need_is_noted(open_scene: Scene, update: bytes, *, kept: bool) -> None:
    line = b'{"method":"session/update","params":{"sessionId":"own","update":%b}}'
    open_scene.agent(line % update)
    assert open_scene.snapshot.updates() == ([update] if kept else [])


def test_the_shell_is_told_once_that_it_was(open_scene: Scene) -> None:
    plan = (
        b'{"method":"session/update","params":{"sessionId":"%b",'
        b'"update":{"sessionUpdate":"plan","entries":[]}}}'
    )
    open_scene.agent(plan % b"own/sub", open_scene.said("a"))
    changes = [open_scene.conversation.take_snapshot_changed()]
    open_scene.agent(plan % b"own")
    changes += [open_scene.conversation.take_snapshot_changed() for _ in range(2)]
    assert changes == [False, True, False]


def test_an_agent_cannot_speak_in_the_relays_name(open_scene: Scene) -> None:
    open_scene.agent(
        b'{"method":"_acprelay/turn_ended","params":{"sessionId":"own","turn":"g-1"}}',
        b'{"id":7,"method":"_acprelay/attach","params":{"sessionId":"own"}}',
    )
    assert open_scene.gets("ann") == []
    [refusal] = open_scene.agent_gets()
    assert b'"id":7' in refusal
    assert b'"code":-32601' in refusal
    assert open_scene.conversation.take_oddities().noise_lines == 1


def test_a_line_of_an_agents_log_answers_nothing(open_scene: Scene) -> None:
    open_scene.client("ann", b'{"id":1,"method":"_x"}')
    open_scene.agent_gets()
    open_scene.agent(b'{"level":"info","id":2}')
    assert open_scene.gets("ann") == []
    open_scene.agent(b'{"jsonrpc":"2.0","id":2}')
    assert b'"error"' in open_scene.gets("ann")[0]
