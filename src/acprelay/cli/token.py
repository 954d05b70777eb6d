"""`acprelay token`: makes, lists and takes back tokens of a relay that runs."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.reaching import open_client
from acprelay.cli.session_texts import local_time, short_time
from acprelay.cli.tables import print_table
from acprelay.cli.terminal import complain
from acprelay.client import NewToken, RelayClient, Token
from acprelay.errors import ConfigError, RelayError, RelayUnreachable, Unauthorized, told
from acprelay.routing.tokens import PREFIX, check_name

_HEADERS = ("ID", "NAME", "GRANTS", "FOR", "EXPIRES", "USED")
_WHO_MAY = (
    "this takes a token, too: name one that may manage with --token-file or ACPRELAY_TOKEN; a "
    "relay of your own leaves one below its state directory, so start it again where that is gone"
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def command(arguments: argparse.Namespace) -> int:
    """Does what the subcommand says.

    Returns:
        0; 1 where one of several tokens could not be taken back.

    Raises:
        ConfigError: The options cannot be used.
        RelayError: The relay refuses.
        RelayUnreachable: The relay cannot be reached.
    """
    return run_async(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_client(arguments) as client:
        return await _COMMANDS[arguments.token_command](client, arguments)


async def _create(client: RelayClient, arguments: argparse.Namespace) -> int:
    check_name(arguments.name)
    expires = arguments.expires
    try:
        made = await client.create_token(
            arguments.name,
            grants=arguments.grants,
            group=arguments.group,
            session=arguments.session,
            expires_in_s=None if expires is None else read_duration(expires),
        )
    except Unauthorized as error:
        # What the relay hints at is this very command.
        raise told(Unauthorized, error.message, {**error.data, "hint": _WHO_MAY}) from error
    print(json.dumps(msgspec.to_builtins(made)) if arguments.json else _instructions(made))
    return ExitCode.OK


async def _list(client: RelayClient, arguments: argparse.Namespace) -> int:
    tokens = [token async for token in client.list_tokens()]
    if arguments.json:
        for token in tokens:
            print(json.dumps(msgspec.to_builtins(token)))
    else:
        now = datetime.now(UTC)
        print_table(_HEADERS, [_row(token, now=now) for token in tokens])
    return ExitCode.OK


async def _revoke(client: RelayClient, arguments: argparse.Namespace) -> int:
    code = ExitCode.OK
    for token_id in map(_id_of, arguments.ids):
        try:
            await client.revoke_token(token_id)
        except RelayUnreachable:
            raise
        except RelayError as error:
            complain(error.message, hint=error.hint)
            code = ExitCode.ERROR
        else:
            print(f"{token_id} is good no more")
    return code


def _id_of(text: str) -> str:
    """Gives the id of a token, where somebody has named it by its whole text."""
    whole = re.fullmatch(PREFIX + r"([0-9a-zA-Z]+)_.+", text)
    return text if whole is None else whole[1]


_COMMANDS: Mapping[str, Callable[[RelayClient, argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "create": _create,
    "list": _list,
    "revoke": _revoke,
}


def read_duration(text: str) -> float:
    """Reads how long something lasts, such as `30d`; gives seconds.

    Raises:
        ConfigError: It is no duration.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw])", text)
    if found is None or float(found[1]) == 0:
        raise ConfigError(
            f"cannot read {text[:40]!r} as a duration",
            hint="write a number and a unit: 45m, 12h, 30d, 4w",
        )
    return float(found[1]) * _UNITS[found[2]]


def _instructions(made: NewToken) -> str:
    until = (
        "until it is revoked" if made.expires_at is None else f"until {local_time(made.expires_at)}"
    )
    return f"""\
{made.token}

It is good for {_scope(made)}, {until}, and shown only now.
Keep it in a file for --token-file, or in the variable ACPRELAY_TOKEN.
This takes it back:

  acprelay token revoke {made.id}"""


def _row(token: Token, *, now: datetime) -> tuple[str, ...]:
    return (
        token.id,
        token.name,
        ",".join(token.grants),
        _scope(token),
        "never" if token.expires_at is None else short_time(token.expires_at, now=now),
        "-" if token.last_used_at is None else short_time(token.last_used_at, now=now),
    )


def _scope(token: Token) -> str:
    return token.session or token.group or "everything"
