from __future__ import annotations

import json

import pytest

from acprelay.errors import InvalidRequest, ParseFailed
from acprelay.wire import MessageKind, peek

REQUEST = MessageKind.REQUEST
NOTIFICATION = MessageKind.NOTIFICATION
RESPONSE = MessageKind.RESPONSE

# The shapes that real agents and clients were seen to send, shortened.
SEEN: list[tuple[bytes, MessageKind, bytes | None, str | None, str | None]] = [
    (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"683d",'
        b'"update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"hi"}}}}',
        NOTIFICATION,
        None,
        "session/update",
        "683d",
    ),
    (
        b'{"jsonrpc":"2.0","id":0,"method":"session/request_permission","params":{"toolCall":{},'
        b'"options":[],"sessionId":"0"}}',
        REQUEST,
        b"0",
        "session/request_permission",
        "0",
    ),
    (
        b'{"jsonrpc":"2.0","method":"session/request_permission","params":{"sessionId":"s"},'
        b'"id":"6f1c-63d7"}',
        REQUEST,
        b'"6f1c-63d7"',
        "session/request_permission",
        "s",
    ),
    (
        b'{"jsonrpc":"2.0","result":{"sessionId":"s-1","modes":null},"id":"c-2"}',
        RESPONSE,
        b'"c-2"',
        None,
        "s-1",
    ),
    (b'{"jsonrpc":"2.0","id":2,"result":{"stopReason":"end_turn"}}', RESPONSE, b"2", None, None),
    (b'{"jsonrpc":"2.0","id":2,"result":null}', RESPONSE, b"2", None, None),
    (b'{"jsonrpc":"2.0","id":2,"result":[]}', RESPONSE, b"2", None, None),
    (
        b'{"jsonrpc":"2.0","method":"_auth/status_update","params":{"authStatus":{}}}',
        NOTIFICATION,
        None,
        "_auth/status_update",
        None,
    ),
    (b'{"id":1,"method":"logout"}', REQUEST, b"1", "logout", None),
    (b'{"id":1,"method":"logout","params":null}', REQUEST, b"1", "logout", None),
    (b'{"id":1,"method":"_x/y","params":["s"]}', REQUEST, b"1", "_x/y", None),
    (b'{"id":null,"method":"_x/y"}', REQUEST, b"null", "_x/y", None),
    (b'{"method":"session/cancel","params":{"sessionId":null}}', NOTIFICATION, None, None, None),
]


@pytest.mark.parametrize(("frame", "kind", "message_id", "method", "session_id"), SEEN)
def test_the_envelope_of_what_peers_send(
    frame: bytes,
    kind: MessageKind,
    message_id: bytes | None,
    method: str | None,
    session_id: str | None,
) -> None:
    envelope = peek(frame)
    assert envelope.kind is kind
    assert envelope.id == message_id
    assert envelope.method == (method or json.loads(frame).get("method"))
    assert envelope.session_id == session_id
    assert envelope.raw is frame
    assert not envelope.is_error


def test_an_error_answer_is_told_from_a_result() -> None:
    envelope = peek(b'{"id":null,"error":{"code":-32601,"message":"no"}}')
    assert (envelope.kind, envelope.id, envelope.is_error) == (RESPONSE, b"null", True)


@pytest.mark.parametrize(
    "raw", [b"1", b'"1"', b"1.0", b"-0", b"1e3", b"0", b'"\\u0031"', b"9" * 99]
)
def test_an_id_is_kept_as_it_was_sent(raw: bytes) -> None:
    assert peek(b'{"id":%b,"method":"m"}' % raw).id == raw


@pytest.mark.parametrize("raw", [b"7", b'"r"', b"null", b"1.0"])
def test_the_request_that_is_cancelled_is_named_as_it_was_sent(raw: bytes) -> None:
    frame = b'{"method":"$/cancel_request","params":{"requestId":%b}}' % raw
    assert peek(frame).request_id == raw


