"""A connection to a relay itself, for commands that look after what it has.

It takes part in no session, so it is neither told nor asked anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acprelay.cli.credentials import Reach
from acprelay.client.acp_client import AcpClient
from acprelay.client.acp_messages import (
    JsonObject,
    as_list,
    as_object,
)
from acprelay.client.addresses import endpoint
from acprelay.client.websocket import open_socket
from acprelay.routing.choosing import NO_AGENT


@asynccontextmanager
async def open_client(reach: Reach) -> AsyncIterator[AcpClient]:
    """Connects to a relay without an agent, and initializes the connection.

    Args:
        reach: The relay, and who connects.

    Raises:
        ConfigError: The address cannot be used.
        RequestRefused: The relay does not take the connection.
        RelayUnreachable: It cannot be reached.
    """
    async with open_socket(
        endpoint(reach.url, agent=NO_AGENT), headers=reach.headers, tls=reach.tls
    ) as socket:
        client = AcpClient(socket=socket, on_notification=_forget, on_permission=None)
        async with client:
            await client.initialize()
            yield client


async def list_sessions(client: AcpClient, *, cwd: str | None = None) -> list[JsonObject]:
    """Gives every session of a relay, page by page, the one that changed last first.

    Args:
        client: The connection.
        cwd: Only those of this directory.

    Raises:
        RequestRefused: The relay answers with an error.
        RelayUnreachable: The connection is lost.
    """
    sessions: list[JsonObject] = []
    params: dict[str, object] = {} if cwd is None else {"cwd": cwd}
    while True:
        page = await client.call("session/list", params)
        sessions += map(as_object, as_list(page.get("sessions")))
        if page.get("nextCursor") is None:
            return sessions
        params = {**params, "cursor": page["nextCursor"]}


async def _forget(_method: str, _params: JsonObject) -> None:
    pass
