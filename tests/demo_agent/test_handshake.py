"""What the demo agent says of itself, and what it refuses before it is spoken to properly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay import __version__
from acprelay.testing.demo_agent.directives import DIRECTIVES

if TYPE_CHECKING:
    from tests.demo_agent.conftest import DemoClient, Json

pytestmark = pytest.mark.process


async def test_initialize_says_who_it_is_and_offers_no_more_than_it_does(fresh: DemoClient) -> None:
    answer = await fresh.initialize()
    assert answer.before == []
    assert answer.result == {
        "protocolVersion": 1,
        "agentCapabilities": {
            "loadSession": True,
            "promptCapabilities": {"image": False, "audio": False, "embeddedContext": False},
            "mcpCapabilities": {"http": False, "sse": False},
            "sessionCapabilities": {"close": {}, "resume": {}},
        },
        "agentInfo": {
            "name": "acprelay-demo",
            "title": "acprelay demo agent",
            "version": __version__,
        },
        "authMethods": [],
    }


async def test_a_newer_protocol_version_is_answered_with_the_one_it_speaks(
    fresh: DemoClient,
) -> None:
    answer = await fresh.call(1, "initialize", protocolVersion=2)
    assert answer.result["protocolVersion"] == 1


async def test_a_new_session_has_two_modes_and_is_followed_by_its_commands(
    fresh: DemoClient, tmp_path: Path
) -> None:
    await fresh.initialize()
    answer = await fresh.call(0, "session/new", cwd=str(tmp_path), mcpServers=[])
    assert answer.before == []
    assert answer.result["sessionId"] == "demo-1"
    modes = answer.result["modes"]
    assert isinstance(modes, dict)
    assert modes["currentModeId"] == "ask"
    assert [mode["id"] for mode in modes["availableModes"]] == ["ask", "auto"]

    commands = await fresh.receive()
    params = commands["params"]
    assert isinstance(params, dict)
    assert params["sessionId"] == "demo-1"
    names = [command["name"] for command in params["update"]["availableCommands"]]
    assert names == [directive.name for directive in DIRECTIVES]


async def test_sessions_are_numbered_and_closed_ones_are_forgotten(
    client: DemoClient, tmp_path: Path
) -> None:
    assert await client.new_session(tmp_path) == "demo-2"
    closed = await client.call(1, "session/close", sessionId="demo-1")
    assert closed.result == {}
    again = await client.call(2, "session/close", sessionId="demo-1")
    assert again.error["code"] == -32002
    assert await client.new_session(tmp_path) == "demo-3"


@pytest.mark.parametrize("method", ["session/load", "session/resume"])
async def test_a_session_of_an_earlier_process_begins_anew_under_its_id(
    fresh: DemoClient, tmp_path: Path, method: str
) -> None:
    await fresh.initialize()
    where = {"cwd": str(tmp_path), "mcpServers": []}
    restored = await fresh.call(1, method, sessionId="demo-1", **where)
    assert restored.before == []
    assert restored.result["modes"] == {
        "currentModeId": "ask",
        "availableModes": [
            {"id": "ask", "name": "Ask before tool calls"},
            {"id": "auto", "name": "Never ask"},
        ],
    }
    told = await fresh.receive()
    assert "available_commands_update" in str(told)
    opened = await fresh.call(2, "session/new", **where)
    assert opened.result["sessionId"] == "demo-2"


@pytest.mark.parametrize("method", ["session/load", "session/resume"])
async def test_a_session_that_is_open_is_taken_up_as_it_is(
    client: DemoClient, tmp_path: Path, method: str
) -> None:
    await client.call(1, "session/set_mode", sessionId="demo-1", modeId="auto")
    where = {"cwd": str(tmp_path), "mcpServers": []}
    restored = await client.call(2, method, sessionId="demo-1", **where)
    modes = restored.result["modes"]
    assert isinstance(modes, dict)
    assert modes["currentModeId"] == "auto"


async def test_the_mode_is_set_and_told(client: DemoClient) -> None:
    answer = await client.call(1, "session/set_mode", sessionId="demo-1", modeId="auto")
    assert answer.result == {}
    assert answer.updates == [{"sessionUpdate": "current_mode_update", "currentModeId": "auto"}]


@pytest.mark.parametrize("request_id", [0, "", "a", 1.0, -5, 2**40])
async def test_an_id_comes_back_as_it_was_sent(fresh: DemoClient, request_id: object) -> None:
    answer = await fresh.call(request_id, "initialize", protocolVersion=1)
    assert repr(answer.response["id"]) == repr(request_id)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"no json", -32700),
        (b"{", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
        (b"[" * 100_000, -32700),
        (b'{"id":NaN,"method":"initialize"}', -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"initialize"}]', -32600),
        (b"1", -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"initialize"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"initialize"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"initialize"}', -32600),
    ],
)
async def test_a_line_that_is_no_request_is_answered_with_an_error_without_an_id(
    fresh: DemoClient, line: bytes, code: int
) -> None:
    fresh.write(line)
    message = await fresh.receive()
    assert message["id"] is None
    assert isinstance(message["error"], dict)
    assert message["error"]["code"] == code
    assert (await fresh.initialize()).result["protocolVersion"] == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"method": "session/new", "params": {"cwd": "/", "mcpServers": []}}, -32600),
        ({"method": 5}, -32600),
        ({}, -32600),
        ({"method": "authenticate"}, -32601),
        ({"method": "session/cancel"}, -32601),
        ({"method": "initialize"}, -32602),
        ({"method": "initialize", "params": [1]}, -32602),
        ({"method": "initialize", "params": {"protocolVersion": "0.1"}}, -32602),
        ({"method": "initialize", "params": {"protocolVersion": True}}, -32602),
    ],
)
async def test_a_request_that_cannot_be_served_before_initialize_gets_its_error(
    fresh: DemoClient, message: Json, code: int
) -> None:
    fresh.send({"id": "x", **message})
    assert (await fresh.answer("x")).error["code"] == code


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("initialize", {"protocolVersion": 1}, -32600),
        ("session/fork", {"sessionId": "demo-1"}, -32601),
        ("session/load", {"sessionId": "demo-1", "cwd": "/"}, -32602),
        ("session/load", {"cwd": "/", "mcpServers": []}, -32602),
        ("session/new", {}, -32602),
        ("session/new", {"cwd": "relative", "mcpServers": []}, -32602),
        ("session/new", {"cwd": "/no/such/directory", "mcpServers": []}, -32602),
        ("session/new", {"cwd": "/a\0b", "mcpServers": []}, -32602),
        ("session/new", {"cwd": "/\ud800", "mcpServers": []}, -32602),
        ("session/new", {"cwd": "/" + "n" * 5000, "mcpServers": []}, -32602),
        ("session/new", {"cwd": "/"}, -32602),
        ("session/prompt", {"sessionId": "demo-1"}, -32602),
        ("session/prompt", {"sessionId": "demo-1", "prompt": "hello"}, -32602),
        ("session/prompt", {"sessionId": "demo-1", "prompt": ["hello"]}, -32602),
        ("session/prompt", {"sessionId": "demo-1", "prompt": [{"type": "text"}]}, -32602),
        ("session/prompt", {"sessionId": "demo-1", "prompt": [{"type": "image"}]}, -32602),
        ("session/prompt", {"sessionId": "demo-9", "prompt": []}, -32002),
        ("session/prompt", {"sessionId": 1, "prompt": []}, -32602),
        ("session/set_mode", {"sessionId": "demo-1", "modeId": "none"}, -32602),
        ("session/set_mode", {"sessionId": "demo-9", "modeId": "ask"}, -32002),
    ],
)
async def test_a_request_that_cannot_be_served_gets_its_error(
    client: DemoClient, method: str, params: Json, code: int
) -> None:
    assert (await client.call("x", method, **params)).error["code"] == code
    assert (await client.ask("hello")).result == {"stopReason": "end_turn"}


async def test_notifications_and_answers_that_nobody_waits_for_are_passed_over(
    client: DemoClient,
) -> None:
    client.notify("session/unknown", sessionId="demo-1")
    client.notify("session/cancel", sessionId="demo-9")
    client.notify("session/cancel")
    client.notify("$/cancel_request", requestId="none")
    client.send({"method": "session/cancel", "params": [1]})
    client.send({"id": 0, "result": {"outcome": {"outcome": "cancelled"}}})
    client.send({"id": "0", "error": {"code": 1, "message": "no"}})
    client.send({"id": [], "result": None})
    client.write(b"", b"   ")
    answer = await client.ask("hello")
    assert answer.result == {"stopReason": "end_turn"}
