"""Where a client's message goes: the whole table."""

from __future__ import annotations

import pytest

from acprelay.errors import InvalidRequest, MethodNotFound, RelayError
from acprelay.routing.destinations import Destination, answering_session, destination
from acprelay.wire import METHODS, Envelope, json_string, peek

# Where the request goes, and where the notification, once `initialize` is answered.
TABLE: dict[str, tuple[Destination | type[RelayError], Destination]] = {
    "initialize": (InvalidRequest, Destination.NOWHERE),
    "session/new": (Destination.OPEN_SESSION, Destination.NOWHERE),
    "session/list": (Destination.LIST_SESSIONS, Destination.NOWHERE),
    "session/load": (Destination.LOAD_SESSION, Destination.NOWHERE),
    "session/resume": (Destination.RESUME_SESSION, Destination.NOWHERE),
    "session/close": (Destination.CLOSE_SESSION, Destination.NOWHERE),
    "session/delete": (Destination.DELETE_SESSION, Destination.NOWHERE),
    "_acprelay/attach": (Destination.ATTACH, Destination.NOWHERE),
    "_acprelay/turns": (Destination.DESCRIBE_TURNS, Destination.NOWHERE),
    "_acprelay/cancel_turn": (Destination.CANCEL_TURN, Destination.NOWHERE),
    "_acprelay/run": (Destination.DESCRIBE_RUN, Destination.NOWHERE),
    "_acprelay/invite": (Destination.INVITE, Destination.NOWHERE),
    "_acprelay/revoke_invitations": (Destination.REVOKE_INVITATIONS, Destination.NOWHERE),
    "authenticate": (Destination.AGENT_PROCESS, Destination.NOWHERE),
    "logout": (Destination.AGENT_PROCESS, Destination.NOWHERE),
    "$/cancel_request": (MethodNotFound, Destination.CANCEL_REQUEST),
    **dict.fromkeys(
        (
            "session/fork",
            "session/update",
            "session/request_permission",
            "fs/read_text_file",
            "fs/write_text_file",
            "terminal/create",
            "terminal/output",
            "terminal/wait_for_exit",
            "terminal/kill",
            "terminal/release",
            "elicitation/create",
            "elicitation/complete",
            "mcp/connect",
            "mcp/disconnect",
            # An agent's that are about no session:
            "mcp/message",
            "nes/start",
            "providers/list",
            "providers/set",
            "providers/disable",
            # The relay's own namespace, which no agent serves:
            "_acprelay/",
            "_acprelay/notice",
            "_acprelay/turn_started",
        ),
        (MethodNotFound, Destination.NOWHERE),
    ),
    **dict.fromkeys(
        (
            "session/prompt",
            "session/cancel",
            "session/set_mode",
            "session/set_config_option",
            "session/set_model",
            "nes/suggest",
            "nes/accept",
            "nes/reject",
            "nes/close",
            "document/didOpen",
            "document/didChange",
            "document/didClose",
            "document/didSave",
            "document/didFocus",
            # Not ACP's own:
            "_vendor/thing",
            "craft/drainMidTurnQueue",
            "",
            "é\ud800",
        ),
        (Destination.SESSION, Destination.SESSION),
    ),
}


def request(method: str, request_id: bytes = b"0") -> Envelope:
    return peek(b'{"id":%b,"method":%b}' % (request_id, json_string(method)))


def notification(method: str) -> Envelope:
    return peek(b'{"method":%b}' % json_string(method))


def test_the_table_has_every_method_of_the_protocol() -> None:
    assert METHODS.keys() <= TABLE.keys()


@pytest.mark.parametrize("method", TABLE)
def test_a_request_of_an_initialized_client_goes_where_the_table_says(method: str) -> None:
    goes = TABLE[method][0]
    if isinstance(goes, Destination):
        assert destination(request(method), initialized=True) is goes
    else:
        with pytest.raises(goes, match=r"^cannot "):
            destination(request(method), initialized=True)


@pytest.mark.parametrize("method", TABLE)
def test_a_notification_of_an_initialized_client_goes_where_the_table_says(method: str) -> None:
    assert destination(notification(method), initialized=True) is TABLE[method][1]


ABOUT_NO_AGENT = {"_acprelay/invite", "_acprelay/revoke_invitations"}


@pytest.mark.parametrize("method", sorted(ABOUT_NO_AGENT))
def test_what_concerns_no_agent_that_initialize_would_start_is_served_without_it(
    method: str,
) -> None:
    assert destination(request(method), initialized=False) is TABLE[method][0]


@pytest.mark.parametrize("method", sorted(TABLE.keys() - {"initialize"} - ABOUT_NO_AGENT))
def test_no_request_is_served_before_initialize(method: str) -> None:
    with pytest.raises(InvalidRequest, match="before initialize") as caught:
        destination(request(method), initialized=False)
    assert caught.value.hint == "send initialize first, and wait for its answer"


def test_initialize_is_served_first() -> None:
    assert destination(request("initialize"), initialized=False) is Destination.INITIALIZE


@pytest.mark.parametrize("method", TABLE)
def test_a_notification_before_initialize_goes_nowhere(method: str) -> None:
    assert destination(notification(method), initialized=False) is Destination.NOWHERE


@pytest.mark.parametrize("initialized", [True, False])
@pytest.mark.parametrize("outcome", [b'"result":{}', b'"error":{"code":1,"message":"no"}'])
@pytest.mark.parametrize("answer_id", [b"0", b'"g-1"', b"1.0"])
def test_an_answer_goes_to_whoever_asked(
    answer_id: bytes, outcome: bytes, initialized: bool
) -> None:
    answer = peek(b'{"id":%b,%b}' % (answer_id, outcome))
    assert destination(answer, initialized=initialized) is Destination.ASK


@pytest.mark.parametrize("initialized", [True, False])
def test_an_answer_to_nothing_goes_nowhere(initialized: bool) -> None:
    complaint = peek(b'{"id":null,"error":{"code":-32601,"message":"no such notification"}}')
    assert destination(complaint, initialized=initialized) is Destination.NOWHERE


def test_a_request_whose_id_is_null_is_a_request() -> None:
    assert destination(request("session/new", b"null"), initialized=True) is (
        Destination.OPEN_SESSION
    )


def test_a_long_method_is_cut_in_the_refusal() -> None:
    with pytest.raises(InvalidRequest) as caught:
        destination(request("x" * 100_000), initialized=False)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("method", ["session/load", "session/resume", "_acprelay/attach"])
def test_what_brings_a_client_into_a_session_is_answered_to_its_connection(method: str) -> None:
    message = b'{"id":1,"method":%b,"params":{"sessionId":"s:main"}}' % json_string(method)
    assert answering_session(peek(message)) is None


def test_other_requests_about_a_session_are_answered_to_it() -> None:
    message = b'{"id":1,"method":"session/prompt","params":{"sessionId":"s:main"}}'
    assert answering_session(peek(message)) == "s:main"
    assert answering_session(peek(b'{"id":1,"method":"_x/y"}')) is None
