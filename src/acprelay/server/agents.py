"""`/agents/{session_id}/{role}`: a WebSocket whose other end is an agent.

The one who dials in shows a token in the header `Authorization: Bearer …`, and nowhere else:
addresses are kept in logs. With the subprotocol `acprelay.link.v1` the connection is one of a link
that outlives it; without, it is the agent itself, one text message for each JSON-RPC message. What
messages mean is not known here.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web

from acprelay.config import Limits
from acprelay.errors import RelayError, RemoteProtocolError, Unauthorized
from acprelay.runtime.application import Application
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.ports import AgentSocketConnection
from acprelay.server.problems import problem
from acprelay.server.upgrades import check_upgrade, notice_death, refuse_without_upgrade
from acprelay.session.models import SessionKey
from acprelay.wire.link import MOST_IN_PARCEL, SUBPROTOCOL
from acprelay.wire.link_greeting import CLAIM_HEADER, read_claim

PATH = "/agents/{session_id}/{role}"

_HEARTBEAT_S = 15.0
"""How often a joiner that says nothing is asked for a sign of life: a link that is dead is to be
noticed, and a NAT that forgets who is silent is to remember it."""

_CLOSE_S = 5.0
_MOST_REASON = 120  # RFC 6455, section 5.5: a close frame has 125 bytes, two of them the code


class AgentEndpoint:
    """Serves the path.

    Args:
        dial_ins: Admits agents.
        limits: Bounds.
    """

    def __init__(self, *, dial_ins: DialIns, limits: Limits) -> None:
        self._dial_ins = dial_ins
        self._limits = limits
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serves one WebSocket from its upgrade to its end."""
        if (refusal := refuse_without_upgrade(request)) is not None:
            return refusal
        try:
            check_upgrade(request)
            application = _read_application(request)
            self._dial_ins.check(application)
        except Unauthorized as error:
            return problem(error, headers={"WWW-Authenticate": "Bearer"})
        except RelayError as error:
            return problem(error)
        linked = application.is_resumable
        # aiohttp refuses a message of `max_msg_size` bytes itself, with close code 1009.
        socket = web.WebSocketResponse(
            compress=False,
            decode_text=False,
            heartbeat=_HEARTBEAT_S if linked else None,
            max_msg_size=1 + (MOST_IN_PARCEL + 1 if linked else self._limits.max_frame),
            protocols=(SUBPROTOCOL,),
            timeout=_CLOSE_S,
        )
        await socket.prepare(request)
        notice_death(request)
        self._open.add(socket)
        try:
            await self._serve(socket, application)
        except RelayError as error:
            await _close(socket, WSCloseCode.POLICY_VIOLATION, error.message)
        finally:
            self._open.discard(socket)
        return socket

    async def close(self) -> None:
        """Lets every connection go; returns within a few seconds. Idempotent."""
        async with asyncio.TaskGroup() as farewells:
            for socket in self._open:
                farewells.create_task(
                    _close(socket, WSCloseCode.GOING_AWAY, "the relay is stopping")
                )

    async def _serve(self, socket: web.WebSocketResponse, application: Application) -> None:
        connection, greeting = self._dial_ins.admit(application)
        opcode = WSMsgType.BINARY if application.is_resumable else WSMsgType.TEXT
        writer = asyncio.get_running_loop().create_task(
            _write(socket, connection, greeting, opcode)
        )
        try:
            await _read(socket, connection, is_linked=application.is_resumable)
        finally:
            connection.lost()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)


def _read_application(request: web.Request) -> Application:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    claim = request.headers.get(CLAIM_HEADER)
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return Application(
        key=SessionKey(request.match_info["session_id"], request.match_info["role"]),
        token=token.strip() if scheme.lower() == "bearer" else None,
        claim=None if claim is None else read_claim(claim),
        is_resumable=SUBPROTOCOL in [each.strip() for each in offered.split(",")],
    )


async def _read(
    socket: web.WebSocketResponse, connection: AgentSocketConnection, *, is_linked: bool
) -> None:
    """Returns once the socket has ended.

    Raises:
        RemoteProtocolError: What came breaks the rules.
    """
    async for message in socket:
        if message.type is WSMsgType.TEXT and is_linked:
            raise RemoteProtocolError(
                "cannot take text over a link", hint="send binary messages, or offer no subprotocol"
            )
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            connection.receive(message.data)
        await connection.room()


async def _write(
    socket: web.WebSocketResponse,
    connection: AgentSocketConnection,
    greeting: bytes | None,
    opcode: WSMsgType,
) -> None:
    """Returns once the connection is over, and its socket closed."""
    with suppress(ConnectionError):  # the reader of the same socket sees its end
        if greeting is not None:
            await socket.send_frame(greeting, WSMsgType.TEXT)
        while messages := await connection.outgoing():
            for message in messages:
                await socket.send_frame(message, opcode)
        await _close(socket, WSCloseCode.OK, "the link is over")


async def _close(socket: web.WebSocketResponse, code: WSCloseCode, reason: str) -> None:
    with suppress(ConnectionError):
        await socket.close(code=code, message=reason.encode()[:_MOST_REASON])
