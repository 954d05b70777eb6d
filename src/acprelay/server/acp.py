"""`/acp`: the remote transport of ACP over WebSocket; HTTP without an upgrade is served elsewhere.

ACP, "Remote transport": a GET that asks for an upgrade opens a connection, its answer carries
`Acp-Connection-Id`, and each message is one text frame. Binary frames are taken as text, since some
clients send them. What the messages mean is the connection's business; who may send them, the
guard's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from contextvars import copy_context

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from acprelay.config import Limits
from acprelay.errors import RelayError, Unauthorized, Unavailable
from acprelay.routing.choosing import Choice
from acprelay.runtime.client_connection import ClientConnection
from acprelay.runtime.live_connections import LiveConnections
from acprelay.runtime.log_context import bound
from acprelay.runtime.measurements import Measures
from acprelay.runtime.outbox import Outbox
from acprelay.server.choices import read_choice
from acprelay.server.edge import EdgeConnection
from acprelay.server.http_connections import Connect
from acprelay.server.principals import principal_of
from acprelay.server.problems import problem
from acprelay.server.quotas import Quotas
from acprelay.server.streamable_http import CONNECTION_ID_HEADER, StreamableHttp
from acprelay.server.upgrades import asks_for_websocket, check_upgrade, notice_death
from acprelay.server.whole_messages import WholeMessages
from acprelay.session.ports import IdGenerator

_FAREWELL_S = 1.0
_STOPPING = (WSCloseCode.GOING_AWAY, b"the relay is stopping")
_REVOKED = (WSCloseCode.POLICY_VIOLATION, b"the token was taken back")


class AcpEndpoint:
    """Serves `/acp`.

    Args:
        agents: The agents that can be chosen, the default one first.
        connect: Makes connections.
        http: Serves what comes without an upgrade.
        ids: Mints the connections' ids.
        limits: Bounds.
        quotas: Bounds what each principal holds.
        connections: Ends connections whose principals lose their tokens.
        measures: What has passed; connections add to it.
    """

    def __init__(
        self,
        *,
        agents: Sequence[str],
        connect: Connect,
        http: StreamableHttp,
        ids: IdGenerator,
        limits: Limits,
        quotas: Quotas,
        connections: LiveConnections,
        measures: Measures,
    ) -> None:
        self._agents = agents
        self._connect = connect
        self.http = http
        self._ids = ids
        self._limits = limits
        self._connections = connections
        self._quotas = quotas
        self._measures = measures
        self._open: dict[web.WebSocketResponse, SocketOutlet] = {}
        self._closing = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serves one WebSocket from its upgrade to its end, or one stream of events."""
        if not asks_for_websocket(request):
            return await self.http.stream(request)
        with ExitStack() as held:
            try:
                choice = self._admit(request)
                held.enter_context(self._quotas.connections.hold(principal_of(request).id))
            except RelayError as error:
                return problem(error)
            return await self._serve(request, choice)

    async def close(self) -> None:
        """Takes no new clients, and tells those that are there that the relay goes away.

        A client that does not read what waits for it is cut off: this returns within about a
        second, however many there are. Idempotent.
        """
        self._closing = True
        async with asyncio.TaskGroup() as farewells:
            farewells.create_task(self.http.close())
            for socket, outlet in self._open.items():
                farewells.create_task(_dismiss(socket, outlet, _STOPPING))

    def _admit(self, request: web.Request) -> Choice:
        if self._closing:
            raise Unavailable(
                "cannot take a client: the relay is stopping", hint="connect again later"
            )
        check_upgrade(request)
        return read_choice(request.query, self._agents)

    async def _serve(self, request: web.Request, choice: Choice) -> web.WebSocketResponse:
        # No compression: frames are built once for all clients, and written as they are.
        # aiohttp refuses a message of `max_msg_size` bytes itself, with close code 1009.
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=self._limits.max_frame + 1, decode_text=False
        )
        connection_id = self._ids.mint()
        socket.headers[CONNECTION_ID_HEADER] = connection_id
        messages = _short_way(request, most=self._limits.max_frame)
        writer = await socket.prepare(request)
        outlet = SocketOutlet(request=request, writer=writer)
        self._open[socket] = outlet
        principal = principal_of(request)
        outbox = Outbox(outlet=outlet, measures=self._measures)
        connection = self._connect(
            id=connection_id, principal=principal, choice=choice, outbox=outbox
        )
        try:
            async with asyncio.TaskGroup() as farewells:

                def close() -> None:
                    messages.end()
                    farewells.create_task(_dismiss(socket, outlet, _REVOKED))

                fields = {"connection": connection_id, "principal": principal.id}
                with self._connections.enter(principal, close), bound(**fields):
                    async with connection:
                        await self._attend(request, socket, outlet, connection, messages)
        except* Unauthorized:
            await _dismiss(socket, outlet, _REVOKED)
        finally:
            del self._open[socket]
        return socket

    async def _attend(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        outlet: SocketOutlet,
        connection: ClientConnection,
        messages: WholeMessages,
    ) -> None:
        wait_s = self._limits.greeting_s
        most = self._limits.lane_bytes
        context = copy_context()

        def take(message: bytes) -> bool:
            if socket.closed or connection.backlog_bytes > most:
                return False
            context.run(connection.receive, message)
            return True

        try:
            async with asyncio.timeout(wait_s) as greeting:

                def take_greeting(message: bytes) -> bool:
                    is_taken = not greeting.expired() and take(message)
                    note_greeting()
                    return is_taken

                def note_greeting() -> None:
                    if greeting.when() is not None and connection.is_begun:
                        greeting.reschedule(None)
                        messages.begin(take)
                        # Until now there was a deadline.
                        asyncio.get_running_loop().call_soon(notice_death, request)

                messages.begin(take_greeting)
                await self._receive(socket, outlet, connection, messages, note_greeting)
        except TimeoutError:
            reason = f"limit greeting-s: no initialize within {wait_s:g} s"
            await _dismiss(socket, outlet, (WSCloseCode.POLICY_VIOLATION, reason.encode()))
        finally:
            messages.end()

    async def _receive(
        self,
        socket: web.WebSocketResponse,
        outlet: SocketOutlet,
        connection: ClientConnection,
        messages: WholeMessages,
        on_message: Callable[[], None],
    ) -> None:
        """Takes what of the client's messages comes this way until it says no more."""
        async for message in socket:
            if connection.backlog_bytes > self._limits.lane_bytes:
                # It asks and does not read: what it says next stays in its socket.
                try:
                    await outlet.drain()
                except ConnectionError:
                    return
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                connection.receive(message.data)
                messages.handled()
                on_message()


