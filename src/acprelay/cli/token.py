"""`acprelay token`: makes, lists and takes back tokens of a relay that runs."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import quote

from acprelay.cli.api import ask
from acprelay.cli.credentials import Reach, reach_of
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.tables import print_table
from acprelay.cli.terminal import complain
from acprelay.client.acp_messages import JsonObject, as_list, as_object
from acprelay.errors import ConfigError, RelayError, RelayUnreachable

_HEADERS = ("ID", "NAME", "GRANTS", "FOR", "CREATED", "EXPIRES", "LAST USED")
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
    work = _COMMANDS[arguments.token_command]
    return run_async(work(reach_of(arguments, os.environ), arguments))


async def _create(reach: Reach, arguments: argparse.Namespace) -> int:
    body: dict[str, object] = {"name": arguments.name, "grants": arguments.grants}
    if arguments.group is not None:
        body["group"] = arguments.group
    if arguments.session is not None:
        body["session"] = arguments.session
    if arguments.expires is not None:
        body["expiresInS"] = read_duration(arguments.expires)
    made = await ask(reach, "POST", "/tokens", body)
    if arguments.json:
        print(json.dumps(made))
    else:
        print(_instructions(made))
    return ExitCode.OK


async def _list(reach: Reach, arguments: argparse.Namespace) -> int:
    tokens: list[JsonObject] = []
    path = "/tokens"
    while path:
        page = await ask(reach, "GET", path)
        tokens += map(as_object, as_list(page.get("tokens")))
        cursor = page.get("nextCursor")
        path = "" if cursor is None else f"/tokens?cursor={quote(str(cursor), safe='')}"
    if arguments.json:
        for token in tokens:
            print(json.dumps(token))
    else:
        print_table(_HEADERS, [_row(token) for token in tokens])
    return ExitCode.OK


async def _revoke(reach: Reach, arguments: argparse.Namespace) -> int:
    code = ExitCode.OK
    for token_id in arguments.ids:
        try:
            await ask(reach, "DELETE", f"/tokens/{quote(token_id, safe='')}")
        except RelayUnreachable:
            raise
        except RelayError as error:
            complain(error.message, hint=error.hint)
            code = ExitCode.ERROR
        else:
            print(f"{token_id} is good no more")
    return code


_COMMANDS: Mapping[str, Callable[[Reach, argparse.Namespace], Coroutine[Any, Any, int]]] = {
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


def _instructions(made: JsonObject) -> str:
    ends = made.get("expiresAt")
    until = "until it is revoked" if ends is None else f"until {ends}"
    return f"""\
{made.get("token")}

It is good for {_scope(made)}, {until}, and shown only now. Keep it in a file for
--token-file, or in the variable ACPRELAY_TOKEN. This takes it back:

  acprelay token revoke {made.get("id")}"""


def _row(token: JsonObject) -> tuple[str, ...]:
    return (
        str(token.get("id")),
        str(token.get("name")),
        ",".join(map(str, as_list(token.get("grants")))),
        _scope(token),
        str(token.get("createdAt")),
        str(token.get("expiresAt", "never")),
        str(token.get("lastUsedAt", "-")),
    )


def _scope(token: JsonObject) -> str:
    return str(token.get("session") or token.get("group") or "everything")
