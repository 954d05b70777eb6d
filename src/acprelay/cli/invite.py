"""`acprelay invite`: tokens for agents that join from elsewhere."""

from __future__ import annotations

import argparse
import json
import shlex

from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.reaching import open_client
from acprelay.client import Invited, RelayClient
from acprelay.client.own_relays import TOKEN_VARIABLE
from acprelay.errors import ConfigError
from acprelay.routing.invite_params import MOST_S
from acprelay.session.models import SessionKey


def command(arguments: argparse.Namespace) -> int:
    """Asks the relay, and prints what it gives.

    Returns:
        0.

    Raises:
        ConfigError: The options cannot be used.
        InvalidKey: The session id or the role cannot be used.
        RelayUnreachable: The relay cannot be reached, or does not answer.
        RelayError: It refuses.
    """
    key = SessionKey(arguments.session, arguments.role)
    ttl_s: float | None = arguments.ttl
    if ttl_s is not None and not 0 < ttl_s <= MOST_S:
        raise ConfigError(
            f"cannot invite for {ttl_s:g} s",
            hint=f"give --ttl a positive number of seconds, {MOST_S:.0f} at most",
        )
    return run_async(_run(arguments, key))


async def _run(arguments: argparse.Namespace, key: SessionKey) -> int:
    async with open_client(arguments) as client:
        if arguments.revoke:
            revoked = await client.revoke_invitations(str(key))
            print(
                json.dumps({"revoked": revoked})
                if arguments.json
                else f"tokens that were revoked: {revoked}"
            )
            return ExitCode.OK
        invited = await client.invite(str(key), ttl_s=arguments.ttl)
        print(_as_json(invited) if arguments.json else _instructions(client, invited, key))
    return ExitCode.OK


def _as_json(invited: Invited) -> str:
    return json.dumps(
        {"token": invited.token, "path": invited.path, "expiresAt": invited.expires_at}
    )


def _instructions(client: RelayClient, invited: Invited, key: SessionKey) -> str:
    join = ["acprelay", "join", "--url", client.url]
    join += ["--session", key.session_id, "--role", key.role]
    return f"""\
{invited.token}

It lets an agent join {key} until {invited.expires_at}. On the agent's machine:

  {TOKEN_VARIABLE}={shlex.quote(invited.token)} {shlex.join(join)} -- COMMAND"""
