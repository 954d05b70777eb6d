"""A connection of a link over a WebSocket, as the joiner sees it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType

from acprelay.client.failures import connection_lost
from acprelay.client.hang_ups import loss
from acprelay.client.refusals import is_temporary
from acprelay.client.websocket import close_reason, open_websocket
from acprelay.errors import RelayError, RelayUnreachable, RemoteProtocolError
from acprelay.wire.link import SUBPROTOCOL
from acprelay.wire.link_greeting import CLAIM_HEADER, Claim

_HEARTBEAT_S = 15.0

_FAULTS = {
    WSCloseCode.PROTOCOL_ERROR,
    WSCloseCode.UNSUPPORTED_DATA,
    WSCloseCode.POLICY_VIOLATION,
    WSCloseCode.MESSAGE_TOO_BIG,
}


class LinkSocket:
    """An open connection.

    Args:
        url: Where it leads, for messages.
        websocket: The connection.
    """

    def __init__(self, *, url: str, websocket: ClientWebSocketResponse[Literal[False]]) -> None:
        self._url = url
        self._websocket = websocket

    async def send(self, message: bytes) -> None:
        """Sends a message; waits while the relay does not read.

        Raises:
            RelayUnreachable: The connection is lost.
        """
        try:
            await self._websocket.send_frame(message, WSMsgType.BINARY)
        except (aiohttp.ClientError, OSError) as error:
            raise connection_lost(self._url, loss(error)) from None

    async def receive(self) -> bytes | None:
        """Gives the next message; None once the relay is done with the link. Cancelling is safe.

        Raises:
            RelayUnreachable: The connection is lost.
            RemoteProtocolError: The relay closed it for a fault of ours.
        """
        message = await self._websocket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: bytes = message.data
            return data
        if message.type is not WSMsgType.CLOSE:
            raise connection_lost(self._url, loss(self._websocket.exception()))
        if message.data == WSCloseCode.OK:
            return None
        reason = close_reason(message.data, message.extra)
        if message.data in _FAULTS:
            raise RemoteProtocolError(
                f"cannot go on: {reason}",
                hint="let both ends be acprelay, of versions that fit together",
            )
        raise connection_lost(self._url, reason)


@asynccontextmanager
async def dial(
    url: str, token: str, claim: Claim | None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[LinkSocket]:
    """Connects an agent to a relay, and closes the connection in the end.

    Args:
        url: The address of the role.
        token: Lets the agent in.
        claim: The link that is taken up; None for a new one.
        tls: Checks the relay's certificate; None does as the system does.

    Raises:
        RelayUnreachable: It cannot be reached, or cannot take an agent now.
        LinkGone: It has given the link up.
        RelayError: It does not take the agent.
    """
    headers = {"Authorization": f"Bearer {token}"}
    if claim is not None:
        headers[CLAIM_HEADER] = claim.header()
    try:
        async with open_websocket(
            url, headers=headers, protocols=(SUBPROTOCOL,), heartbeat_s=_HEARTBEAT_S, tls=tls
        ) as websocket:
            if websocket.protocol != SUBPROTOCOL:
                raise RemoteProtocolError(
                    f"cannot join at {url}: what answers there knows no links",
                    hint="check the address, and what stands between",
                )
            yield LinkSocket(url=url, websocket=websocket)
    except RelayError as error:
        if is_temporary(error) and not isinstance(error, RelayUnreachable):
            raise RelayUnreachable(f"cannot join now: {error.message}", hint=error.hint) from None
        raise
