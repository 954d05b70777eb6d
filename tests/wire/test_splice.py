from __future__ import annotations

import pytest

from acprelay.wire import keep_meta, peek, rewrite

STAMP = b'{"seq":1}'


def stamped(frame: bytes) -> bytes:
    return rewrite(peek(frame), stamp=STAMP)


def stripped(frame: bytes) -> bytes:
    return rewrite(peek(frame), strip_stamp=True)


def test_a_frame_in_which_nothing_is_replaced_stays() -> None:
    frame = b' { "id" : 1.0 , "method":"m", "params":{"sessionId":"\\u0073" } }\r'
    assert rewrite(peek(frame)) == frame


@pytest.mark.parametrize(
    ("frame", "rewritten"),
    [
        (b'{"id":1,"method":"m"}', b'{"id":"r-7","method":"m"}'),
        (b'{"method":"m","\\u0069d" :\t1.0 }', b'{"method":"m","\\u0069d" :\t"r-7" }'),
        (b'{"result":{"id":1},"id":null}', b'{"result":{"id":1},"id":"r-7"}'),
        (b'{"method":"m","params":{"id":1}}', b'{"method":"m","params":{"id":1}}'),
    ],
)
def test_the_id_is_replaced_where_there_is_one(frame: bytes, rewritten: bytes) -> None:
    assert rewrite(peek(frame), id=b'"r-7"') == rewritten


@pytest.mark.parametrize(
    ("frame", "rewritten"),
    [
        (
            b'{"id":1,"method":"m","params":{"a":{"cwd":"/a"},"cwd" : "/b"}}',
            b'{"id":1,"method":"m","params":{"a":{"cwd":"/a"},"cwd" : "/p\\"q"}}',
        ),
        (b'{"id":1,"method":"m","params":{}}', b'{"id":1,"method":"m","params":{}}'),
        (b'{"id":1,"result":{"cwd":"/a"}}', b'{"id":1,"result":{"cwd":"/a"}}'),
    ],
)
def test_the_directory_of_a_request_is_replaced_where_there_is_one(
    frame: bytes, rewritten: bytes
) -> None:
    assert rewrite(peek(frame), cwd='/p"q') == rewritten


@pytest.mark.parametrize(
    ("frame", "rewritten"),
    [
        (
            b'{"method":"m","params":{"update":{"sessionId":"s"},"sessionId" : "s"}}',
            b'{"method":"m","params":{"update":{"sessionId":"s"},"sessionId" : "p\\"q"}}',
        ),
        (b'{"id":1,"result":{"sessionId":"s"}}', b'{"id":1,"result":{"sessionId":"p\\"q"}}'),
        (b'{"id":1,"result":{"sessionId":5}}', b'{"id":1,"result":{"sessionId":"p\\"q"}}'),
        (
            b'{"id":1,"method":"m","params":{"sessionId":null}}',
            b'{"id":1,"method":"m","params":{"sessionId":"p\\"q"}}',
        ),
        (b'{"id":1,"result":{"s":"s"}}', b'{"id":1,"result":{"s":"s"}}'),
        (b'{"sessionId":"s","id":1,"method":"m"}', b'{"sessionId":"s","id":1,"method":"m"}'),
        (b'{"id":1,"error":{"sessionId":"s"}}', b'{"id":1,"error":{"sessionId":"s"}}'),
    ],
)
def test_the_session_id_is_replaced_where_there_is_one(frame: bytes, rewritten: bytes) -> None:
    assert rewrite(peek(frame), session_id='p"q') == rewritten


@pytest.mark.parametrize(
    ("frame", "rewritten"),
    [
        (
            b'{"method":"$/cancel_request","params":{"requestId":"7"}}',
            b'{"method":"$/cancel_request","params":{"requestId":12}}',
        ),
        (b'{"method":"m","params":{}}', b'{"method":"m","params":{}}'),
        (
            b'{"id":1,"result":{"sessionId":"s","requestId":7}}',
            b'{"id":1,"result":{"sessionId":"s","requestId":7}}',
        ),
    ],
)
def test_the_request_id_is_replaced_in_params_only(frame: bytes, rewritten: bytes) -> None:
    assert rewrite(peek(frame), request_id=b"12") == rewritten


