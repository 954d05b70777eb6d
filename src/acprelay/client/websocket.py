"""One WebSocket connection to a relay: whole text messages as bytes, one error for all that fails.

It knows no JSON. Reading slowly makes the relay wait, and so does writing fast make the caller.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal

import aiohttp
from aiohttp import ClientWebSocketResponse, ClientWSTimeout, WSMsgType

from acprelay.client.failures import connection_lost, no_relay, refused, unreachable
from acprelay.client.hang_ups import hang_up, loss
from acprelay.errors import RelayError, RelayUnreachable

_CONNECT_S = 15.0
_CLOSE_S = 5.0
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class RelaySocket:
    """An open connection.

    Args:
        url: Where it leads, for messages.
        websocket: The connection, which neither decodes text nor answers a close by itself.
    """

    def __init__(self, *, url: str, websocket: ClientWebSocketResponse[Literal[False]]) -> None:
        self.url = url
        self._websocket = websocket

    async def send(self, message: bytes) -> None:
        """Sends one text message, which is UTF-8; waits while the relay does not read.

        Raises:
            RelayUnreachable: The connection is lost.
        """
        try:
            await self._websocket.send_frame(message, WSMsgType.TEXT)
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(loss(error)) from None

    async def receive(self) -> bytes:
        """Gives the next text message; binary ones are skipped, as ACP's transport has none.

        Cancelling is safe. Calls do not overlap.

        Raises:
            RelayUnreachable: The connection has ended.
        """
        while True:
            message = await self._websocket.receive()
            if message.type is WSMsgType.TEXT:
                data: bytes = message.data
                return data
            if message.type is WSMsgType.CLOSE:
                raise self._lost(close_reason(message.data, message.extra))
            if message.type is not WSMsgType.BINARY:
                raise self._lost(loss(self._websocket.exception()))

    async def close(self) -> None:
        """Closes the connection once the relay has read everything; waits a few seconds at most."""
        await self._websocket.close()

    def _lost(self, reason: str) -> RelayUnreachable:
        return connection_lost(self.url, reason)


@asynccontextmanager
async def open_socket(
    url: str, *, token: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RelaySocket]:
    """Connects to a relay, and closes the connection in the end.

    Args:
        url: The address, with its query.
        token: Says who connects; None for a relay that does without.
        tls: Checks the relay's certificate; None does as the system does.

    Raises:
        RelayError: It does not take the connection, and says why: by its class.
        RelayUnreachable: It cannot be reached, or what answers is no relay.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with open_websocket(url, headers=headers, tls=tls) as websocket:
        yield RelaySocket(url=url, websocket=websocket)


@asynccontextmanager
async def open_websocket(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    heartbeat_s: float | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ClientWebSocketResponse[Literal[False]]]:
    """Connects to a relay, and closes the connection in the end.

    Args:
        url: The address, with its query.
        headers: Further headers of the request.
        protocols: Subprotocols that are offered.
        heartbeat_s: How often a relay that says nothing is asked for a sign of life; None leaves
            that to the system.
        tls: Checks the relay's certificate; None does as the system does.

    Raises:
        RelayError: It does not take the connection, and says why: by its class.
        RelayUnreachable: It cannot be reached, or what answers is no relay.
    """
    # The timeout is around the connecting alone: a turn may take hours.
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None),
        headers=headers,
        connector=aiohttp.TCPConnector(ssl=tls or True),
    ) as http:
        try:
            async with asyncio.timeout(_CONNECT_S):
                websocket = await http.ws_connect(
                    url,
                    autoclose=False,
                    decode_text=False,
                    max_msg_size=0,
                    protocols=protocols,
                    heartbeat=heartbeat_s,
                    timeout=ClientWSTimeout(ws_close=_CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise await _refused(http, url, error.status, protocols) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(url, hang_up(error), after_s=_CONNECT_S) from None
        async with websocket:
            _keep_alive(websocket.get_extra_info("socket"))
            yield websocket


async def _refused(
    http: aiohttp.ClientSession, url: str, status: int, protocols: Sequence[str]
) -> RelayError:
    """Asks once more, without a WebSocket key, for the reason that a failed upgrade hides."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    if protocols:
        headers["Sec-WebSocket-Protocol"] = ",".join(protocols)
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_S), http.get(url, headers=headers) as response:
            return await refused(response, url, deed="connect")
    return no_relay(url, status)


def close_reason(code: object, reason: object) -> str:
    """What is said of a connection that the relay closed."""
    said = f": {reason}" if reason else ""
    return f"the relay closed it ({code}{said})"


def _keep_alive(connection: socket.socket | None) -> None:
    """Lets the system notice a relay that vanished.

    Not by WebSocket pings: while a slow reader downstream makes us wait, no pong would be read.
    """
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # the names differ between systems
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
