"""`acprelay invite`: tokens for agents that join from elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex

from acprelay.cli.credentials import TOKEN_VARIABLE, Reach, reach_of
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.client.acp_messages import JsonObject, as_object, decode, refusal
from acprelay.client.addresses import endpoint
from acprelay.client.websocket import open_socket
from acprelay.errors import RelayUnreachable
from acprelay.session.models import SessionKey

_ANSWER_S = 15.0
_ID = 1


def command(arguments: argparse.Namespace) -> int:
    """Asks the relay, and prints what it gives.

    Returns:
        0.

    Raises:
        ConfigError: The address cannot be used.
        InvalidKey: The session id or the role cannot be used.
        RelayUnreachable: The relay cannot be reached, or does not answer.
        RequestRefused: It refuses.
    """
    key = SessionKey(arguments.session, arguments.role)
    params: dict[str, object] = {"group": key.session_id, "role": key.role}
    if arguments.ttl is not None:
        params["ttl_s"] = arguments.ttl
    method = "_acprelay/revoke_invitations" if arguments.revoke else "_acprelay/invite"
    reach = reach_of(arguments, os.environ)
    result = run_async(_ask(reach, method, params))
    if arguments.json:
        print(json.dumps(result))
    elif arguments.revoke:
        print(f"tokens that were revoked: {result.get('revoked')}")
    else:
        print(_instructions(result, url=reach.url, key=key))
    return ExitCode.OK


async def _ask(reach: Reach, method: str, params: JsonObject) -> JsonObject:
    url = endpoint(reach.url)
    request = {"jsonrpc": "2.0", "id": _ID, "method": method, "params": params}
    try:
        opening = open_socket(url, headers=reach.headers, tls=reach.tls)
        async with asyncio.timeout(_ANSWER_S), opening as socket:
            await socket.send(json.dumps(request).encode())
            while (answer := decode(await socket.receive())).get("id") != _ID:
                pass
    except TimeoutError:
        raise RelayUnreachable(
            f"cannot get an answer from the relay at {url} within {_ANSWER_S:g} s",
            hint="see what the relay says on its standard error",
        ) from None
    if "error" in answer:
        raise refusal("invite an agent", as_object(answer["error"]))
    return as_object(answer.get("result"))


def _instructions(result: JsonObject, *, url: str, key: SessionKey) -> str:
    token = str(result.get("token"))
    join = ["acprelay", "join", "--url", url, "--session", key.session_id, "--role", key.role]
    return f"""\
{token}

It lets an agent join {key} until {result.get("expiresAt")}. On the agent's machine:

  {TOKEN_VARIABLE}={shlex.quote(token)} {shlex.join(join)} -- COMMAND"""
