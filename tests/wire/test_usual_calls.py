"""Calls that are spelt as nearly all are come out as any other spelling of them would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import RemoteProtocolError
from acprelay.wire import Envelope, peek
from acprelay.wire.envelope import _peek_any, _peek_usual

HEADS = [
    b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"0"',
    b'{"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "a b"',
    b'{"jsonrpc":"2.0","id":7,"method":"session/request_permission","params":{"sessionId":"s"',
    b'{"jsonrpc": "2.0", "id": "c-1", "method": "_x/y", "params": {"sessionId": ""',
    b'{"jsonrpc":"2.0","id":-0,"method":"","params":{"sessionId":"0"',
    b'{"jsonrpc":"2.0","id":01,"method":"m","params":{"sessionId":"0"',
    b'{"jsonrpc":"2.0","id":null,"method":"m","params":{"sessionId":"0"',
    b'{"jsonrpc":"2.0","method":"a\\u0062","params":{"sessionId":"0"',
    b'{"jsonrpc":"2.0","method":"\xc3\xa9","params":{"sessionId":"0"',
    b'{"jsonrpc":"2.0","method":"m","params":{"sessionId":"\t"',
    b'{"jsonrpc":"2.0","method":"m","params":{"sessionId":null',
]
PIECES = st.sampled_from(
    [
        b",",
        b", ",
        b" ",
        b"  ",
        b'"update":',
        b'"update": ',
        b'"update" :',
        b'"update":  ',
        b'"_meta":',
        b'"_meta": ',
        b'"requestId":',
        b'"sessionId":',
        b'"session\\u0049d":',
        b'"":',
        b'":":',
        b'"\xc3\xa9":',
        b"{}",
        b'{"acprelay":1}',
        b'{"acprelay":1,"acprelay":2}',
        b'{"a":1,"update":2}',
        b"[]",
        b"1",
        b"12",
        b"1e5",
        b"null",
        b'"x"',
        b'":"',
        b'"\xc3\xa9"',
        b'"\xff"',
        b'"\\ud83d"',
        b"}",
        b"{",
        b"]",
        b'"',
        b"[" * 2000 + b"]" * 2000,
    ]
)
MEMBERS = st.tuples(
    st.sampled_from([b",", b", ", b",  ", b" ,"]),
    st.sampled_from([b'"update"', b'"_meta"', b'"requestId"', b'"sessionId"', b'"x"']),
    st.sampled_from([b":", b": ", b" :", b":  "]),
    PIECES,
).map(b"".join)
RESTS = st.lists(st.one_of(MEMBERS, MEMBERS, PIECES), max_size=5).map(b"".join)
ENDS = st.sampled_from([b"}}", b"}}", b"}}", b"} }", b"}}\n", b'},"id":1}', b"}", b"}}}", b""])


def facts(envelope: Envelope) -> list[object]:
    return [getattr(envelope, name) for name in envelope.__struct_fields__]


@given(head=st.sampled_from(HEADS), rest=RESTS, end=ENDS)
def test_what_is_read_as_usual_is_what_is_read_of_any_frame(
    head: bytes, rest: bytes, end: bytes
) -> None:
    frame = head + rest + end
    try:
        usual = _peek_usual(frame)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            _peek_any(frame)
        return
    if usual is not None:
        assert facts(usual) == facts(_peek_any(frame))


@pytest.mark.parametrize("head", HEADS[:5])
@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b',"update":{"a":1}',
        b', "update": {"a": 1}, "_meta": {"b": 2}',
        b',"update":"\xc3\xa9","requestId":"r"',
        b',"_meta":null,"x":[1,2]',
        b',"a":1,"b":2,"c":{}',
        b', "update": " "',
        b', "": {"x": [1, 2]}',
    ],
)
def test_the_usual_spellings_are_read_at_once(head: bytes, rest: bytes) -> None:
    usual = _peek_usual(head + rest + b"}}")
    assert usual is not None
    assert facts(usual) == facts(_peek_any(head + rest + b"}}"))


@pytest.mark.parametrize(
    "rest",
    [
        b",",
        b'"update":1',
        b' "update":1',
        b',"update":1 ',
        b',"update" :1',
        b', "update" :1',
        b',  "update":1',
        b',"update":  {}',
        b', "update":1 ',
        b', "updat\\u0065": 1',
        b', "":0,"": 1',
        b' , "update": 1',
        b',"update":  1',
        b',"update":1,"update":1',
        b',"update":1,"update":2',
        b',"update":2,"x":{"update":1},"update":1',
        b',"sessionId":"0"',
        b',"update":{}},"x":{"y":1',
        b',"update":"\xff"',
        b',"update":"\\ud83d"',
        b',"update":[',
        b',"update":12,"update":1',
        b',"update":' + b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_in_doubt_is_read_as_any_frame(rest: bytes) -> None:
    assert _peek_usual(HEADS[0] + rest + b"}}") is None


def test_a_stamp_that_an_agent_forged_twice_is_refused() -> None:
    rest = b',"update":1,"_meta":{"acprelay":1,"acprelay":2}'
    with pytest.raises(RemoteProtocolError):
        peek(HEADS[0] + rest + b"}}")
