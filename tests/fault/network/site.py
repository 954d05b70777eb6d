"""A relay with one session, behind a proxy in whatever weather."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pytest
from tests.end_to_end.relays import RelayProcess
from tests.fault.network.weather import StormyProxy
from tests.server.relays import Dialler


class Site(NamedTuple):
    """A relay, and where it is reached through a proxy.

    Attributes:
        relay: The relay.
        door: Where proxies listen, one after another.
        session_id: A session of the demo agent.
    """

    relay: RelayProcess
    door: socket.socket
    session_id: str

    def through(self, url: str) -> str:
        """Gives the address through the proxy, for one of the relay's."""
        return urlunsplit(urlsplit(url)._replace(netloc=netloc(self.door)))

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[StormyProxy]:
        """Runs a proxy."""
        proxy = StormyProxy()
        proxy.lead_to(self.relay.base_url)
        async with proxy.listening(self.door):
            yield proxy


def netloc(door: socket.socket) -> str:
    """Where a socket listens."""
    host, port = door.getsockname()
    return f"{host}:{port}"


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Runs a relay with a session; many clients may come and go."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as door:
        patch.setenv("ACPRELAY_LIMITS_SESSION_CLIENTS", "100000")
        public = ("--public-url", f"http://{netloc(door)}")
        with RelayProcess(log=folder / "log", options=public) as relay:
            yield Site(relay, door, asyncio.run(open_session(relay)))


async def open_session(relay: RelayProcess) -> str:
    """Opens a session, which outlives its client."""
    with Dialler(relay.url) as dial:
        return await (await dial()).open_session()


async def delete_session(relay: RelayProcess, session_id: str) -> None:
    """Ends a session, and forgets it."""
    with Dialler(relay.url) as dial:
        client = await dial()
        await client.initialize()
        await client.result("session/delete", {"sessionId": session_id})
