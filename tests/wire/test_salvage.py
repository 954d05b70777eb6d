from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import ParseFailed, RemoteProtocolError
from acprelay.wire import (
    MessageKind,
    TruncatedEnvelope,
    peek,
    peek_refused,
    peek_refused_of_agent,
    peek_truncated,
)

REQUEST = MessageKind.REQUEST
RESPONSE = MessageKind.RESPONSE
LONG = b"x" * 10_000
DEEP = b"[" * 5000 + b"]" * 5000
E_ACUTE = '"é"'.encode()
EDGE = 200


def ends(frame: bytes, edge: int = EDGE) -> TruncatedEnvelope:
    return peek_truncated(frame[:edge], frame[-edge:])


@pytest.mark.parametrize(
    ("frame", "message_id", "method", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":3,"result":{"text":"%b"}}', b"3", None, RESPONSE),
        (b'{"jsonrpc":"2.0","id":"3","error":{"text":"%b"}}', b'"3"', None, RESPONSE),
        (b'{"jsonrpc":"2.0","result":{"text":"%b"},"id":"u-1"}', b'"u-1"', None, RESPONSE),
        (b'{"result":"%b" , "id" : -1.5e3 } \r', b"-1.5e3", None, RESPONSE),
        (b'{"result":"%b","id":null}', b"null", None, RESPONSE),
        (b'{"result":"%b","id":"a\\"b\\\\"}', b'"a\\"b\\\\"', None, RESPONSE),
        (b'{"id":7,"method":"_x/y","params":{"text":"%b"}}', b"7", "_x/y", REQUEST),
        (b'{"method":"_x/y","params":{"text":"%b"},"id":7}', b"7", "_x/y", REQUEST),
        (b' { "\\u0069d" : 7 ,\n"method":"\\u005fx", "p":"%b"}', b"7", "_x", REQUEST),
        (b'{"id":1,"jsonrpc":"2.0","x":"%b"}', b"1", None, None),
        # An update has no id, but one might stand where nobody sees it.
        (b'{"method":"session/update","params":{"text":"%b"}}', None, "session/update", None),
        (b'{"params":{"text":"%b"},"method":"session/update"}', None, None, None),
        (b'{"params":{"text":"%b"},"id":4,"method":"_x/y"}', None, None, None),
        # What only looks like an id.
        (b'{"result":{"text":"%b","id":4}}', None, None, RESPONSE),
        (b'{"result":[{"text":"%b","id":4}]}', None, None, RESPONSE),
        (b'{"result":"%b,\\"id\\":4"}', None, None, RESPONSE),
        (b'{"result":"%b","x,\\"id":4}', None, None, RESPONSE),
        (b'{"result":"%b","\\u0069d":4}', None, None, RESPONSE),
        (b'{"result":"%b","id":[4]}', None, None, RESPONSE),
        (b'{"result":"%b","id":true}', None, None, RESPONSE),
        (b'{"id":{},"result":"%b"}', None, None, RESPONSE),
        (b'{"id":true,"result":"%b"}', None, None, RESPONSE),
        (b'{"id":4,"method":7,"params":"%b"}', b"4", None, REQUEST),
        (b'{"result":"%b"}', None, None, RESPONSE),
        (b'{"x":"%b"}', None, None, None),
        (b'{"method":"%b","id":1}', b"1", None, REQUEST),
        (b'{"method":"%b"}', None, None, None),
        # No messages at all.
        (b"%b", None, None, None),
        (b"", None, None, None),
        (b"{}", None, None, None),
        (b'{7:"%b"}', None, None, None),
        (b'{"id" 7 "%b"}', None, None, None),
        (b'{"id":7,,"method":"m","x":"%b"}', b"7", None, None),
        (b'{"x":NaN,"id":7,"y":"%b"}', None, None, None),
        (b'\xff{"id":7,"x":"%b"}', None, None, None),
        # Not in UTF-8 somewhere.
        (b'{"id":7,"result":"caf\xe9%b"}', b"7", None, RESPONSE),
        (b'{"id":7,"x":"caf\xe9","method":"_x","params":"%b"}', b"7", "_x", REQUEST),
        (b'{"id":"caf\xe9","method":"_x","params":"%b"}', None, "_x", None),
        (b'[{"id":7,"method":"m"},"%b"]', None, None, None),
    ],
)
def test_the_ends_of_a_frame_tell_what_is_certain(
    frame: bytes, message_id: bytes | None, method: str | None, kind: MessageKind | None
) -> None:
    whole = frame.replace(b"%b", LONG)
    assert ends(whole) == TruncatedEnvelope(message_id, method, kind)


def test_a_number_that_is_cut_is_not_an_id() -> None:
    assert peek_truncated(b'{"id":12', b"") == TruncatedEnvelope(None, None, None)
    assert peek_truncated(b'{"id":12 ', b"") == TruncatedEnvelope(None, None, None)
    assert peek_truncated(b'{"id":12,', b"").id == b"12"


def test_a_character_that_is_cut_hides_nothing_before_it() -> None:
    head = '{"id":12,"result":"é'.encode()[:-1]
    assert peek_truncated(head, b"") == TruncatedEnvelope(b"12", None, RESPONSE)


def test_a_head_that_nests_deeply_is_survived() -> None:
    head = b'{"id":1,"result":' + b"[" * 4000
    assert peek_truncated(head, b"]" * 4000) == TruncatedEnvelope(b"1", None, RESPONSE)


