"""`acprelay sessions`: lists, shows, opens, stops and removes the sessions of a relay."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from acprelay.cli.credentials import reach_of
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.relay_client import list_sessions, open_client
from acprelay.cli.session_texts import details, flat, row
from acprelay.cli.tables import print_table
from acprelay.cli.terminal import complain, one_line
from acprelay.client.acp_client import AcpClient
from acprelay.client.acp_messages import JsonObject, as_list, as_object
from acprelay.errors import ConfigError, RelayError, RequestRefused

_HEADERS = ("SESSION", "AGENT", "STATE", "CHANGED", "DIRECTORY", "TITLE")


def command(arguments: argparse.Namespace) -> int:
    """Does what the subcommand says.

    Returns:
        0; 1 where something could not be done for one of several sessions.

    Raises:
        ConfigError: The options cannot be used.
        RelayError: The relay answered with an error.
        RelayUnreachable: The relay cannot be reached, or went away.
    """
    return run_async(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    work = _COMMANDS[arguments.sessions_command]
    async with open_client(reach_of(arguments, os.environ)) as client:
        return await work(client, arguments)


async def _list(client: AcpClient, arguments: argparse.Namespace) -> int:
    cwd = None if arguments.cwd is None else _absolute(arguments.cwd)
    sessions = [flat(entry) for entry in await list_sessions(client, cwd=cwd)]
    if arguments.group is not None:
        sessions = [entry for entry in sessions if entry["group"] == arguments.group]
    if arguments.json:
        _print_json(sessions)
    else:
        print_table(_HEADERS, [row(entry) for entry in sessions])
    return ExitCode.OK


async def _show(client: AcpClient, arguments: argparse.Namespace) -> int:
    sessions = [flat(entry) for entry in await list_sessions(client)]
    shown: list[JsonObject] = []
    code = ExitCode.OK
    for name in arguments.names:
        try:
            shown += [{**one, **await _run_of(client, one)} for one in _named(sessions, name)]
        except RequestRefused as error:
            complain(error.message, hint=error.hint)
            code = ExitCode.ERROR
    if arguments.json:
        _print_json(shown)
    elif shown:
        print("\n\n".join("\n".join(details(entry)) for entry in shown))
    return code


async def _run_of(client: AcpClient, session: JsonObject) -> JsonObject:
    return await client.call("_acprelay/run", {"sessionId": session["sessionId"]})


async def _new(client: AcpClient, arguments: argparse.Namespace) -> int:
    params: dict[str, object] = {
        "cwd": _absolute(arguments.cwd or "."),
        "roles": [_role(option) for option in arguments.roles],
        "worktree": arguments.worktree,
    }
    if arguments.group is not None:
        params["group"] = arguments.group
    result = await client.call("_acprelay/open_group", params)
    roles = [as_object(role) for role in as_list(result.get("roles"))]
    opened = [role for role in roles if "sessionId" in role]
    if arguments.json:
        _print_json(roles)
    elif opened:
        rows = [_opened_row(role, cwd=str(params["cwd"])) for role in opened]
        print_table(("SESSION", "BRANCH", "DIRECTORY"), rows)
    for note in dict.fromkeys(str(note) for role in opened for note in _notes(role)):
        complain(note)
    for role in roles:
        error = as_object(role.get("error"))
        if error:
            hint = str(as_object(error.get("data")).get("hint", ""))
            complain(f"cannot open role {role['role']!r}: {error.get('message')}", hint=hint)
    return ExitCode.OK if len(opened) == len(roles) else ExitCode.ERROR


def _absolute(directory: str) -> str:
    path = Path(directory).absolute()
    # One name for each directory, as sessions are found by it
    return str(path.resolve() if ".." in path.parts else path)


def _role(option: str) -> Mapping[str, str]:
    role, equals, agent = option.partition("=")
    if not role or (equals and not agent):
        raise ConfigError(
            f"cannot read the role {option[:80]!r}", hint="write --role ROLE or --role ROLE=AGENT"
        )
    return {"role": role, "agent": agent} if equals else {"role": role}


def _opened_row(role: JsonObject, *, cwd: str) -> tuple[str, str, str]:
    worktree = as_object(role.get("worktree"))
    return (
        str(role["sessionId"]),
        str(worktree.get("branch", "-")),
        str(worktree.get("workdir", cwd)),
    )


def _notes(role: JsonObject) -> list[object]:
    return as_list(as_object(role.get("worktree")).get("notes"))


async def _stop(client: AcpClient, arguments: argparse.Namespace) -> int:
    async def stop(name: str) -> Iterable[object]:
        if ":" in name:
            await client.close_session(name)
            return [name]
        closed = await client.call("_acprelay/close_group", {"group": name})
        return as_list(closed.get("sessions"))

    return await _end(arguments, arguments.names, stop, "stopped")


async def _remove(client: AcpClient, arguments: argparse.Namespace) -> int:
    sessions = [flat(entry) for entry in await list_sessions(client)]

    async def remove(name: str) -> Iterable[object]:
        [entry] = _named(sessions, name)
        await client.call("session/delete", {"sessionId": entry["sessionId"]})
        return [name]

    names = [each for name in arguments.names for each in _members(sessions, name)]
    return await _end(arguments, list(dict.fromkeys(names)), remove, "removed")


async def _end(
    arguments: argparse.Namespace,
    names: Iterable[str],
    end: Callable[[str], Awaitable[Iterable[object]]],
    deed: str,
) -> int:
    """Ends what each name stands for; one that cannot be ended does not keep the others."""
    code = ExitCode.OK
    for name in names:
        try:
            for session_id in await end(name):
                if arguments.json:
                    _print_json([{"sessionId": session_id, "outcome": deed}])
                else:
                    print(f"{deed} {one_line(str(session_id))}")
        except RelayError as error:
            complain(error.message, hint=error.hint)
            code = ExitCode.ERROR
    return code


def _members(sessions: list[JsonObject], name: str) -> list[str]:
    """Gives the sessions of the group that a name stands for; else the name."""
    return [str(entry["sessionId"]) for entry in sessions if entry["group"] == name] or [name]


def _named(sessions: list[JsonObject], name: str) -> list[JsonObject]:
    """Finds what a name stands for: a session, or all sessions of a group."""
    member = "sessionId" if ":" in name else "group"
    found = [entry for entry in sessions if entry[member] == name]
    if not found:
        raise RequestRefused(
            f"cannot find {'session' if ':' in name else 'group'} {name[:200]!r}",
            hint="see acprelay sessions list",
        )
    return found


def _print_json(objects: Iterable[JsonObject]) -> None:
    for each in objects:
        print(json.dumps(each))


_COMMANDS: Mapping[str, Callable[[AcpClient, argparse.Namespace], Awaitable[int]]] = {
    "list": _list,
    "show": _show,
    "new": _new,
    "stop": _stop,
    "remove": _remove,
}
