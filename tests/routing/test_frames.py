"""The frames that the relay authors."""

from __future__ import annotations

import json

from acprelay.errors import AgentExited, FrameTooLarge
from acprelay.routing.frames import cancel_request, error_reply, notice, result_reply, string_id


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
    message = notice("s:main", error, stamp=b'{"generation":"g","seq":4}')
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


def test_a_cancellation_names_the_request() -> None:
    assert (
        cancel_request(b'"g-1"')
        == b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":"g-1"}}'
    )


def test_a_string_id_is_json() -> None:
    assert string_id('a"b') == b'"a\\"b"'