def test_names_may_be_spelled_with_escapes_and_white_space() -> None:
    frame = (
        b' {\t"\\u0069d" :\n4 , "m\\u0065thod" : "a\\/b\\u00e9", "params" :\r{ "session\\u0049d"'
        b' : "\\u0073" , "request\\u0049d":5 } } \r'
    )
    envelope = peek(frame)
    assert (envelope.id, envelope.method) == (b"4", "a/b\u00e9")
    assert (envelope.session_id, envelope.request_id) == ("s", b"5")


def test_unicode_in_names_and_values_does_not_move_positions() -> None:
    frame = '{"é":"ü","id":7,"method":"m","params":{"ключ":1,"sessionId":"ß😀"}}'.encode()
    envelope = peek(frame)
    assert (envelope.id, envelope.session_id) == (b"7", "ß😀")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b" ",
        b"hello",
        b"{",
        b'{"method":"m"',
        b'{"method":"m"}x',
        b'{"method":"m"}{"method":"m"}',
        b'{"method":"m",}',
        b'{"method":"m","a":NaN}',
        b'{"method":"m","a":01}',
        b'{"method":"m","a":"\x01"}',
        b'{"method":"m","a":"\\x"}',
        b'{"method":"m","a":"\\u12"}',
        b"{'method':'m'}",
        b'{"method":"m","a":"\xff"}',
        b'{"method":"m","\xff":1}',
        b'{"method":"m","a":"\xed\xa0\x80"}',
        b'{"method":"\\ud83d","\xff":1}',
        b'\xef\xbb\xbf{"method":"m"}',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":x}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":1},{}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff"}}',
        b"[1",
        b'["\xff"]',
        '{"method":"m"}'.encode("utf-16"),
    ],
)
def test_what_is_not_json_in_utf8_does_not_parse(frame: bytes) -> None:
    with pytest.raises(ParseFailed, match=r"^cannot read a frame: "):
        peek(frame)


@pytest.mark.parametrize(
    "result",
    [
        b"{}",
        b'{"stopReason":"end_turn","_meta":{"a":1,"acprelay":{}}}',
        b'{ "sessionId" : "s" }',
        '{"sessionId":"ß"}'.encode(),
        b'{"a":"\\ud83d"}',
    ],
)
@pytest.mark.parametrize("after", [b"", b',"x":{}'])
def test_an_answer_is_read_the_same_however_it_is_spelt(result: bytes, after: bytes) -> None:
    usual = peek(b'{"jsonrpc":"2.0","id":7,"result":%b%b}' % (result, after))
    other = peek(b'{"result":%b%b,"id":7,"jsonrpc":"2.0"}' % (result, after))
    assert (usual.kind, usual.id, usual.method, usual.is_error) == (other.kind, b"7", None, False)
    assert usual.session_id == other.session_id
    assert usual.member("result") == other.member("result") == result
    for mine, its in ((usual.body, other.body), (usual.meta, other.meta)):
        values = {name: usual.raw[start:stop] for name, (start, stop) in mine.items()}
        assert values == {name: other.raw[start:stop] for name, (start, stop) in its.items()}


@pytest.mark.parametrize(
    "frame",
    [
        b'{"jsonrpc":"2.0","id":7,"result":{"a":1,"a":2}}',
        b'{"jsonrpc":"2.0","id":7,"result":{"_meta":{"a":1,"a":2}}}',
        b'{"jsonrpc":"2.0","id":7,"result":{},"id":{}}',
        b'{"jsonrpc":"2.0","id":7,"result":{},"error":{}}',
    ],
)
def test_nothing_hides_in_an_answer_that_begins_as_usual(frame: bytes) -> None:
    with pytest.raises(InvalidRequest):
        peek(frame)


@pytest.mark.parametrize("around", [b'{"method":"m","params":{"a":%b}}', b"%b"])
def test_what_nests_too_deeply_does_not_parse(around: bytes) -> None:
    nested = b"[" * 200_000 + b"]" * 200_000
    with pytest.raises(ParseFailed):
        peek(around % nested)


def test_deep_nesting_with_a_lone_surrogate_does_not_parse() -> None:
    nested = b"[" * 200_000 + b'"\\ud83d"' + b"]" * 200_000
    with pytest.raises(ParseFailed):
        peek(b'{"method":"m","params":%b}' % nested)