TEXT = st.text(alphabet='",:{}[]\\\nid1 é')
SCALARS = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), TEXT)
VALUES = st.recursive(
    st.one_of(SCALARS, st.booleans()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.just("id"), inner),
    max_leaves=6,
)


@given(
    members=st.dictionaries(
        st.sampled_from(["jsonrpc", "params", "result", "error", "x"]), VALUES, max_size=3
    ),
    message_id=SCALARS,
    method=TEXT,
    order=st.randoms(use_true_random=False),
    spaced=st.booleans(),
    head=st.integers(0, 60),
    tail=st.integers(0, 60),
)
def test_what_the_ends_tell_is_never_wrong(
    *,
    members: dict[str, object],
    message_id: object,
    method: str,
    order: random.Random,
    spaced: bool,
    head: int,
    tail: int,
) -> None:
    members |= {"id": message_id, "method": method}
    items = list(members.items())
    order.shuffle(items)
    frame = json.dumps(
        dict(items), ensure_ascii=False, separators=None if spaced else (",", ":")
    ).encode()
    told = peek_truncated(frame[:head], frame[max(0, len(frame) - tail) :])
    assert told.id is None or json.loads(told.id) == message_id
    assert told.method in (None, method)
    if not {"result", "error"} & set(members):
        assert told.kind in (None, REQUEST)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (b'{"id":1,"method":7}', TruncatedEnvelope(b"1", None, REQUEST)),
        (b'{"id":1,"method":"m","params":5}', TruncatedEnvelope(b"1", "m", REQUEST)),
        (
            b'{"id":1,"method":"m","params":{"sessionId":"a","sessionId":"b"}}',
            TruncatedEnvelope(b"1", "m", REQUEST),
        ),
        (
            b'{"id":1,"result":{"sessionId":"a","sessionId":"b"}}',
            TruncatedEnvelope(b"1", None, RESPONSE),
        ),
        (b'{"id":1,"result":1,"error":2}', TruncatedEnvelope(b"1", None, RESPONSE)),
        (b'{"id":1}', TruncatedEnvelope(b"1", None, None)),
        (b'{"id":"\\ud83d"}', TruncatedEnvelope(b'"\\ud83d"', None, None)),
        (b'{"id":[],"method":"m"}', TruncatedEnvelope(None, "m", None)),
        (b'{"id":1,"id":2,"method":"m"}', TruncatedEnvelope(None, None, None)),
        (b'[{"id":1,"method":"m"}]', TruncatedEnvelope(None, None, None)),
        (b'{"id":1,"method":"m"', TruncatedEnvelope(None, None, None)),
    ],
)
def test_a_refused_frame_may_still_tell_its_id(frame: bytes, told: TruncatedEnvelope) -> None:
    with pytest.raises(RemoteProtocolError):
        peek(frame)
    assert peek_refused(frame) == told


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        # Not in UTF-8 somewhere.
        (b'{"id":1,"result":"caf\xe9"}', TruncatedEnvelope(b"1", None, RESPONSE)),
        (b'{"caf\xe9":1,"result":{},"id":"\xc3\xa9"}', TruncatedEnvelope(E_ACUTE, None, RESPONSE)),
        (b'{"params":"caf\xe9","id":1,"method":"m"}', TruncatedEnvelope(b"1", "m", REQUEST)),
        (b'{"id":"caf\xe9","method":"m"}', TruncatedEnvelope(None, "m", None)),
        (b'{"caf\xe9":1,"caf\xe8":1,"id":1,"method":"m"}', TruncatedEnvelope(None, None, None)),
        (b'{"id":1,"result":"caf\xe9"', TruncatedEnvelope(None, None, None)),
        # Nested too deeply.
        (b'{"id":1,"result":%b}' % DEEP, TruncatedEnvelope(b"1", None, RESPONSE)),
        (b'{"result":%b,"id":"1"}' % DEEP, TruncatedEnvelope(b'"1"', None, RESPONSE)),
        (b'{"id":1,"method":"m","params":%b}' % DEEP, TruncatedEnvelope(b"1", "m", REQUEST)),
        (b'{"method":"m","params":%b,"id":1}' % DEEP, TruncatedEnvelope(b"1", "m", REQUEST)),
        (b'{"id":1,"params":%b,"method":"m"}' % DEEP, TruncatedEnvelope(b"1", None, None)),
        (b'{"x":"\xe9","id":1,"result":%b}' % DEEP, TruncatedEnvelope(b"1", None, RESPONSE)),
    ],
)
def test_what_an_agent_wrote_may_tell_its_id_though_it_cannot_be_read(
    frame: bytes, told: TruncatedEnvelope
) -> None:
    with pytest.raises(ParseFailed):
        peek(frame)
    assert peek_refused_of_agent(frame) == told
    assert peek_refused(frame) == TruncatedEnvelope(None, None, None)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":1}', RESPONSE),
        (b'{"jsonrpc":"2.0","id":1,"result":1,"error":2}', RESPONSE),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', REQUEST),
        (b'{"id":1}', None),
        (b'{"jsonrpc":"2.0","id":[],"method":"m"}', None),
        (b'{"jsonrpc":"2.0","id":1,"caf\xe9":1}', RESPONSE),
        (b'{"jsonrpc":"2.0","id":1,"params":%b,"method":"m"}' % DEEP, None),
    ],
)
def test_what_an_agent_wrote_and_asks_nothing_is_an_answer(
    frame: bytes, kind: MessageKind | None
) -> None:
    assert peek_refused_of_agent(frame).kind is kind