class SocketOutlet:
    """A WebSocket's transport: frames are built elsewhere, once for all clients.

    Args:
        request: The upgraded request.
        writer: What preparing the WebSocket gave; it knows when the transport has room again.
    """

    def __init__(self, *, request: web.Request, writer: AbstractStreamWriter) -> None:
        self._protocol = request.protocol
        self._writer = writer

    @property
    def writing_paused(self) -> bool:
        """Whether the transport holds more than its high-water mark."""
        return self._protocol.writing_paused

    def write(self, data: bytes) -> None:
        """Hands bytes to the transport; does nothing after the connection is lost."""
        transport = self._protocol.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    async def drain(self) -> None:
        """Returns once the transport has room.

        Raises:
            ConnectionError: The connection is lost.
        """
        await self._writer.drain()
        if self._protocol.transport is None:  # aiohttp raises only if the connection broke
            raise ConnectionResetError("cannot write to a client that is gone")

    def drain_wholly(self) -> None:
        """From now on `drain` returns once the transport holds nothing at all."""
        if self._protocol.transport is not None:
            self._protocol.transport.set_write_buffer_limits(high=0)

    def abort(self) -> None:
        """Ends the connection at once, with all that it still holds."""
        if self._protocol.transport is not None:
            self._protocol.transport.abort()


def _short_way(request: web.Request, *, most: int) -> WholeMessages:
    """Gives what takes a client's messages as they come; before its WebSocket is prepared."""
    messages = WholeMessages(most=most)
    if isinstance(request.protocol, EdgeConnection):  # elsewhere the relay is only mounted
        request.protocol.messages = messages
    return messages


async def _dismiss(
    socket: web.WebSocketResponse, outlet: SocketOutlet, why: tuple[WSCloseCode, bytes]
) -> None:
    outlet.drain_wholly()
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await socket.close(code=why[0], message=why[1])
    except TimeoutError:
        outlet.abort()