@pytest.mark.parametrize(
    "frame",
    [
        b'[{"id":1,"method":"m"}]',
        b" []",
        b"1",
        b'"\\ud83d"',
        b"null",
        b"{}",
        b'{"jsonrpc":"2.0"}',
        b'{"params":{}}',
        b'{"result":1}',
        b'{"error":{}}',
        b'{"id":1}',
        b'{"id":1,"result":1,"error":{}}',
        b'{"id":1,"result":null,"error":null}',
        b'{"id":1,"method":"m","result":1}',
        b'{"id":1,"method":"m","error":{}}',
        b'{"id":1,"method":null}',
        b'{"id":1,"method":7}',
        b'{"id":1,"method":["m"]}',
        b'{"id":true,"method":"m"}',
        b'{"id":false,"method":"m"}',
        b'{"id":[1],"method":"m"}',
        b'{"id":{},"result":1}',
        b'{"method":"m","params":1}',
        b'{"method":"m","params":"s"}',
        b'{"method":"m","params":true}',
        b'{"method":"m","params":{"sessionId":0}}',
        b'{"method":"m","params":{"sessionId":["s"]}}',
    ],
)
def test_what_is_json_but_no_message_is_an_invalid_request(frame: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^cannot take ") as caught:
        peek(frame)
    assert caught.value.hint


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":1,"id":2,"method":"m"}',
        b'{"id":1,"id":1,"method":"m"}',
        b'{"id":1,"method":"m","\\u0069d":2}',
        b'{ "id":1, "method":"m", "id":22 }',
        b'{"id":22,"method":"m","id":2}',
        b'{"method":"m","x":1,"x":2}',
        # The later value is as long as the part of the earlier one that ends before a look-alike.
        b'{ "method":{"x":1,"id":7},"id":5,"method":"mmmm"}',
        b'{"method":"m","params":{},"params":{"sessionId":"t"}}',
        b'{"method":"m","params":{"sessionId":"s","sessionId":"t"}}',
        b'{"method":"m","params":{"sessionId":"s","session\\u0049d":"t"}}',
        b'{"method":"m","params":{"_meta":{},"_meta":null}}',
        b'{"method":"m","params":{"_meta":{"acprelay":1,"acprelay":2}}}',
        b'{"method":"m","params":{"_meta":{"acprelay":1,"acpr\\u0065lay":2}}}',
        b'{"id":1,"result":{"sessionId":"s","sessionId":"t"}}',
        b'{"id":1,"result":{"sessionId":"s","x":1,"x":1}}',
        b'{"id":1,"result":{"outcome":{},"outcome":null}}',
        b'{"id":1,"result":{"_meta":{},"_meta":null}}',
        b'{"id":1,"result":{"_meta":{"acprelay":1,"acpr\\u0065lay":2}}}',
        b'{"method":"\\ud83d","id":1,"id":2}',
    ],
)
def test_a_name_that_occurs_twice_where_the_relay_reads_is_an_invalid_request(
    frame: bytes,
) -> None:
    with pytest.raises(InvalidRequest, match="occurs twice"):
        peek(frame)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"method":"m","params":{"update":{"a":1,"a":2}}}',
        b'{"method":"m","params":{"_meta":{"traceparent":{"a":1,"a":2}}}}',
        b'{"method":"m","params":[{"a":1,"a":2}]}',
        b'{"id":1,"result":{"x":{"a":1,"a":2}}}',
        b'{"id":1,"result":[{"a":1,"a":2}]}',
        b'{"id":1,"error":{"code":1,"code":2}}',
    ],
)
def test_a_name_that_occurs_twice_elsewhere_is_the_peers_business(frame: bytes) -> None:
    assert peek(frame).raw == frame


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (b"\\ud83d", "\ud83d"),
        (b"a\\uDE00b", "a\ude00b"),
        (b"\\ud83d\\ud83d\\ude00", "\ud83d\U0001f600"),
        (b"\\ud83d\\\\ude00", "\ud83d\\ude00"),
        (b"\\\\\\ud83d\\n", "\\\ud83d\n"),
        (b"\\ud83d\\u0041", "\ud83dA"),
        (b"\\\\ud83d\\ude00", "\\ud83d\ude00"),
        (b"\\udbff\\udc00\\udc00", "\U0010fc00\udc00"),
    ],
)
def test_escapes_of_lone_surrogates_are_read_where_they_stand(text: bytes, decoded: str) -> None:
    frame = (
        b'{"x":"%b","id":"%b","method":"%b","params":{"%b":0,"sessionId":"%b","requestId":"%b"}}'
    ) % ((text,) * 6)
    envelope = peek(frame)
    assert envelope.method == decoded
    assert envelope.session_id == decoded
    assert envelope.id == envelope.request_id == b'"%b"' % text
    assert envelope.raw is frame


