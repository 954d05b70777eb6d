"""`acprelay sessions`: lists, shows, opens, stops and removes the sessions of a relay."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.reaching import open_client
from acprelay.cli.session_texts import details, flat, flat_with_run, opened_as_json, row
from acprelay.cli.tables import print_table
from acprelay.cli.terminal import complain, one_line
from acprelay.client import Opened, Refusal, RelayClient, Role
from acprelay.client.acp_messages import JsonObject
from acprelay.errors import AgentError, ConfigError, RelayError, RelayUnreachable, told
from acprelay.session.models import SessionKey

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
    async with open_client(arguments) as client:
        return await work(client, arguments)


async def _list(client: RelayClient, arguments: argparse.Namespace) -> int:
    cwd = None if arguments.cwd is None else _absolute(arguments.cwd)
    sessions = [
        flat(each)
        async for each in client.list_sessions(group=arguments.group)
        if cwd in (None, each.cwd)
    ]
    if arguments.json:
        _print_json(sessions)
    else:
        now = datetime.now(UTC)
        print_table(_HEADERS, [row(entry, now=now) for entry in sessions])
    return ExitCode.OK


async def _show(client: RelayClient, arguments: argparse.Namespace) -> int:
    shown: list[JsonObject] = []
    code = ExitCode.OK
    for name in arguments.names:
        try:
            members = await _members(client, name)
            shown += [flat_with_run(await client.get_session(each)) for each in members]
        except RelayUnreachable:
            raise
        except RelayError as error:
            complain(error.message, hint=error.hint)
            code = ExitCode.ERROR
    if arguments.json:
        _print_json(shown)
    elif shown:
        print("\n\n".join("\n".join(details(entry)) for entry in shown))
    return code


async def _new(client: RelayClient, arguments: argparse.Namespace) -> int:
    cwd = _absolute(arguments.cwd or ".")
    roles = [_role(option) for option in arguments.roles]
    _check_names("minted" if arguments.group is None else arguments.group, roles)
    try:
        outcomes = await _open(client, arguments, cwd, roles)
    except AgentError as error:
        hint = _hint(error.code, error.hint, cwd)
        raise told(type(error), error.message, {**error.data, "hint": hint}) from error
    opened = [each for each in outcomes if each.session_id is not None]
    if arguments.json:
        _print_json(map(opened_as_json, outcomes))
    elif opened:
        print_table(("SESSION", "BRANCH", "DIRECTORY"), [_opened_row(each, cwd) for each in opened])
    notes = (note for each in opened if each.worktree is not None for note in each.worktree.notes)
    for note in dict.fromkeys(notes):
        complain(note)
    for each in outcomes:
        if each.error is not None:
            hint = _hint(each.error.code, each.error.hint, cwd)
            complain(f"cannot open role {each.role!r}: {each.error.message}", hint=hint)
    return ExitCode.OK if len(opened) == len(outcomes) else ExitCode.ERROR


async def _open(
    client: RelayClient, arguments: argparse.Namespace, cwd: str, roles: Sequence[Role]
) -> Sequence[Opened]:
    """Opens roles; of a group that is named, each by itself: one that is there is no obstacle."""
    names = [role.role for role in roles]
    if len(set(names)) < len(names):
        raise ConfigError("cannot open a role twice", hint="name each role once")
    group, worktree = arguments.group, arguments.worktree
    if group is None:
        made = await client.open_group(cwd=cwd, roles=roles, worktree=worktree)
        return made.roles

    async def open_role(role: Role) -> Opened:
        try:
            made = await client.open_group(cwd=cwd, roles=[role], group=group, worktree=worktree)
        except RelayUnreachable:
            raise
        except RelayError as error:
            refusal = Refusal(
                code=error.code, message=error.message, hint=error.hint, retryable=error.retryable
            )
            return Opened(role=role.role, error=refusal)
        return made.roles[0]

    return await asyncio.gather(*map(open_role, roles))


def _hint(code: str, hint: str, cwd: str) -> str:
    """Says what to do where an agent refuses; a relay elsewhere may know a directory we do not."""
    if code == AgentError.code and not Path(cwd).is_dir():
        return f"see --cwd: here is no directory {cwd!r}"
    return hint


def _check_names(group: str, roles: Sequence[Role]) -> None:
    for each in roles:
        SessionKey(group, each.role)


def _absolute(directory: str) -> str:
    path = Path(directory).absolute()
    # One name for each directory, as sessions are found by it
    return str(path.resolve() if ".." in path.parts else path)


def _role(option: str) -> Role:
    role, equals, agent = option.partition("=")
    if not role or (equals and not agent):
        raise ConfigError(
            f"cannot read the role {option[:80]!r}", hint="write --role ROLE or --role ROLE=AGENT"
        )
    return Role(role=role, agent=agent if equals else None)


def _opened_row(opened: Opened, cwd: str) -> tuple[str, str, str]:
    worktree = opened.worktree
    if worktree is None:
        return str(opened.session_id), "-", cwd
    return str(opened.session_id), worktree.branch, worktree.workdir


async def _stop(client: RelayClient, arguments: argparse.Namespace) -> int:
    async def stop(name: str) -> Iterable[str]:
        if ":" in name:
            await client.close_session(name)
            return [name]
        return await client.close_group(name)

    return await _end(arguments, arguments.names, stop, "stopped")


async def _remove(client: RelayClient, arguments: argparse.Namespace) -> int:
    async def remove(name: str) -> Iterable[str]:
        await client.delete_session(name)
        return [name]

    names: dict[str, None] = {}
    code = ExitCode.OK
    for name in arguments.names:
        try:
            names |= dict.fromkeys(await _members(client, name))
        except RelayUnreachable:
            raise
        except RelayError as error:
            complain(error.message, hint=error.hint)
            code = ExitCode.ERROR
    return max(code, await _end(arguments, names, remove, "removed"))


async def _end(
    arguments: argparse.Namespace,
    names: Iterable[str],
    end: Callable[[str], Awaitable[Iterable[str]]],
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
                    print(f"{deed} {one_line(session_id)}")
        except RelayUnreachable:
            raise
        except RelayError as error:
            complain(error.message, hint=error.hint)
            code = ExitCode.ERROR
    return code


async def _members(client: RelayClient, name: str) -> Sequence[str]:
    """Gives what a name stands for: a session, or all sessions of a group.

    Raises:
        SessionNotFound: There is no such group.
    """
    if ":" in name:
        return [name]
    return [each.session_id for each in (await client.get_group(name)).sessions]


def _print_json(objects: Iterable[Mapping[str, object]]) -> None:
    for each in objects:
        print(json.dumps(each))


_COMMANDS: Mapping[str, Callable[[RelayClient, argparse.Namespace], Awaitable[int]]] = {
    "list": _list,
    "show": _show,
    "new": _new,
    "stop": _stop,
    "remove": _remove,
}