def test_several_values_are_replaced_in_whatever_order_they_stand() -> None:
    frame = b'{"params":{"_meta":{"a":1},"requestId":2,"sessionId":"s"},"method":"m","id":9}'
    rewritten = rewrite(
        peek(frame), id=b"1", session_id="p", request_id=b'"r"', stamp=STAMP, strip_stamp=True
    )
    assert rewritten == (
        b'{"params":{"_meta":{"a":1,"acprelay":{"seq":1}},"requestId":"r","sessionId":"p"},'
        b'"method":"m","id":1}'
    )


@pytest.mark.requirement("meta.stamp-is-added", "meta.forged-stamp-is-replaced")
@pytest.mark.parametrize(
    ("frame", "rewritten"),
    [
        (
            b'{"method":"m","params":{"a":1}}',
            b'{"method":"m","params":{"a":1,"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (
            b'{"method":"m","params":{ "a" : 1 }, "x":2}',
            b'{"method":"m","params":{ "a" : 1 ,"_meta":{"acprelay":{"seq":1}}}, "x":2}',
        ),
        (
            b'{"method":"m","params":{}}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (
            b'{"method":"m","params": { } }',
            b'{"method":"m","params": { "_meta":{"acprelay":{"seq":1}}} }',
        ),
        (
            b'{"method":"m","params":null}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (
            b'{"method":"m"}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (
            b' {"method":"}" } \r',
            b' {"method":"}" ,"params":{"_meta":{"acprelay":{"seq":1}}}} \r',
        ),
        (
            b'{"method":"m","params":{"_meta":null,"a":1}}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1}},"a":1}}',
        ),
        (
            b'{"method":"m","params":{"_meta":{}}}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (
            b'{"method":"m","params":{"_meta":{ "traceparent":"t" },"a":1}}',
            b'{"method":"m","params":{"_meta":{ "traceparent":"t" ,"acprelay":{"seq":1}},"a":1}}',
        ),
        (
            b'{"method":"m","params":{"_meta":{"acprelay":"forged","t":1}}}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1},"t":1}}}',
        ),
        (
            b'{"method":"m","params":{"\\u005fmeta":{"acprel\\u0061y" : {} }}}',
            b'{"method":"m","params":{"\\u005fmeta":{"acprel\\u0061y" : {"seq":1} }}}',
        ),
        (
            b'{"method":"m","params":{"_meta":"none"}}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (
            b'{"method":"m","params":{"_meta":[1]}}',
            b'{"method":"m","params":{"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (
            b'{"method":"m","params":{"update":{"_meta":{"acprelay":1}}}}',
            b'{"method":"m","params":{"update":{"_meta":{"acprelay":1}},'
            b'"_meta":{"acprelay":{"seq":1}}}}',
        ),
        (b'{"method":"m","params":[1]}', b'{"method":"m","params":[1]}'),
    ],
)
def test_a_stamp_goes_into_the_meta_of_params(frame: bytes, rewritten: bytes) -> None:
    assert stamped(frame) == rewritten


@pytest.mark.parametrize(
    ("result", "rewritten"),
    [
        (b"{}", b'{"_meta":{"acprelay":{"seq":1}}}'),
        (b"{ }", b'{ "_meta":{"acprelay":{"seq":1}}}'),
        (b'{"sessionId":"s"}', b'{"sessionId":"s","_meta":{"acprelay":{"seq":1}}}'),
        (b'{ "modes" : null }', b'{ "modes" : null ,"_meta":{"acprelay":{"seq":1}}}'),
        (b'{"_meta":null,"a":1}', b'{"_meta":{"acprelay":{"seq":1}},"a":1}'),
        (b'{"_meta":{},"a":1}', b'{"_meta":{"acprelay":{"seq":1}},"a":1}'),
        (b'{"_meta":{"t":1}}', b'{"_meta":{"t":1,"acprelay":{"seq":1}}}'),
        (b'{"_meta":"none"}', b'{"_meta":{"acprelay":{"seq":1}}}'),
        (
            b'{"_meta":{"acpr\\u0065lay" : [1] , "t":1}}',
            b'{"_meta":{"acpr\\u0065lay" : {"seq":1} , "t":1}}',
        ),
        (
            b'{"a":{"_meta":{"acprelay":1}}}',
            b'{"a":{"_meta":{"acprelay":1}},"_meta":{"acprelay":{"seq":1}}}',
        ),
        (b"null", b"null"),
        (b"[]", b"[]"),
        (b"7", b"7"),
    ],
)
def test_a_stamp_goes_into_the_meta_of_a_result_that_is_an_object(
    result: bytes, rewritten: bytes
) -> None:
    frame = b'{"params":{"_meta":{}},"result" : %b , "id":1}'
    assert stamped(frame % result) == frame % rewritten


