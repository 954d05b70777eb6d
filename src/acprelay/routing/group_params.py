"""The params of the relay's requests about groups: `_acprelay/open_group`, `_acprelay/close_group`.

This module knows what may be asked, and not whether it can be had.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

import msgspec

from acprelay.errors import InvalidParams

MOST_ROLES = 64

_NEEDED = {"stdio": "command", "http": "url", "sse": "url"}

_T = TypeVar("_T")


class RoleSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session of a group that is to be opened.

    Attributes:
        role: Its role; no other session of the group has it.
        agent: The agent's name in the catalog; None for the default one.
        worktree: Whether it works in a git worktree of its own; None as the group has it.
    """

    role: str
    agent: str | None = None
    worktree: bool | None = None


class GroupSpec(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Sessions of one group that are to be opened at once, one or many.

    Attributes:
        cwd: The directory that they work in, or whose repository their worktrees are made from.
        roles: The sessions.
        group: The group that they belong to, new or not; None has one minted.
        mcp_servers: ACP's `mcpServers` for each of them.
        worktree: Whether each works in a git worktree of its own.
        meta: Other members of `_meta`, which are ignored.
    """

    cwd: str
    roles: tuple[RoleSpec, ...]
    group: str | None = None
    mcp_servers: list[msgspec.Raw] = []
    worktree: bool = False
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class _Server(msgspec.Struct):
    name: str
    type: str | None = None
    command: str | None = None
    url: str | None = None


class _CloseGroup(msgspec.Struct):
    group: str


def read_open_group(params: bytes | None) -> GroupSpec:
    """Reads the params of `_acprelay/open_group`.

    Raises:
        InvalidParams: They are malformed, or `check_spec` refuses what is asked.
    """
    taken = "cwd, roles [{role, agent, worktree}], group, worktree, mcpServers"
    asked = _read(params, GroupSpec, f"_acprelay/open_group takes {taken}")
    check_spec(asked)
    return asked


def read_close_group(params: bytes | None) -> str:
    """Reads the params of `_acprelay/close_group`; gives the group.

    Raises:
        InvalidParams: They are malformed.
    """
    return _read(params, _CloseGroup, "_acprelay/close_group takes group, a string").group


def check_spec(asked: GroupSpec) -> None:
    """Refuses what no agent has to be started for to see that it cannot be had.

    Raises:
        InvalidParams: There are no roles, too many, or two of the same name; or an MCP server is
            none by ACP's schema.
    """
    if not 1 <= len(asked.roles) <= MOST_ROLES:
        raise InvalidParams(
            f"cannot open a group with {len(asked.roles)} roles",
            hint=f"name at least one role, and at most {MOST_ROLES} at a time",
        )
    for role, count in Counter(each.role for each in asked.roles).items():
        if count > 1:
            raise InvalidParams(
                f"cannot give the role {role[:80]!r} to {count} sessions of a group",
                hint="give each session a role of its own",
            )
    for place, server in enumerate(asked.mcp_servers):
        _check_server(bytes(server), place)


def _check_server(server: bytes, place: int) -> None:
    """Refuses an MCP server that lacks what every one of its type has.

    ACP, "MCP Servers": one that is started has a name and a command, one that is connected to has
    its type, `http` or `sse`, a name and a url. Of types to come a name is all that is known.
    """
    try:
        read = msgspec.json.decode(server, type=_Server)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_server(place, str(error)) from error
    member = _NEEDED.get(read.type or "stdio")
    if member is not None and not getattr(read, member):
        raise _no_server(place, f"it has no {member}")


def _no_server(place: int, why: str) -> InvalidParams:
    return InvalidParams(
        f"cannot use mcpServers[{place}]: {why}",
        hint='a server that is started is {"name", "command", "args", "env"}; one that is '
        'connected to {"type": "http" or "sse", "name", "url", "headers"}',
    )


def _read(params: bytes | None, wanted: type[_T], hint: str) -> _T:
    try:
        return msgspec.json.decode(params or b"null", type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(f"cannot read the params: {error}", hint=hint) from error
