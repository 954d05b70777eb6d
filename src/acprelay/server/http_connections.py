"""Clients' connections over HTTP: they outlive each request, and end by word or when nobody comes.

What a connection's streams carry is not known here, nor what its messages mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from acprelay.config import Limits
from acprelay.errors import ConnectionNotFound, LimitReached, Unavailable
from acprelay.routing.access import Principal
from acprelay.routing.choosing import Choice
from acprelay.runtime.alarm import Alarm
from acprelay.runtime.client_connection import ClientConnection
from acprelay.runtime.live_connections import LiveConnections
from acprelay.runtime.measurements import Measures
from acprelay.runtime.ports import ClientWriter
from acprelay.runtime.streamed_outbox import StreamedOutbox
from acprelay.server.quotas import Quotas
from acprelay.session.ports import IdGenerator


class Connect(Protocol):
    """Makes a client's connection; nothing begins before its context is entered."""

    def __call__(
        self,
        *,
        id: str,  # noqa: A002 - the glossary's word
        principal: Principal,
        choice: Choice,
        outbox: ClientWriter,
    ) -> ClientConnection:
        """Makes one."""
        ...


class HttpConnection:
    """One connection, while it lives.

    Args:
        client: What its messages mean.
        outbox: Has its streams.
        idle_s: How long it may be without a request.

    Attributes:
        client: As given.
        outbox: As given.
    """

    def __init__(self, *, client: ClientConnection, outbox: StreamedOutbox, idle_s: float) -> None:
        self.client = client
        self.outbox = outbox
        self._idle_s = idle_s
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._idle = Alarm(on_due=self.end)
        self._requests = 0

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Holds it open for the time of a request."""
        self._requests += 1
        self._idle.set(None)
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests and not self.is_ended:
                self._idle.set(asyncio.get_running_loop().time() + self._idle_s)

    @property
    def is_ended(self) -> bool:
        """Whether it is on its way out."""
        return self._ended.is_set()

    async def begun(self) -> None:
        """Returns once messages can be dealt with; may be cancelled.

        Raises:
            ConnectionNotFound: It has ended before that.
        """
        await self._begun.wait()
        self.check_open()

    def check_open(self) -> None:
        """Makes sure that messages can still be dealt with.

        Raises:
            ConnectionNotFound: It has ended.
        """
        if self.is_ended:
            raise ConnectionNotFound

    def end(self) -> None:
        """Has it end. Idempotent."""
        self._ended.set()

    async def live(self) -> None:
        """Returns once it has ended and left its sessions; they stay."""
        try:
            async with self.client:
                self._begun.set()
                await self._ended.wait()
        finally:
            self._begun.set()
            self._ended.set()
            self._idle.set(None)


class HttpConnections:
    """Those that are open.

    Args:
        connect: Makes what their messages mean something to.
        ids: Mints their ids.
        limits: Bounds.
        quotas: Bounds what each principal holds.
        connections: Ends connections whose principals lose their tokens.
        measures: What has passed; connections add to it.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        ids: IdGenerator,
        limits: Limits,
        quotas: Quotas,
        connections: LiveConnections,
        measures: Measures,
    ) -> None:
        self._connect = connect
        self._ids = ids
        self._limits = limits
        self._quotas = quotas
        self._connections = connections
        self._measures = measures
        self._open: dict[str, HttpConnection] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    def open(self, principal: Principal, choice: Choice) -> HttpConnection:
        """Begins a connection, which lives until it is closed, or is idle for too long.

        Args:
            principal: Whose it is.
            choice: What its address chooses.

        Raises:
            LimitReached: As many are open as may be.
            Unavailable: The relay is stopping.
            Unauthorized: The principal's token was taken back meanwhile.
        """
        if self._closing:
            raise Unavailable(
                "cannot take a client: the relay is stopping", hint="connect again later"
            )
        if len(self._open) >= self._limits.http_connections:
            raise LimitReached(
                limit="connections over HTTP",
                most=self._limits.http_connections,
                setting="http-connections",
            )
        outbox = StreamedOutbox(most_streams=self._limits.http_streams, measures=self._measures)
        connection_id = self._ids.mint()
        client = self._connect(id=connection_id, principal=principal, choice=choice, outbox=outbox)
        connection = HttpConnection(client=client, outbox=outbox, idle_s=self._limits.http_idle_s)
        with ExitStack() as stack:
            stack.enter_context(self._quotas.connections.hold(principal.id))
            stack.enter_context(self._connections.enter(principal, connection.end))
            entered = stack.pop_all()
        self._open[connection_id] = connection
        self._tasks[connection_id] = asyncio.get_running_loop().create_task(
            self._live(connection_id, connection, entered),
            name=f"connection {connection_id} over HTTP",
        )
        return connection

    def find(self, connection_id: str, principal: Principal) -> HttpConnection:
        """Finds a connection of somebody.

        Raises:
            ConnectionNotFound: There is none of that id, or it is another's: to know its id is not
                to be its client.
        """
        connection = self._open.get(connection_id)
        if connection is None or connection.is_ended:
            raise ConnectionNotFound
        if connection.client.principal.id != principal.id:
            raise ConnectionNotFound
        return connection

    async def close(self, connection: HttpConnection) -> None:
        """Ends a connection; returns once it has left its sessions. Idempotent."""
        task = self._tasks.get(connection.client.id)
        self._open.pop(connection.client.id, None)
        connection.end()
        if task is not None:
            await asyncio.wait({task})

    async def aclose(self) -> None:
        """Takes no new ones, and ends those that are there. Idempotent."""
        self._closing = True
        for connection in self._open.values():
            connection.end()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _live(
        self, connection_id: str, connection: HttpConnection, entered: ExitStack
    ) -> None:
        try:
            with entered:
                await connection.live()
        finally:
            self._open.pop(connection_id, None)
            del self._tasks[connection_id]
