"""`/acp` without an upgrade: Streamable HTTP.

ACP, "Remote transport": a POST of `initialize` opens a connection and is answered at once; every
other message is a POST, too, which is taken with 202. What the relay says comes as server-sent
events, over the connection's stream and one for each session, which the client opens with GET.
DELETE ends the connection, and no session. What messages mean is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from acprelay.config import Limits
from acprelay.errors import InvalidRequest, LimitReached, RelayError
from acprelay.runtime.event_stream import EventStream
from acprelay.server.bodies import read_body
from acprelay.server.choices import read_choice
from acprelay.server.event_streams import EVENT_STREAM, HEADERS
from acprelay.server.http_connections import HttpConnection, HttpConnections
from acprelay.server.http_messages import accepts_events, is_batch, is_json, read_message
from acprelay.server.losses import told_of_loss
from acprelay.server.principals import principal_of
from acprelay.server.problems import problem
from acprelay.server.quotas import Quotas
from acprelay.server.upgrades import notice_death
from acprelay.wire import MessageKind
from acprelay.wire.sse import KEEP_ALIVE

CONNECTION_ID_HEADER = "Acp-Connection-Id"
SESSION_ID_HEADER = "Acp-Session-Id"

_FAREWELL_S = 1.0


class StreamableHttp:
    """Serves POST, GET and DELETE.

    Args:
        agents: The agents that can be chosen, the default one first.
        connections: Has the connections.
        limits: Bounds.
        quotas: Bounds what each principal holds.
        keep_alive_s: How often a quiet stream carries a comment: so that proxies keep it, and its
            end is noticed.
    """

    def __init__(
        self,
        *,
        agents: Sequence[str],
        connections: HttpConnections,
        limits: Limits,
        quotas: Quotas,
        keep_alive_s: float,
    ) -> None:
        self._agents = agents
        self._connections = connections
        self._limits = limits
        self._keep_alive_s = keep_alive_s
        self._quotas = quotas

    async def post(self, request: web.Request) -> web.Response:
        """Takes one message; answers `initialize`, and lets every other answer come on a stream."""
        if not is_json(request):
            return problem(
                InvalidRequest(
                    f"cannot read a body of type {request.content_type[:80]!r}",
                    hint="send one JSON-RPC message as application/json",
                ),
                status=415,
            )
        try:
            if CONNECTION_ID_HEADER not in request.headers:
                return await self._begin(request)
            connection = self._find(request)
            with connection.busy():
                return await self._receive(request, connection)
        except RelayError as error:
            return problem(error)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serves a stream of events until it or its client ends."""
        if not accepts_events(request):
            return problem(
                InvalidRequest(
                    "cannot answer with anything but a stream of events",
                    hint=f"say Accept: {EVENT_STREAM}, or ask for an upgrade to a WebSocket",
                ),
                status=406,
            )
        try:
            connection = self._find(request)
            with self._quotas.streams.hold(principal_of(request).id), connection.busy():
                stream = connection.outbox.open(
                    request.headers.get(SESSION_ID_HEADER),
                    last_event_id=request.headers.get("Last-Event-ID") or None,
                )
                try:
                    with told_of_loss(request, stream.end):
                        return await _serve(request, stream, keep_alive_s=self._keep_alive_s)
                finally:
                    connection.outbox.leave(stream)
        except RelayError as error:
            return problem(error)

    async def delete(self, request: web.Request) -> web.Response:
        """Ends a connection; its sessions stay."""
        try:
            await self._connections.close(self._find(request))
        except RelayError as error:
            return problem(error)
        return web.Response(status=202)

    async def close(self) -> None:
        """Takes no new clients, and lets those go that are there. Idempotent."""
        await self._connections.aclose()

    def _find(self, request: web.Request) -> HttpConnection:
        connection_id = request.headers.get(CONNECTION_ID_HEADER)
        if connection_id is None:
            raise _unnamed()
        return self._connections.find(connection_id, principal_of(request))

    async def _read(self, request: web.Request) -> bytes:
        limits = self._limits
        return await read_body(request, most=limits.max_frame, within_s=limits.body_s)

    async def _begin(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        if is_batch(body):
            return _no_batches()
        envelope = read_message(body, session_id=None)
        if (envelope.kind, envelope.method) != (MessageKind.REQUEST, "initialize"):
            raise _unnamed()
        choice = read_choice(request.query, self._agents)
        connection = self._connections.open(principal_of(request), choice)
        with connection.busy():
            await connection.begun()
            connection.client.deal_with(envelope)
            answer = await connection.outbox.greeting()
        headers = {CONNECTION_ID_HEADER: connection.client.id}
        return web.Response(body=answer, content_type="application/json", headers=headers)

    async def _receive(self, request: web.Request, connection: HttpConnection) -> web.Response:
        if connection.client.backlog_bytes > self._limits.lane_bytes:
            # It asks and does not read. Over a WebSocket, what it says next stays in its socket.
            raise LimitReached(
                limit="the bytes that wait for a client",
                most=self._limits.lane_bytes,
                setting="lane-bytes",
            )
        body = await self._read(request)
        connection.check_open()  # it may have ended while the body came
        if is_batch(body):
            return _no_batches()
        session_id = request.headers.get(SESSION_ID_HEADER)
        connection.client.deal_with(read_message(body, session_id=session_id))
        return web.Response(status=202)


async def _serve(
    request: web.Request, stream: EventStream, *, keep_alive_s: float
) -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    writer = await response.prepare(request)
    if writer is None:  # aiohttp: only where a response was ended before
        return response
    notice_death(request)
    loop = asyncio.get_running_loop()
    writing = loop.create_task(_write(request, response, writer, stream, keep_alive_s))
    over = loop.create_task(stream.wait_until_over())
    try:
        await asyncio.wait({writing, over}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({writing}, timeout=_FAREWELL_S)
    finally:
        over.cancel()
        if not writing.done() and request.transport is not None:
            request.transport.abort()  # its peer does not read
        writing.cancel()
        await asyncio.wait({writing})
    with suppress(ConnectionError, asyncio.CancelledError):
        writing.result()
    return response


async def _write(
    request: web.Request,
    response: web.StreamResponse,
    writer: AbstractStreamWriter,
    stream: EventStream,
    keep_alive_s: float,
) -> None:
    """Writes what is due, as fast as the peer reads; returns once the stream is over.

    Raises:
        ConnectionError: The peer is gone.
    """
    data = stream.begin  # the response's head goes with it
    while not stream.is_over:
        if data:
            await response.write(data)
        if stream.needs_draining:
            await _drain_wholly(request, writer)
            stream.drained()
        data = await _next(request, stream, keep_alive_s)
    await response.write_eof()


async def _next(request: web.Request, stream: EventStream, keep_alive_s: float) -> bytes:
    try:
        async with asyncio.timeout(keep_alive_s):
            await stream.wait()
    except TimeoutError:
        return KEEP_ALIVE
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("cannot write to a client that is gone")
    return stream.take()


async def _drain_wholly(request: web.Request, writer: AbstractStreamWriter) -> None:
    """Returns once the transport holds nothing at all."""
    if request.transport is None:
        return
    request.transport.set_write_buffer_limits(high=0)
    try:
        await writer.drain()
    finally:
        if request.transport is not None:
            request.transport.set_write_buffer_limits()


def _no_batches() -> web.Response:
    return problem(
        InvalidRequest(
            "cannot take a batch", hint="send each JSON-RPC message in a POST of its own"
        ),
        status=501,
    )


def _unnamed() -> InvalidRequest:
    return InvalidRequest(
        f"cannot tell which connection this is for: {CONNECTION_ID_HEADER} is missing",
        hint="POST initialize first, and send the header of its answer with what follows",
    )
