"""What an agent says for everybody: in order, to all, and byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

STAMP = b'"acprelay":{"generation":"g","seq":1}'
FOREIGN_STAMP = b'"acprelay":{"generation":"g","seq":1,"agentSessionId":%b}'

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
    "params in an array, which has no place for a stamp": (
        b'{"method":"_x","params":[1]}',
        b'{"method":"_x","params":[1]}',
    ),
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
    b'{"method":"x","params":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
]


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
    assert open_scene.gets("ann") == [open_scene.seen(n, t) for n, t in enumerate(texts, start=1)]


def test_slow_and_fast_clients_get_the_same(open_scene: Scene) -> None:
    due = []
    slow = []
    for seq in range(1, 20):
        open_scene.agent(open_scene.said("x" * seq))
        due.append(open_scene.seen(seq, "x" * seq))
        assert open_scene.gets("ann") == due[-1:]
        if seq % 3 == 0:
            slow += open_scene.gets("bob", limit=1)
    assert len(slow) == 6
    assert slow + open_scene.gets("bob") == due


def test_a_client_that_comes_later_sees_what_is_said_from_then_on(open_scene: Scene) -> None:
    open_scene.agent(open_scene.said("a"))
    open_scene.join("cat")
    open_scene.agent(open_scene.said("b"))
    open_scene.clients["cat"].admit(b"{}")
    assert open_scene.gets("cat") == [b"{}", open_scene.seen(2, "b")]


@pytest.mark.parametrize("noise", NOISE)
def test_noise_is_counted_and_changes_nothing(open_scene: Scene, noise: bytes) -> None:
    open_scene.agent(open_scene.said("a"), noise, open_scene.said("b"))
    assert open_scene.gets("ann") == [open_scene.seen(1, "a"), open_scene.seen(2, "b")]
    assert open_scene.agent_gets() == []
    assert open_scene.conversation.oddities.noise_lines == 1
    assert open_scene.conversation.oddities.last_noise == noise[:200]


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
    assert open_scene.gets("ann") == [open_scene.seen(1, "a")]


def test_history_is_kept_beyond_the_budget_until_everybody_has_had_it(
    forgetful_scene: Scene,
) -> None:
    scene = forgetful_scene
    for seq in range(1, 8):
        scene.agent(scene.said("a"))
        assert scene.gets("ann") == [scene.seen(seq, "a")]
    assert scene.log.start == 0
    assert scene.conversation.unread_bytes == scene.log.retained_bytes
    assert scene.gets("bob") == [scene.seen(seq, "a") for seq in range(1, 8)]
    assert scene.conversation.unread_bytes == 0
    scene.agent(scene.said("b"))
    assert scene.log.start == 7
    assert scene.gets("bob") == [scene.seen(8, "b")]
