"""The edge: every connection from the moment the system accepts it, before any request is known.

A connection that has not said its first request has a deadline, and costs nobody else's place:
where too many are that far, the one that has been silent longest gives way. One that has spoken
takes a place among all, and among those of its address. What requests mean is not known here, nor
who makes them.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.typedefs import Handler

from acprelay.config import Limits
from acprelay.errors import InvalidRequest, LimitReached, RelayError
from acprelay.server.first_frame import FirstFrame
from acprelay.server.logs import http_logger
from acprelay.server.problems import problem, raw_problem
from acprelay.server.whole_messages import WholeMessages

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketReader

_LINGERING_S = 2.0
_TOO_MANY_HEADERS = "Too many headers"


class Doors:
    """Knows all connections, and which of them have said a request.

    Args:
        limits: Bounds.
    """

    def __init__(self, *, limits: Limits) -> None:
        self._limits = limits
        self._silent: dict[EdgeConnection, None] = {}
        self._spoken: dict[EdgeConnection, str] = {}
        self._by_address: Counter[str] = Counter()

    def knock(self, connection: EdgeConnection) -> None:
        """Takes note of a new connection; lets the one go that has been silent longest."""
        self._silent[connection] = None
        if len(self._silent) > self._limits.handshakes:
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            oldest.refuse(
                LimitReached(
                    limit="connections that have not said a request",
                    most=self._limits.handshakes,
                    setting="handshakes",
                ),
                status=503,
            )

    def speak(self, connection: EdgeConnection, address: str) -> None:
        """Gives a connection its place, which it keeps until it is gone. Idempotent.

        Raises:
            LimitReached: There is none.
        """
        if connection in self._spoken:
            return
        limits = self._limits
        if len(self._spoken) >= limits.connections:
            raise LimitReached(limit="connections", most=limits.connections, setting="connections")
        if self._by_address[address] >= limits.address_connections:
            raise LimitReached(
                limit="connections of one address",
                most=limits.address_connections,
                setting="address-connections",
            )
        connection.has_spoken()
        self._silent.pop(connection, None)
        self._spoken[connection] = address
        self._by_address[address] += 1

    def leave(self, connection: EdgeConnection) -> None:
        """Frees what a connection held. Idempotent."""
        self._silent.pop(connection, None)
        address = self._spoken.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


class EdgeConnection(web.RequestHandler):
    """One connection, with its deadlines.

    Args:
        server: The HTTP server that it is one of.
        doors: Counts connections.
        limits: Bounds.

    Attributes:
        doors: As given.
        on_loss: Called once it is lost.
        messages: Takes whole messages of a WebSocket, where its server wants that; to be set before
            the WebSocket is prepared.
    """

    def __init__(self, server: web.Server, *, doors: Doors, limits: Limits) -> None:
        self._time_limits = limits
        self.doors = doors
        self.on_loss: Callable[[], None] | None = None
        self.messages: WholeMessages | None = None
        self._deadline: asyncio.TimerHandle | None = None
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.keep_alive_s,
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            max_headers=limits.headers,
            lingering_time=_LINGERING_S,
            access_log=cast("Any", None),
            logger=http_logger,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for the first request."""
        super().connection_made(transport)
        wait_s = self._time_limits.handshake_s
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(wait_s, self._be_late)
        self.doors.knock(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Gives its place back, and tells whoever serves a request over it."""
        self.has_spoken()
        self.doors.leave(self)
        if self.on_loss is not None:
            self.on_loss()
        super().connection_lost(exc)

    def has_spoken(self) -> None:
        """Lets the deadline for the first request go. Idempotent."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def refuse(self, error: RelayError, *, status: int) -> None:
        """Says why, without having read a request, and closes."""
        self.has_spoken()
        if self.transport is not None:
            self.transport.write(raw_problem(error, status=status))
        self.force_close()

    def set_parser(
        self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None
    ) -> None:
        """Begins to read frames, the first of which has to be masked."""
        if self.messages is not None:
            parser = cast("WebSocketReader", self.messages.before(parser))
        guarded = cast("WebSocketReader", FirstFrame(parser))
        super().set_parser(guarded, data_received_cb)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Gives what is no HTTP, and a defect, the form of all errors.

        Raises:
            ConnectionError: The peer is gone, which is no error of anybody.
        """
        is_gone = self.transport is None or self.transport.is_closing()
        if is_gone and isinstance(exc, ConnectionError):
            raise exc
        super().handle_error(request, status, exc, message)
        error, status = self._explain(status, exc)
        answer = problem(error, status=status)
        answer.force_close()
        return answer

    def _explain(self, status: int, exc: BaseException | None) -> tuple[RelayError, int]:
        limits = self._time_limits
        if isinstance(exc, LineTooLong):
            most = limits.line_bytes
            return (
                LimitReached(
                    limit="the bytes of a line",
                    most=most,
                    setting="line-bytes",
                    message=f"cannot read the request: a line of it has more than {most} bytes",
                ),
                431,
            )
        if isinstance(exc, HttpProcessingError):
            if exc.message.startswith(_TOO_MANY_HEADERS):
                return (
                    LimitReached(
                        limit="headers of a request", most=limits.headers, setting="headers"
                    ),
                    431,
                )
            return (
                InvalidRequest(
                    "cannot read the request: it is no HTTP/1.1",
                    hint="speak HTTP/1.1, and https where the relay has a certificate",
                ),
                400,
            )
        return RelayError("cannot serve the request", hint="see the relay's log"), status

    def _be_late(self) -> None:
        self._deadline = None
        wait_s = self._time_limits.handshake_s
        late = LimitReached(
            limit="the seconds until a connection's first request",
            most=wait_s,
            setting="handshake-s",
            message=f"cannot wait any longer: no request came within {wait_s:g} s",
        )
        self.refuse(late, status=408)


@web.middleware
async def take_place(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses a request over a connection of the edge for which there is no place."""
    connection = request.protocol
    if isinstance(connection, EdgeConnection):
        try:
            connection.doors.speak(connection, request.remote or "")
        except LimitReached as error:
            status = 503 if error.fields["setting"] == "connections" else None
            answer = problem(error, status=status, headers={"Retry-After": "1"})
            answer.force_close()
            return answer
    return await handler(request)


class EdgeSite(web.BaseSite):
    """Listens, as aiohttp's own site does, with connections of the edge.

    Args:
        runner: Runs the application.
        doors: Counts connections.
        limits: Bounds.
        host: The address.
        port: The port.
        ssl_context: For TLS.
    """

    def __init__(
        self,
        runner: web.BaseRunner,
        *,
        doors: Doors,
        limits: Limits,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=limits.handshakes)
        self._doors = doors
        self._limits = limits
        self._address = (host, port)

    @property
    def name(self) -> str:
        """The address that it was told."""
        host, port = self._address
        return f"{'http' if self._ssl_context is None else 'https'}://{host}:{port}"

    async def start(self) -> None:
        """Begins to listen.

        Raises:
            OSError: The address cannot be listened on.
        """
        await super().start()
        is_tls = self._ssl_context is not None
        host, port = self._address
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            host,
            port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=self._limits.handshake_s if is_tls else None,
        )

    def _connection(self) -> EdgeConnection:
        server = self._runner.server
        assert server is not None  # noqa: S101 - it was set up before it could listen
        return EdgeConnection(server, doors=self._doors, limits=self._limits)