def test_an_error_takes_no_stamp() -> None:
    frame = b'{"id":1,"error":{"code":1,"_meta":{"acprelay":1}}}'
    assert stamped(frame) == frame


def test_a_result_takes_a_session_id_and_a_stamp_together() -> None:
    frame = b'{"result":{"_meta":{"a":1},"sessionId":"s"},"id":9}'
    assert rewrite(peek(frame), id=b'"c"', session_id="p", stamp=STAMP) == (
        b'{"result":{"_meta":{"a":1,"acprelay":{"seq":1}},"sessionId":"p"},"id":"c"}'
    )


@pytest.mark.requirement("meta.clients-stamps-are-stripped", "meta.other-meta-passes")
@pytest.mark.parametrize(
    ("meta", "rest"),
    [
        (b'{"acprelay":1}', b"{}"),
        (b'{ "acprelay" : {"a":"}"} }', b"{ }"),
        (b'{"acprelay":1,"b":2}', b'{"b":2}'),
        (b'{ "acprelay":1 , "b":2 }', b'{ "b":2 }'),
        (b'{"a":0,"acprelay":1}', b'{"a":0}'),
        (b'{"a":0 , "acprelay":1 }', b'{"a":0 }'),
        (b'{"a":0,"acprelay":1,"b":2}', b'{"a":0,"b":2}'),
        (b'{"a":0 ,"acpr\\u0065lay":[1,2] , "b":2}', b'{"a":0 , "b":2}'),
        (b'{"a":{"acprelay":1}}', b'{"a":{"acprelay":1}}'),
        (b"{}", b"{}"),
        (b"null", b"null"),
        (b'"acprelay"', b'"acprelay"'),
    ],
)
def test_a_stamp_that_a_client_sends_is_stripped_and_nothing_else(meta: bytes, rest: bytes) -> None:
    frame = b'{"id":1,"method":"m","params":{"acprelay":1,"_meta": %b ,"z":1}}'
    assert stripped(frame % meta) == frame % rest


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":1,"method":"m"}',
        b'{"id":1,"method":"m","params":null}',
        b'{"id":1,"method":"m","params":[{"_meta":{"acprelay":1}}]}',
        b'{"id":1,"method":"m","_meta":{"acprelay":1}}',
        b'{"id":1,"result":{"sessionId":"s","_meta":{"acprelay":1}}}',
    ],
)
def test_there_is_nothing_to_strip_elsewhere(frame: bytes) -> None:
    assert stripped(frame) == frame


def test_lone_surrogates_pass_through_as_they_were_sent() -> None:
    frame = b'{"id":"\\ud83d","method":"m","params":{"sessionId":"s","t":"\\ude00 \\\\ud83d"}}'
    assert rewrite(peek(frame), id=b"1", session_id="p", stamp=STAMP) == (
        b'{"id":1,"method":"m","params":{"sessionId":"p","t":"\\ude00 \\\\ud83d",'
        b'"_meta":{"acprelay":{"seq":1}}}}'
    )


def test_a_session_id_that_utf8_cannot_write_is_escaped() -> None:
    frame = b'{"method":"m","params":{"sessionId":"s"}}'
    assert rewrite(peek(frame), session_id="\ud83d") == (
        b'{"method":"m","params":{"sessionId":"\\ud83d"}}'
    )


KEPT = frozenset({"traceparent", "baggage"})


