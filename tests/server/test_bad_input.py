"""Bad input gets a JSON-RPC error with a stable code and a hint, and the connection goes on."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.clients import AcpClient
from tests.server.peers import Message, Opcode, WebSocketPeer, frame
from tests.server.relays import Dialler

# What a message means does not depend on the loop.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'
NO_ID = b"null"


class Refusal(NamedTuple):
    """What a bad message is answered with: the raw id, the JSON-RPC code, the relay's code."""

    id: bytes
    jsonrpc_code: int
    code: str


PARSE = Refusal(NO_ID, -32700, "parse_failed")
INVALID = Refusal(NO_ID, -32600, "invalid_request")
INVALID_ONE = Refusal(b"1", -32600, "invalid_request")

BEFORE_INITIALIZE = [
    pytest.param(b"", PARSE, id="nothing"),
    pytest.param(b"{", PARSE, id="half an object"),
    pytest.param(b'{"id":1,"method":"initialize"}}', PARSE, id="more than an object"),
    pytest.param(b'{"id":1}{"id":2}', PARSE, id="two objects"),
    pytest.param(b"hello", PARSE, id="prose"),
    pytest.param(b"\xff\xfe\x00", PARSE, id="binary"),
    pytest.param(b'{"id":1,"method":"\xff"}', PARSE, id="a method that is no UTF-8"),
    pytest.param(b'{"id":1,"method":"a","params":{"x":"\xc3"}}', PARSE, id="invalid UTF-8 within"),
    pytest.param(b'\xef\xbb\xbf{"id":1,"method":"a"}', PARSE, id="a byte order mark"),
    pytest.param(b'{"id":1,"method":"a","params":NaN}', PARSE, id="NaN"),
    pytest.param(b'{"id":01,"method":"a"}', PARSE, id="a leading zero"),
    pytest.param(b'{"params":' + b"[" * 100_000 + b"]" * 100_000 + b"}", PARSE, id="depth"),
    pytest.param(b"[" * 100_000, PARSE, id="depth without end"),
    pytest.param(b"[]", INVALID, id="an empty batch"),
    pytest.param(b"[" + INITIALIZE + b"]", INVALID, id="a batch"),
    pytest.param(b"  \n[" + INITIALIZE + b"," + INITIALIZE + b"]", INVALID, id="a spaced batch"),
    pytest.param(b"1", INVALID, id="a number"),
    pytest.param(b'"initialize"', INVALID, id="a string"),
    pytest.param(b"null", INVALID, id="null"),
    pytest.param(b"{}", INVALID, id="an empty object"),
    pytest.param(b'{"id":1}', INVALID_ONE, id="an id alone"),
    pytest.param(b'{"id":1,"method":"a","result":1}', INVALID_ONE, id="a method and a result"),
    pytest.param(b'{"id":{},"method":"a"}', INVALID, id="an object as id"),
    pytest.param(b'{"id":[1],"method":"a"}', INVALID, id="an array as id"),
    pytest.param(b'{"id":true,"method":"a"}', INVALID, id="a boolean as id"),
    pytest.param(b'{"id":1,"method":1}', INVALID_ONE, id="a number as method"),
    pytest.param(b'{"id":1,"method":null}', INVALID_ONE, id="null as method"),
    pytest.param(b'{"id":1,"method":"a","params":1}', INVALID_ONE, id="a number as params"),
    pytest.param(b'{"id":1,"id":2,"method":"a"}', INVALID, id="two ids"),
    pytest.param(b'{"id":1,"\\u0069d":2,"method":"a"}', INVALID, id="two ids, one escaped"),
    pytest.param(
        b'{"id":1,"method":"a","params":{"sessionId":"x","sessionId":"y"}}',
        INVALID_ONE,
        id="two session ids",
    ),
    pytest.param(
        b'{"id":1,"method":"a","params":{"sessionId":1}}', INVALID_ONE, id="a number as session id"
    ),
    *(
        pytest.param(
            b'{"id":' + raw + b',"method":"session/new"}',
            Refusal(raw, -32600, "invalid_request"),
            id=f"too early, id {raw.decode()[:20]}",
        )
        for raw in (b"0", b"-1", b"1.0", b"1e3", b'"1"', b'""', b'"\\ud800"', b"null", b"9" * 400)
    ),
    pytest.param(
        b'{"id":1,"method":"\\ud800"}',
        INVALID_ONE,
        id="a method that is no text",
    ),
    pytest.param(
        b'{"id":1,"method":"' + b"x" * 100_000 + b'"}',
        INVALID_ONE,
        id="a long method",
    ),
    *(
        pytest.param(
            b'{"id":1,"method":"initialize","params":' + params + b"}",
            Refusal(b"1", -32602, "invalid_params"),
            id=f"initialize with {params.decode()}",
        )
        for params in (
            b"null",
            b"[]",
            b"{}",
            b'{"protocolVersion":"one"}',
            b'{"protocolVersion":null}',
            b'{"protocolVersion":0}',
            b'{"protocolVersion":-1}',
            b'{"protocolVersion":1.5}',
        )
    ),
]


