from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from acprelay.errors import InvalidParams
from acprelay.routing.group_params import (
    MOST_ROLES,
    GroupSpec,
    RoleSpec,
    read_close_group,
    read_open_group,
)


def read(params: Any) -> GroupSpec:
    return read_open_group(json.dumps(params).encode())


def test_a_group_takes_roles_and_what_they_have_in_common() -> None:
    server = {"name": "tools", "command": "x", "args": [], "env": []}
    asked = read(
        {
            "cwd": "/w",
            "group": "task",
            "worktree": True,
            "mcpServers": [server],
            "roles": [{"role": "auth", "agent": "claude"}, {"role": "db", "worktree": False}],
            "_meta": {"traceparent": "00-…"},
        }
    )
    assert (asked.cwd, asked.group, asked.worktree) == ("/w", "task", True)
    assert asked.roles == (
        RoleSpec(role="auth", agent="claude"),
        RoleSpec(role="db", worktree=False),
    )
    assert [msgspec.json.decode(each) for each in asked.mcp_servers] == [server]


def test_one_role_is_enough() -> None:
    asked = read({"cwd": "/w", "roles": [{"role": "main"}]})
    assert asked == GroupSpec(cwd="/w", roles=(RoleSpec(role="main"),))


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"cwd": "/w"},
        {"roles": [{"role": "a"}]},
        {"cwd": 1, "roles": [{"role": "a"}]},
        {"cwd": "/w", "roles": [{}]},
        {"cwd": "/w", "roles": ["a"]},
        {"cwd": "/w", "roles": [{"role": "a", "agnet": "claude"}]},
        {"cwd": "/w", "roles": [{"role": "a"}], "worktre": True},
    ],
)
def test_what_cannot_be_read_is_refused(params: Any) -> None:
    with pytest.raises(InvalidParams, match=r"^cannot read the params: "):
        read(params)


def test_params_that_are_not_there_are_refused() -> None:
    with pytest.raises(InvalidParams):
        read_open_group(None)


@pytest.mark.requirement("groups.duplicate-roles-are-refused")
def test_two_roles_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidParams, match=r"^cannot give the role 'a' to 2 sessions of a group"):
        read({"cwd": "/w", "roles": [{"role": "a"}, {"role": "b"}, {"role": "a"}]})


@pytest.mark.parametrize("count", [0, MOST_ROLES + 1])
def test_no_role_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(InvalidParams, match=rf"^cannot open a group with {count} roles"):
        read({"cwd": "/w", "roles": [{"role": f"r{number}"} for number in range(count)]})


def test_closing_names_the_group() -> None:
    assert read_close_group(b'{"group":"task","_meta":{}}') == "task"


@pytest.mark.parametrize("params", [None, b"{}", b'{"group":1}', b"[]"])
def test_closing_without_a_group_is_refused(params: bytes | None) -> None:
    with pytest.raises(InvalidParams):
        read_close_group(params)


@pytest.mark.parametrize(
    "server",
    [
        {"name": "tools", "command": "/bin/tools", "args": [], "env": []},
        {"type": "stdio", "name": "tools", "command": "/bin/tools"},
        {"type": "http", "name": "", "url": "https://tools.example/mcp", "headers": []},
        {"type": "sse", "name": "tools", "url": "https://tools.example/mcp"},
        {"type": "to-come", "name": "tools", "id": 7},
    ],
)
def test_mcp_servers_of_every_type_are_taken(server: dict[str, Any]) -> None:
    asked = read({"cwd": "/w", "roles": [{"role": "a"}], "mcpServers": [server]})
    assert [msgspec.json.decode(each) for each in asked.mcp_servers] == [server]


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ({}, "Object missing required field `name`"),
        ([], "Expected `object`, got `array`"),
        ({"command": "/bin/tools"}, "Object missing required field `name`"),
        ({"name": "tools"}, "it has no command"),
        ({"name": "tools", "command": ""}, "it has no command"),
        ({"name": "tools", "url": "https://tools.example/mcp"}, "it has no command"),
        ({"type": "http", "name": "tools", "command": "/bin/tools"}, "it has no url"),
        ({"type": "sse", "name": "tools", "url": 1}, "Expected `str | null`, got `int`"),
    ],
)
def test_what_is_no_mcp_server_is_refused_at_once(server: object, why: str) -> None:
    whole = {"name": "tools", "command": "/bin/tools"}
    with pytest.raises(InvalidParams) as refusal:
        read({"cwd": "/w", "roles": [{"role": "a"}], "mcpServers": [whole, server]})
    assert refusal.value.message.startswith(f"cannot use mcpServers[1]: {why}")
    assert "command" in (refusal.value.hint or "")
