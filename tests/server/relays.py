"""Relays in this process, clients that do not outlive a test, and an ear for what is logged."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import acp
from tests.server.clients import AcpClient
from tests.server.peers import WebSocketPeer, connect, request_http

from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig


class Complaints(logging.Handler):
    """Keeps what is logged as an error; a test that provokes one takes it out.

    The clients of the agent-client-protocol package run in this process too, and log an error
    for every `$/cancel_request`, which they do not know: that is theirs, not the relay's.
    """

    CLIENTS = Path(acp.__file__).parent

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if self.CLIENTS not in Path(record.pathname).parents:
            self.records.append(record)


class Dialler:
    """Opens WebSockets to a relay; to be used as a context, which they do not outlive."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.peers: list[WebSocketPeer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()

    async def peer(
        self,
        query: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> WebSocketPeer:
        """A WebSocket on which nothing was said yet."""
        url = await self.address(query)
        peer = await connect(url, headers=headers, receive_buffer=receive_buffer)
        self.peers.append(peer)
        return peer

    async def address(self, query: str = "") -> str:
        """Where a client connects that is none of these."""
        return self.url + query

    async def __call__(self, query: str = "", *, receive_buffer: int | None = None) -> AcpClient:
        """A client that said nothing yet."""
        return AcpClient(await self.peer(query, receive_buffer=receive_buffer))

    def hang_up(self) -> None:
        """Ends every connection."""
        for peer in self.peers:
            peer.abort()


@asynccontextmanager
async def serve(
    config: RelayConfig, *, auth: bool = False
) -> AsyncIterator[tuple[RunningRelay, Dialler]]:
    """Runs a relay in this process, by default without tokens; its clients are ended before it."""
    async with open_relay(replace(config, auth=auth)) as relay:
        with Dialler(relay.url) as dial:
            yield relay, dial


async def count_by_state(base_url: str) -> Mapping[str, int]:
    """Counts the sessions of a relay in each state."""
    answer = await request_http(base_url, "/readyz")
    counts: Mapping[str, int] = json.loads(answer.body)["sessions"]
    return counts


async def count_sessions(base_url: str) -> int:
    """Counts the sessions of a relay, in whatever state."""
    return sum((await count_by_state(base_url)).values())