def _in_session(method: bytes, session: bytes = b"") -> bytes:
    return b'{"id":"q","method":"' + method + b'","params":{' + session + b"}}"


UNKNOWN_SESSION = b'"sessionId":"nobody:main"'
NOT_FOUND = Refusal(b'"q"', -32002, "session_not_found")
NO_METHOD = Refusal(b'"q"', -32601, "method_not_found")
BAD_PARAMS = Refusal(b'"q"', -32602, "invalid_params")

AFTER_INITIALIZE = [
    pytest.param(INITIALIZE, INVALID_ONE, id="a second initialize"),
    pytest.param(_in_session(b"session/prompt"), BAD_PARAMS, id="a prompt without a session"),
    pytest.param(
        _in_session(b"session/prompt", b'"sessionId":null'), BAD_PARAMS, id="a prompt to null"
    ),
    *(
        pytest.param(_in_session(method, UNKNOWN_SESSION), NOT_FOUND, id=f"{method.decode()} to it")
        for method in (
            b"session/prompt",
            b"session/set_mode",
            b"session/set_config_option",
            b"session/set_model",
            b"session/load",
            b"session/resume",
            b"session/close",
            b"session/delete",
            b"_acprelay/attach",
            b"_acprelay/turns",
            b"_acprelay/cancel_turn",
            b"_vendor/extension",
            b"unheard/of",
        )
    ),
    pytest.param(
        _in_session(b"session/prompt", b'"sessionId":""'), NOT_FOUND, id="a prompt to nobody"
    ),
    pytest.param(
        _in_session(b"session/prompt", b'"sessionId":"\\ud800"'), NOT_FOUND, id="to no text"
    ),
    pytest.param(
        _in_session(b"session/prompt", b'"sessionId":"' + b"x" * 100_000 + b'"'),
        NOT_FOUND,
        id="to a very long id",
    ),
    *(
        pytest.param(
            _in_session(method, UNKNOWN_SESSION), NO_METHOD, id=f"{method.decode()}, not served"
        )
        for method in (
            b"session/fork",
            b"_acprelay/unheard_of",
            b"session/update",
            b"session/request_permission",
            b"fs/read_text_file",
            b"terminal/create",
        )
    ),
    *(
        pytest.param(
            _in_session(b"session/new", params),
            BAD_PARAMS,
            id=f"session/new with {params.decode()}",
        )
        for params in (b"", b'"cwd":null', b'"cwd":5', b'"cwd":"\\ud800"', b'"mcpServers":[]')
    ),
]


@pytest.mark.requirement("handshake.nothing-comes-before-it")
@pytest.mark.parametrize(("message", "refusal"), BEFORE_INITIALIZE)
async def test_before_initialize_it_is_refused_and_initialize_works_all_the_same(
    dial: Dialler, message: bytes, refusal: Refusal
) -> None:
    client = await dial()
    await client.peer.send(message, Opcode.BINARY)
    await _expect(client.peer, refusal)
    assert await client.initialize()


@pytest.mark.requirement("handshake.second-is-refused")
@pytest.mark.parametrize(("message", "refusal"), AFTER_INITIALIZE)
async def test_after_initialize_it_is_refused_and_a_session_can_be_opened_all_the_same(
    dial: Dialler, message: bytes, refusal: Refusal
) -> None:
    client = await dial()
    await client.initialize()
    await client.peer.send(message)
    await _expect(client.peer, refusal)
    assert await client.new_session()


