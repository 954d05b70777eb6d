"""The frames that the relay authors."""

from __future__ import annotations

import json

from acprelay.errors import AgentExited, CursorExpired, FrameTooLarge
from acprelay.routing.frames import (
    NOTICE,
    TURN_STARTED,
    attached,
    cancel_request,
    cancel_session,
    error_fields,
    error_reply,
    loss_notice,
    marker,
    result_reply,
    session_update,
)


def test_an_error_reply_has_the_code_whether_to_retry_the_hint_and_the_facts() -> None:
    error = FrameTooLarge(size=11, limit=10)
    assert json.loads(error_reply(b'"a"', error)) == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {
            "code": -32030,
            "message": "cannot relay a message of 11 bytes: the limit is 10",
            "data": {
                "code": "frame_too_large",
                "retryable": False,
                "hint": error.hint,
                "size": 11,
                "limit": 10,
            },
        },
    }


def test_ids_are_written_as_they_were_sent() -> None:
    assert result_reply(b"1.0", None) == b'{"jsonrpc":"2.0","id":1.0,"result":null}'
    assert error_reply(b"1e0", FrameTooLarge(size=2, limit=1)).startswith(
        b'{"jsonrpc":"2.0","id":1e0,"error":'
    )


def test_a_result_is_encoded_compactly() -> None:
    assert (
        result_reply(b"7", {"stopReason": "cancelled"})
        == b'{"jsonrpc":"2.0","id":7,"result":{"stopReason":"cancelled"}}'
    )


def test_a_notice_names_the_session_the_error_and_its_place_in_the_log() -> None:
    error = AgentExited(agent="coder", status="exit status 3", stderr="boom")
    message = marker(NOTICE, "s:main", error_fields(error), stamp=b'{"generation":"g","seq":4}')
    assert json.loads(message) == {
        "jsonrpc": "2.0",
        "method": "_acprelay/notice",
        "params": {
            "sessionId": "s:main",
            "code": "agent_exited",
            "retryable": True,
            "hint": error.hint,
            "message": error.message,
            "agent": "coder",
            "status": "exit status 3",
            "stderr": "boom",
            "_meta": {"acprelay": {"generation": "g", "seq": 4}},
        },
    }


def test_a_marker_has_its_fields_between_the_session_and_the_stamp() -> None:
    assert marker(TURN_STARTED, "s:main", {"turn": "g-1"}, stamp=b'{"seq": 1}') == (
        b'{"jsonrpc":"2.0","method":"_acprelay/turn_started","params":'
        b'{"sessionId":"s:main","turn":"g-1","_meta":{"acprelay":{"seq": 1}}}}'
    )


def test_what_is_lost_is_told_without_a_number() -> None:
    told = json.loads(loss_notice("s:main", "g", CursorExpired(oldest="g:7")))
    assert told["method"] == "_acprelay/notice"
    assert told["params"]["code"] == "cursor_expired"
    assert told["params"]["oldest"] == "g:7"
    assert told["params"]["_meta"] == {"acprelay": {"generation": "g"}}


def test_that_a_session_s_stream_has_something_is_told_without_a_number() -> None:
    assert json.loads(attached("s:main", "g")) == {
        "jsonrpc": "2.0",
        "method": "_acprelay/attached",
        "params": {"sessionId": "s:main", "_meta": {"acprelay": {"generation": "g"}}},
    }


def test_an_update_is_framed_as_it_is() -> None:
    assert session_update("s:main", b'{"a" : 1.0}', stamp=b'{"seq":1}') == (
        b'{"jsonrpc":"2.0","method":"session/update","params":'
        b'{"sessionId":"s:main","update":{"a" : 1.0},"_meta":{"acprelay":{"seq":1}}}}'
    )


def test_a_turn_is_stopped_under_the_agents_own_name_for_the_session() -> None:
    assert cancel_session('own"') == (
        b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"own\\""}}'
    )


def test_a_cancellation_names_the_request() -> None:
    assert (
        cancel_request(b'"g-1"')
        == b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":"g-1"}}'
    )
