"""One WebSocket to the relay, which can be cut in the middle of everything.

It sends and receives whole text messages. Not to call `receive` is not to read: once the buffers on
both sides are full, the relay cannot write any more.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, Literal, Self

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType

_OPEN_S = 15.0
_NO_LINGERING = struct.pack("ii", 1, 0)


class Lost(Exception):
    """The connection cannot be made, or is gone."""


class Connection:
    """An open WebSocket.

    Args:
        http: The HTTP client that it belongs to, and that no other connection uses.
        websocket: The WebSocket.
    """

    def __init__(
        self,
        *,
        http: aiohttp.ClientSession,
        websocket: ClientWebSocketResponse[Literal[False]],
    ) -> None:
        self._http = http
        self._websocket = websocket

    @classmethod
    async def open(
        cls, url: str, *, receive_buffer: int | None = None, token: str | None = None
    ) -> Self:
        """Connects.

        Args:
            url: A `ws:` address.
            receive_buffer: The size of the socket's receive buffer in bytes; None leaves it to the
                system. A small one is full soon.
            token: Says who connects; None for a relay that asks nobody.

        Raises:
            Lost: Nobody listens there.
        """

        def make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
            made = socket.socket(address[0], address[1], address[2])
            if receive_buffer is not None:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            return made

        http = aiohttp.ClientSession(
            headers=None if token is None else {"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(socket_factory=make_socket),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_OPEN_S),
        )
        try:
            websocket = await http.ws_connect(url, decode_text=False, max_msg_size=0)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await http.close()
            raise Lost(str(error)) from None
        except BaseException:
            await http.close()
            raise
        return cls(http=http, websocket=websocket)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Sends one JSON-RPC message; `jsonrpc` is added. Waits while the relay does not read.

        Raises:
            Lost: The connection is gone.
        """
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        try:
            await self._websocket.send_frame(data, WSMsgType.TEXT)
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(str(error)) from None

    async def receive(self) -> bytes:
        """Gives the next message. Cancelling is safe.

        Raises:
            Lost: The connection is gone.
        """
        message = await self._websocket.receive()
        if message.type is WSMsgType.TEXT:
            data: bytes = message.data
            return data
        raise Lost(f"{message.type.name} {message.data or ''} {message.extra or ''}".strip())

    async def cut(self) -> None:
        """Ends the connection without a word: the relay sees a reset. Idempotent."""
        connection = self._websocket.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        await self._http.close()

    async def close(self) -> None:
        """Ends the connection in good order. Idempotent."""
        await self._websocket.close()
        await self._http.close()