@pytest.mark.parametrize(
    ("frame", "rewritten"),
    [
        (
            b'{"method":"m", "params":{"_meta" : {"x":1, "traceparent" : "t" } ,"a":"\\u0073"}}',
            b'{"method":"m", "params":{"_meta" : {"traceparent":"t"} ,"a":"\\u0073"}}',
        ),
        (
            b'{"method":"m","params":{"_meta":{"x":{"traceparent":1}}}}',
            b'{"method":"m","params":{"_meta":{}}}',
        ),
        (
            b'{"method":"m","params":{"_meta":{"b\\u0061ggage":1,"x":2,"traceparent":[ 3 ]}}}',
            b'{"method":"m","params":{"_meta":{"baggage":1,"traceparent":[ 3 ]}}}',
        ),
        (b'{"id":1,"result":{"_meta":{"x":1},"a":2}}', b'{"id":1,"result":{"_meta":{},"a":2}}'),
        (b'{"method":"m","params":{"_meta":"x"}}', b'{"method":"m","params":{"_meta":{}}}'),
    ],
)
def test_only_some_members_of_meta_are_kept(frame: bytes, rewritten: bytes) -> None:
    assert keep_meta(peek(frame), KEPT) == rewritten


@pytest.mark.parametrize(
    "frame",
    [
        b'{"method":"m"}',
        b'{"method":"m","params":[{"_meta":{"x":1}}]}',
        b'{"method":"m","params":{"a":{"_meta":{"x":1}}}}',
        b'{"method":"m","params":{"_meta":null}}',
        b'{"method":"m","params":{"_meta":{ }}}',
        b'{"method":"m","params":{"_meta":{ "traceparent" : 1 , "baggage":"b"}}}',
        b'{"id":1,"error":{"_meta":{"x":1}}}',
    ],
)
def test_a_frame_with_nothing_to_leave_out_of_its_meta_is_the_same(frame: bytes) -> None:
    assert keep_meta(peek(frame), KEPT) is frame


def test_what_is_replaced_may_stand_in_any_order() -> None:
    envelope = peek(b'{"method":"m","params":{"sessionId":"agent"},"id":1}')
    spliced = rewrite(envelope, id=b"22", session_id="public")
    assert spliced == b'{"method":"m","params":{"sessionId":"public"},"id":22}'


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":7,"method":"m","params":{"sessionId":"a","x":1}}',
        b'{"id":7,"method":"m","params":{"x":1,"sessionId":"a"}}',
        b'{"method":"m","params":{"sessionId":"a","x":1},"id":7}',
        b'{"method":"m","params":{"sessionId":"a","_meta":{"x":1}},"id":7}',
        b'{"method":"m","params":{"sessionId":"a","_meta":{"x":1}, "y":2}}',
        b'{"id":7,"method":"m","params":{"_meta":{"x":1},"sessionId":"a"}}',
        b'{"id":7,"method":"m","params":{"sessionId":"a","_meta":{"acprelay":{"x":1}, "y":2}}}',
        b'{"id":7,"method":"m","params":{"sessionId":"a","_meta":{ } }}',
        b'{"id":7,"method":"m","params":{"sessionId":"a","_meta":null}}',
        b'{"id":7,"method":"m","params":{"sessionId":"a","_meta":[]}}',
        b'{"id":7,"method":"m","params":{"x":1}}',
        b'{"id":7,"method":"m"}',
        b'{"id":7,"result":{"sessionId":"a","x":1}}',
        b'{"result":{"sessionId":"a","_meta":{"x":1}},"id":7}',
        b'{"id":7,"error":{"code":1,"message":"","sessionId":"a"}}',
    ],
)
def test_all_that_is_replaced_at_once_is_what_is_replaced_one_after_another(frame: bytes) -> None:
    at_once = rewrite(peek(frame), id=b'"mine"', session_id="public", stamp=b'{"seq":1}')
    one_by_one = rewrite(peek(frame), stamp=b'{"seq":1}')
    one_by_one = rewrite(peek(one_by_one), session_id="public")
    assert at_once == rewrite(peek(one_by_one), id=b'"mine"')
