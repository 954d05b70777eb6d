"""Which directories and MCP servers a client may name."""

from __future__ import annotations

import json

import msgspec
import pytest

from acprelay.errors import Forbidden, InvalidParams, InvalidRequest
from acprelay.routing.opening_rules import (
    McpAllowlist,
    McpServer,
    Variable,
    check_roots,
    check_server,
    read_new_session,
    read_servers,
)


def test_what_opens_a_session_is_read() -> None:
    params = {"cwd": "/a", "additionalDirectories": ["/b"], "mcpServers": [{"name": "x"}], "y": 1}
    read = read_new_session(json.dumps(params).encode())
    assert read.directories == ("/a", "/b")
    assert len(read.mcp_servers or ()) == 1
    assert read_new_session(b'{"cwd":"/a"}').directories == ("/a",)


@pytest.mark.parametrize(
    "params",
    [
        None,
        b"[]",
        b"{}",
        b'{"cwd":7}',
        b'{"cwd":""}',
        b'{"cwd":"."}',
        b'{"cwd":"a/b"}',
        b'{"cwd":"~/a"}',
        b'{"cwd":"/a\\u0000b"}',
        b'{"cwd":"/a","additionalDirectories":["b"]}',
        b'{"cwd":"/a","mcpServers":{}}',
    ],
)
def test_what_is_no_absolute_directory_is_refused(params: bytes | None) -> None:
    with pytest.raises(InvalidParams):
        read_new_session(params)


@pytest.mark.parametrize(
    ("resolved", "roots", "allowed"),
    [
        ("/work/a", [], True),
        ("/work/a", ["/work"], True),
        ("/work", ["/work"], True),
        ("/workshop", ["/work"], False),
        ("/etc", ["/work", "/home/me"], False),
        ("/home/me/x", ["/work", "/home/me"], True),
        ("/etc", ["/"], True),
    ],
)
def test_a_directory_lies_under_a_root(resolved: str, roots: list[str], allowed: bool) -> None:
    if allowed:
        check_roots("/named", resolved, roots)
        return
    with pytest.raises(Forbidden) as refusal:
        check_roots("/named", resolved, roots)
    assert "'/named'" in refusal.value.message
    assert all(root in (refusal.value.hint or "") for root in roots)
    assert "--root" in (refusal.value.hint or "")


COMMANDS = McpAllowlist(commands=("tool", "/opt/bin/tool"))
URLS = McpAllowlist(urls=("https://tools.example/mcp", "http://127.0.0.1:9000/"))


@pytest.mark.parametrize(
    ("server", "resolved", "allowed", "passes"),
    [
        (McpServer(command="rm"), "/bin/rm", McpAllowlist(), True),
        (McpServer(), None, McpAllowlist(), True),
        (McpServer(), None, COMMANDS, False),
        (McpServer(), None, URLS, False),
        (McpServer(command="tool"), None, COMMANDS, True),
        (McpServer(command="t"), "/opt/bin/tool", COMMANDS, True),
        (McpServer(command="t"), "/opt/bin/tools", COMMANDS, False),
        (
            McpServer(command="tool", env=[Variable("API_KEY"), Variable("PYTHONUNBUFFERED")]),
            None,
            COMMANDS,
            True,
        ),
        (McpServer(command="tool", env=[Variable("A"), Variable("PATH")]), None, COMMANDS, False),
        (McpServer(command="tool", env=[Variable("LD_PRELOAD")]), None, COMMANDS, False),
        (McpServer(command="tool", env=[Variable("NODE_OPTIONS")]), None, COMMANDS, False),
        (McpServer(command="tool", env=[Variable("BASH_FUNC_a%%")]), None, COMMANDS, False),
        (McpServer(command="rm", env=[Variable("PATH")]), None, McpAllowlist(), True),
        (McpServer(command="rm", env=[Variable("PATH")]), None, URLS, True),
        (McpServer(url="https://x", env=[Variable("PATH")]), None, COMMANDS, True),
        (McpServer(command="t"), None, COMMANDS, False),
        (McpServer(command="t"), None, URLS, True),
        (McpServer(command="t"), "/t", McpAllowlist(commands=()), False),
        (McpServer(command="tool", url="https://x"), None, COMMANDS, True),
        (McpServer(url="https://x"), None, COMMANDS, True),
        (McpServer(command="tool", url="https://x"), None, URLS, False),
        (McpServer(url="https://tools.example/mcp"), None, URLS, True),
        (McpServer(url="https://tools.example:443/mcp/a?b=c"), None, URLS, True),
        (McpServer(url="HTTPS://Tools.Example/mcp"), None, URLS, True),
        (McpServer(url="https://tools.example/mcpx"), None, URLS, False),
        (McpServer(url="https://tools.example/"), None, URLS, False),
        (McpServer(url="https://tools.example.evil/mcp"), None, URLS, False),
        (McpServer(url="https://tools.example@evil/mcp"), None, URLS, False),
        (McpServer(url="https://evil\\@tools.example/mcp"), None, URLS, False),
        (McpServer(url="https://tools.example/mcp/../x"), None, URLS, False),
        (McpServer(url="https://tools.example/mcp/%2E%2e/x"), None, URLS, False),
        (McpServer(url="http://tools.example/mcp"), None, URLS, False),
        (McpServer(url="https://tools.example:99999/mcp"), None, URLS, False),
        (McpServer(url="http://127.0.0.1:9000/any"), None, URLS, True),
        (McpServer(url="http://127.0.0.1:9001/any"), None, URLS, False),
        (McpServer(url="http://127.0.0.1:9000"), None, URLS, True),
    ],
)
def test_an_mcp_server_stands_on_the_allowlist(
    server: McpServer, resolved: str | None, allowed: McpAllowlist, passes: bool
) -> None:
    if passes:
        check_server(server, resolved, allowed)
        return
    with pytest.raises(Forbidden) as refusal:
        check_server(server, resolved, allowed)
    assert "allowlist" in refusal.value.message
    assert "mcp-commands" in (refusal.value.hint or "")


def test_servers_are_read() -> None:
    raw = msgspec.Raw(b'{"name":"n","command":"c","args":[],"env":[]}')
    assert read_servers([raw]) == [McpServer(name="n", command="c", env=[])]
    assert read_servers([msgspec.Raw(b'{"url":"https://x"}')]) == [McpServer(url="https://x")]


def test_a_server_needs_no_variables() -> None:
    raw = msgspec.Raw(b'{"name":"n","url":"https://x"}')
    assert read_servers([raw]) == [McpServer(name="n", url="https://x")]


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"7", InvalidParams),
        (b'{"command":7}', InvalidParams),
        (b'{"command":"tool","env":{"PATH":"/evil"}}', InvalidParams),
        (b'{"command":"tool","env":[{"name":"PATH","n\\u0061me":"A"}]}', InvalidRequest),
        (b'{"command":"tool","command":"rm"}', InvalidRequest),
        (b'{"command":"rm","c\\u006fmmand":"tool"}', InvalidRequest),
    ],
)
def test_a_server_that_cannot_be_read_in_one_way_is_refused(
    raw: bytes, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        read_servers([msgspec.Raw(raw)])
