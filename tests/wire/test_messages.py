from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.wire import (
    error_response,
    json_string,
    notification,
    request,
    response,
    stamp,
)


def test_a_request_is_compact_json() -> None:
    assert (
        request(b"7", "session/new", b'{"cwd":"/"}')
        == b'{"jsonrpc":"2.0","id":7,"method":"session/new","params":{"cwd":"/"}}'
    )


def test_a_request_may_have_no_params() -> None:
    assert request(b'"a"', "logout") == b'{"jsonrpc":"2.0","id":"a","method":"logout"}'


def test_a_notification_has_no_id() -> None:
    assert (
        notification("session/cancel", b'{"sessionId":"s"}')
        == b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s"}}'
    )
    assert notification("_x/y") == b'{"jsonrpc":"2.0","method":"_x/y"}'


def test_a_response_gives_the_id_back_as_it_was_sent() -> None:
    assert response(b"1.0", b"null") == b'{"jsonrpc":"2.0","id":1.0,"result":null}'


def test_an_error_response_carries_code_message_and_data() -> None:
    assert error_response(b"3", -32601, 'cannot serve "x"', {"code": "c", "retryable": False}) == (
        b'{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"cannot serve \\"x\\"",'
        b'"data":{"code":"c","retryable":false}}}'
    )


def test_an_error_response_to_an_unreadable_request_has_the_id_null() -> None:
    assert json.loads(error_response(None, -32700, "m", {}))["id"] is None


def test_text_that_utf8_cannot_write_is_escaped_in_errors() -> None:
    message = error_response(b"1", -32000, "lone \ud83d", {"stderr": "raw \udcff"})
    assert json.loads(message)["error"] == {
        "code": -32000,
        "message": "lone \ud83d",
        "data": {"stderr": "raw \udcff"},
    }


@given(st.text(st.characters()))
def test_any_string_survives(text: str) -> None:
    written = json_string(text)
    assert json.loads(written.decode()) == text
    assert b"\n" not in written


def test_a_lone_surrogate_is_escaped() -> None:
    assert json_string("a\ud83d") == b'"a\\ud83d"'


@pytest.mark.parametrize(
    ("agent_session_id", "out_of_turn", "written"),
    [
        (None, False, b'{"generation":"g1","seq":12}'),
        ('sub"1', False, b'{"generation":"g1","seq":12,"agentSessionId":"sub\\"1"}'),
        (None, True, b'{"generation":"g1","seq":12,"outOfTurn":true}'),
        ("s", True, b'{"generation":"g1","seq":12,"outOfTurn":true,"agentSessionId":"s"}'),
    ],
)
def test_a_stamp_tells_the_position_in_the_log_and_what_is_odd_about_an_entry(
    agent_session_id: str | None, out_of_turn: bool, written: bytes
) -> None:
    assert stamp("g1", 12, agent_session_id, out_of_turn=out_of_turn) == written