@pytest.mark.requirement("handshake.second-is-refused")
async def test_a_second_initialize_is_refused_while_the_first_waits(dial: Dialler) -> None:
    client = await dial()
    await client.peer.write(frame(INITIALIZE) + frame(INITIALIZE.replace(b'"id":1', b'"id":2')))
    refusal = await client.receive()
    assert (refusal["id"], refusal["error"]["data"]["code"]) == (2, "invalid_request")
    assert "result" in await client.receive()


@pytest.mark.requirement("peers.answers-to-notifications-are-ignored")
@pytest.mark.parametrize(
    "silent",
    [
        b'{"id":5,"result":{}}',
        b'{"id":null,"error":{"code":-32601,"message":"what?"}}',
        b'{"id":1,"result":1,"error":{}}',
        b'{"id":"5","error":{"code":1,"message":""}}',
        b'{"method":"session/cancel","params":{"sessionId":"nobody:main"}}',
        b'{"method":"session/cancel"}',
        b'{"method":"session/prompt","params":{"sessionId":"nobody:main"}}',
        b'{"method":"initialize","params":{"protocolVersion":1}}',
        b'{"method":"_vendor/news","params":[]}',
        b'{"method":"$/cancel_request","params":{"requestId":17}}',
        b'{"method":"$/cancel_request"}',
        b'{"method":"\\ud800"}',
    ],
)
async def test_answers_to_nothing_and_notifications_to_nobody_are_silent(
    dial: Dialler, silent: bytes
) -> None:
    client = await dial()
    await client.peer.send(silent)
    assert (await client.initialize())["protocolVersion"] == 1
    await client.peer.send(silent)
    assert (await client.result("session/list", {}))["sessions"] == []
    assert client.heard == []


async def test_an_id_that_is_in_flight_is_not_taken_again(dial: Dialler) -> None:
    client = await dial()
    session_id = await client.open_session()
    await client.until("session/update")
    text = {"sessionId": session_id, "prompt": [{"type": "text", "text": "/think\n/slow 1000"}]}
    prompt: Message = {"id": 50, "method": "session/prompt", "params": text}
    await client.send(prompt)
    await client.until("session/update")
    await client.send(prompt)
    refusal = await client.answer_to(50)
    assert refusal["error"]["data"]["code"] == "invalid_request"
    await client.send({"method": "session/cancel", "params": {"sessionId": session_id}})
    assert (await client.answer_to(50))["result"] == {"stopReason": "cancelled"}


@pytest.fixture
async def client(dial: Dialler) -> AcpClient:
    """A client with a session."""
    opened = await dial()
    await opened.open_session()
    return opened


_MEMBERS = st.sampled_from(
    ["id", "method", "params", "result", "error", "sessionId", "_meta", "requestId", "jsonrpc"]
)
_METHODS = st.sampled_from(
    ["initialize", "session/prompt", "session/cancel", "session/list", "session/close", "x/y"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _METHODS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_MEMBERS, inner, max_size=5),
    max_leaves=12,
)
_MESSAGES = st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(_MESSAGES, max_size=20))
async def test_no_message_whatever_ends_a_connection(
    client: AcpClient, messages: list[bytes]
) -> None:
    for message in messages:
        await client.peer.send(message)
    await client.send({"id": "sentinel", "method": "session/list"})
    assert "result" in await client.answer_to("sentinel")
    for answer in client.heard:
        assert "error" not in answer or answer["error"]["code"] < 0
    client.heard.clear()


async def _expect(peer: WebSocketPeer, refusal: Refusal) -> None:
    answer = await peer.receive()
    assert answer.startswith(b'{"jsonrpc":"2.0","id":' + refusal.id + b',"error":{')
    error = json.loads(answer)["error"]
    assert error["code"] == refusal.jsonrpc_code
    assert error["data"]["code"] == refusal.code
    assert error["data"]["retryable"] is False
    assert error["data"]["hint"]
    assert error["message"].startswith("cannot ")
    assert len(answer) < 2000
