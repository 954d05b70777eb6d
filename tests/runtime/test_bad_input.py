"""What a client is told that says what it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

from acprelay.routing.conversation import Conversation
from acprelay.session.models import SessionKey, SessionState
from acprelay.testing.agents import Message, encode

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World


KEY = SessionKey("task", "main")

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""


def request(method: str, params: object = None, *, request_id: object = 7) -> bytes:
    message: Message = {"jsonrpc": "2.0", "id": request_id, "method": method}
    return encode(message if params is None else {**message, "params": params})


Bad: TypeAlias = tuple[bytes, object, tuple[int, str], str]
"""A frame, the id in the answer to it, the two codes there, and a word of the remedy."""

PARSE = (-32700, "parse_failed")
INVALID = (-32600, "invalid_request")
UNKNOWN = (-32601, "method_not_found")
PARAMS = (-32602, "invalid_params")
NO_SESSION = (-32002, "session_not_found")

BEFORE_INITIALIZE: list[Bad] = [
    (b"{", None, PARSE, "JSON"),
    (b"\xff\xfe", None, PARSE, "UTF-8"),
    (b"", None, PARSE, ""),
    (b"[]", None, INVALID, ""),
    (b"[" + request("initialize", {"protocolVersion": 1}) + b"]", None, INVALID, ""),
    (b"1", None, INVALID, ""),
    (b"null", None, INVALID, ""),
    (request("session/new", {"cwd": "/"}), 7, INVALID, "initialize first"),
    (request("session/prompt", {"sessionId": "task:main"}), 7, INVALID, "initialize first"),
    (request("no/such"), 7, INVALID, "initialize first"),
    (request("_x/y"), 7, INVALID, "initialize first"),
]

AFTER_INITIALIZE: list[Bad] = [
    (b'{"jsonrpc":"2.0","id":7,"method":"session/new"', None, PARSE, "JSON"),
    (b"[" * 100_000, None, PARSE, ""),
    (b'[{"jsonrpc":"2.0","id":7,"method":"session/new"}]', None, INVALID, ""),
    (b'{"jsonrpc":"2.0","id":7,"method":7}', 7, INVALID, "method"),
    (b'{"jsonrpc":"2.0","id":7,"method":"a","params":7}', 7, INVALID, "method"),
    (b'{"jsonrpc":"2.0","id":{},"method":"a"}', None, INVALID, "method"),
    (b'{"jsonrpc":"2.0","id":7,"id":8,"method":"a"}', None, INVALID, ""),
    (b'{"jsonrpc":"2.0","id":7,"method":"a","result":1}', 7, INVALID, "method"),
    (request("session/prompt", {"sessionId": 7}), 7, INVALID, "method"),
    (request("initialize", {"protocolVersion": 1}), 7, INVALID, "another connection"),
    (request("session/load", {"sessionId": "task:main"}), 7, NO_SESSION, "session/list"),
    (request("session/load", {}), 7, PARAMS, "params.sessionId"),
    (request("session/resume", {"sessionId": "../../etc"}), 7, NO_SESSION, "session/list"),
    (request("session/delete", {"sessionId": "task:main"}), 7, NO_SESSION, "session/list"),
    (request("session/delete"), 7, PARAMS, "params.sessionId"),
    (request("session/list", {"cursor": "?"}), 7, PARAMS, ""),
    (request("_acprelay/attach", {"sessionId": "task:main"}), 7, NO_SESSION, "session/list"),
    (request("_acprelay/attach"), 7, PARAMS, "params.sessionId"),
    (request("_acprelay/turns", {"sessionId": "task:main"}), 7, NO_SESSION, "session/list"),
    (request("_acprelay/nothing", {"sessionId": "task:main"}), 7, UNKNOWN, ""),
    (request("session/fork", {"sessionId": "task:main"}), 7, UNKNOWN, "agentCapabilities"),
    (request("providers/list"), 7, UNKNOWN, "agentCapabilities"),
    (request("session/update", {"sessionId": "task:main"}), 7, UNKNOWN, ""),
    (request("fs/read_text_file", {"sessionId": "task:main"}), 7, UNKNOWN, ""),
    (request("no/such"), 7, UNKNOWN, "params.sessionId"),
    (request("_x/y", {"a": 1}), 7, UNKNOWN, "params.sessionId"),
    (request("no/such", {"sessionId": "task:main"}), 7, NO_SESSION, "session/new"),
    (request("session/prompt", {"sessionId": "task:main"}), 7, NO_SESSION, "session/new"),
    (request("session/prompt", {"sessionId": "\ud800"}), 7, NO_SESSION, "session/new"),
    (request("session/prompt", {"sessionId": ""}), 7, NO_SESSION, "session/new"),
    (request("session/close", {"sessionId": "task:main"}), 7, NO_SESSION, "session/new"),
    (request("session/prompt"), 7, PARAMS, "params.sessionId"),
    (request("session/prompt", []), 7, PARAMS, "params.sessionId"),
    (request("session/prompt", {"sessionId": None}), 7, PARAMS, "params.sessionId"),
    (request("session/close", {}), 7, PARAMS, "params.sessionId"),
    (request("session/new"), 7, PARAMS, "cwd"),
    (request("session/new", []), 7, PARAMS, "cwd"),
    (request("session/new", {"cwd": 1}), 7, PARAMS, "cwd"),
    (request("session/new", {"mcpServers": []}), 7, PARAMS, "cwd"),
]


@pytest.mark.parametrize("bad", BEFORE_INITIALIZE)
async def test_bad_input_before_initialize_is_told_what_is_wrong(world: World, bad: Bad) -> None:
    client = await world.connect()
    frame, request_id, error, remedy = bad
    client.send(frame)
    assert client.refusals() == [(request_id, *error)]
    assert remedy in client.hint() + client.messages[0]["error"]["message"]
    assert "result" in await client.initialize()


@pytest.mark.parametrize("bad", AFTER_INITIALIZE)
async def test_bad_input_is_told_what_is_wrong_and_costs_nothing_else(
    world: World, client: Client, bad: Bad
) -> None:
    frame, request_id, error, remedy = bad
    client.send(frame)
    assert client.refusals() == [(request_id, *error)]
    assert remedy in client.hint() + client.messages[0]["error"]["message"]
    assert await client.open_session() == "task:main"
    assert len(world.agent.requests("session/new")) == 1


NOWHERE = [
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found"}}',
    b'{"jsonrpc":"2.0","id":99,"result":{}}',
    b'{"jsonrpc":"2.0","id":"fake-1","result":{}}',
    b'{"jsonrpc":"2.0","id":99,"error":{"code":1,"message":"x"}}',
    b'{"jsonrpc":"2.0","id":99,"error":{"code":1},"result":{}}',
    b'{"jsonrpc":"2.0","method":"initialize","params":{"protocolVersion":1}}',
    b'{"jsonrpc":"2.0","method":"session/new","params":{"cwd":"/"}}',
    b'{"jsonrpc":"2.0","method":"session/close","params":{"sessionId":"task:main"}}',
    b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"nobody:main"}}',
    b'{"jsonrpc":"2.0","method":"session/cancel"}',
    b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"task:main"}}',
    b'{"jsonrpc":"2.0","method":"no/such"}',
    b'{"jsonrpc":"2.0","method":"authenticate"}',
    b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":99}}',
    b'{"jsonrpc":"2.0","method":"$/cancel_request"}',
]


@pytest.mark.parametrize("frame", NOWHERE)
async def test_what_asks_for_nothing_is_met_with_silence(
    world: World, client: Client, session: str, frame: bytes
) -> None:
    sent = list(world.agent.sent)
    client.send(frame)
    await world.steps(AFTERWARDS)
    assert client.messages == []
    assert world.agent.sent == sent
    assert (await world.manager.get(KEY)).state is SessionState.ACTIVE
    assert "result" in await client.answer(client.prompt(session))


@pytest.mark.parametrize("frame", NOWHERE)
async def test_the_same_before_initialize_is_met_with_silence_too(
    world: World, frame: bytes
) -> None:
    client = await world.connect()
    client.send(frame)
    await world.steps(AFTERWARDS)
    assert client.messages == []
    assert world.launcher.launched == []


async def test_a_defect_costs_one_request_and_not_the_connection(
    world: World,
    client: Client,
    session: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def receive_client(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(Conversation, "receive_client", receive_client)
        failed = client.prompt(session)
        client.notify("session/cancel", sessionId=session)
    assert client.refusals() == [(failed, -32603, "relay_error")]
    assert "defect" not in client.messages[0]["error"]["message"]
    assert "a defect" in caplog.text
    assert "result" in await client.answer(client.prompt(session))
    await client.call("session/close", {"sessionId": session})
    assert len(client.answers(failed)) == 1
    assert world.is_gone()


IN_A_SESSION: list[Bad] = [
    (request("_acprelay/attach", {"sessionId": "task:main"}), 7, INVALID, "another connection"),
    (request("_acprelay/cancel_turn", {"sessionId": "task:main"}), 7, PARAMS, "turn"),
    (
        request("_acprelay/attach", {"sessionId": "task:main", "attachment": "a"}),
        7,
        PARAMS,
        "secret",
    ),
]


@pytest.mark.parametrize("bad", IN_A_SESSION)
async def test_bad_input_in_a_session_is_told_what_is_wrong_and_changes_nothing(
    client: Client, session: str, bad: Bad
) -> None:
    frame, request_id, error, remedy = bad
    client.send(frame)
    assert client.refusals() == [(request_id, *error)]
    assert remedy in client.hint() + client.messages[0]["error"]["message"]
    assert "result" in await client.answer(client.prompt(session))
