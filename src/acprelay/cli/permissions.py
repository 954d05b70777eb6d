"""`acprelay permissions`: what agents ask for, listed and answered."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

import msgspec

from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.reaching import open_client
from acprelay.cli.session_texts import short_time
from acprelay.cli.tables import print_table
from acprelay.cli.terminal import one_line
from acprelay.client import PermissionInfo, RelayClient
from acprelay.client.acp_messages import as_list, as_object
from acprelay.errors import ConfigError

_HEADERS = ("ASK", "SESSION", "SINCE", "OPTIONS", "WHAT")


def command(arguments: argparse.Namespace) -> int:
    """Lists permissions, or answers one.

    Returns:
        0; 1 where an answer has settled nothing.

    Raises:
        ConfigError: The options cannot be used.
        RelayError: The relay answered with an error.
        RelayUnreachable: The relay cannot be reached, or went away.
    """
    if arguments.permissions_command == "list":
        return run_async(_list(arguments))
    if (arguments.option is None) is not arguments.cancel:
        raise ConfigError(
            "cannot answer with both an option and --cancel, nor without either",
            hint="name one of the options that acprelay permissions list shows",
        )
    return run_async(_answer(arguments))


async def _list(arguments: argparse.Namespace) -> int:
    async with open_client(arguments) as client:
        waiting = [
            each
            async for each in client.list_permissions(
                session=arguments.session, group=arguments.group
            )
        ]
    if arguments.json:
        for each in waiting:
            print(json.dumps(msgspec.to_builtins(each)))
    else:
        now = datetime.now(UTC)
        print_table(_HEADERS, [_row(each, now=now) for each in waiting])
    return ExitCode.OK


async def _answer(arguments: argparse.Namespace) -> int:
    async with open_client(arguments) as client:
        return await _settle(client, arguments)


async def _settle(client: RelayClient, arguments: argparse.Namespace) -> int:
    answered = await client.answer_permission(arguments.ask, arguments.option)
    if arguments.json:
        print(json.dumps({"ask": answered.ask, "settled": answered.settled}))
    elif answered.settled:
        print(f"settled {one_line(answered.ask)}")
    else:
        print(f"{one_line(answered.ask)} waits for others, who were asked as well")
    return ExitCode.OK


def _row(permission: PermissionInfo, *, now: datetime) -> tuple[str, ...]:
    options = [as_object(each) for each in as_list(permission.options)]
    return (
        permission.ask,
        permission.session_id,
        short_time(permission.asked_at, now=now),
        ", ".join(str(option.get("optionId")) for option in options),
        str(as_object(permission.tool_call).get("title") or "a tool call"),
    )