def test_a_surrogate_that_is_only_quoted_is_no_escape() -> None:
    frame = b'{"method":"m\\\\ud83d","x":"\\ude00"}'
    assert peek(frame).method == "m\\ud83d"


def test_keys_that_differ_in_a_lone_surrogate_are_different() -> None:
    frame = b'{"method":"m","params":{"\\ud83d":1,"\\ud83e":2,"\\udc00":3,"x":4}}'
    assert list(peek(frame).body) == ["\ue03d", "\ue03e", "\ue400", "x"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("id",), b"1.0"),
        (("params", "cwd"), b'"/w"'),
        (("params", "list"), b"[1, 2]"),
        (("params", "deep", "er"), b'{"x" : "\\ud83d"}'),
        (("params", "deep", "er", "x"), b'"\\ud83d"'),
        (("params", "none"), None),
        (("params", "none", "x"), None),
        (("params", "cwd", "x"), None),
        (("params", "list", "x"), None),
        (("result",), None),
        (("result", "x"), None),
    ],
)
def test_a_member_is_given_as_it_was_sent(path: tuple[str, ...], value: bytes | None) -> None:
    frame = (
        b'{"id": 1.0, "method":"m", "params" : {"cwd" : "/w" , "list":[1, 2],'
        b' "deep":{"er" : {"x" : "\\ud83d"} } } }'
    )
    assert peek(frame).member(*path) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("result",), b'{"stopReason" : "end_turn", "params":{"a":[1 ]} }'),
        (("result", "stopReason"), b'"end_turn"'),
        (("result", "params"), b'{"a":[1 ]}'),
        (("result", "params", "a"), b"[1 ]"),
        (("result", "none"), None),
        (("result", "stopReason", "a"), None),
        (("params", "a"), b"2"),
        (("error", "code"), None),
    ],
)
def test_a_member_of_an_answer_is_given_as_it_was_sent(
    path: tuple[str, ...], value: bytes | None
) -> None:
    envelope = peek(
        b'{"id":1,"params":{"a":2},"result":{"stopReason" : "end_turn", "params":{"a":[1 ]} }}'
    )
    assert envelope.member(*path) == value


@pytest.mark.parametrize("params", [b"null", b"[1]", b'{"b":1}'])
def test_there_is_no_member_in_params_without_it(params: bytes) -> None:
    assert peek(b'{"id":1,"method":"m","params":%b}' % params).member("params", "a") is None


def test_a_member_of_an_error_is_given_as_it_was_sent() -> None:
    assert peek(b'{"id":1,"error":{"code": -1}}').member("error", "code") == b"-1"


def test_a_member_is_not_given_where_its_name_occurs_twice() -> None:
    envelope = peek(b'{"id":1,"method":"m","params":{"toolCall":{"kind":"a","kind":"b"}}}')
    with pytest.raises(InvalidRequest, match="occurs twice"):
        envelope.member("params", "toolCall", "kind")


def test_an_envelope_prints_without_its_frame() -> None:
    envelope = peek(b'{"id":1,"method":"m","params":{"secret":1}}')
    assert repr(envelope) == "<Envelope REQUEST m id=b'1' of 43 bytes>"
