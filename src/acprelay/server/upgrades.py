"""What all WebSockets of the server have in common before and after their upgrade."""

from __future__ import annotations

import socket as socket_module

from aiohttp import web

from acprelay.errors import InvalidRequest
from acprelay.server.problems import problem

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


def asks_for_websocket(request: web.Request) -> bool:
    """Tells whether a request asks for an upgrade to a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def refuse_without_upgrade(request: web.Request) -> web.Response | None:
    """Gives the answer to a request that asks for no WebSocket."""
    if asks_for_websocket(request):
        return None
    return problem(
        InvalidRequest(
            f"cannot serve {request.path[:120]} without an upgrade",
            hint="connect to it with a WebSocket",
        ),
        status=426,
        headers={"Upgrade": "websocket"},
    )


def check_upgrade(request: web.Request) -> None:
    """Checks the one thing of an upgrade that aiohttp takes for granted.

    Raises:
        InvalidRequest: The key is malformed.
    """
    if not request.headers.get("Sec-WebSocket-Key", "").isascii():
        raise InvalidRequest(
            "cannot upgrade: Sec-WebSocket-Key is no ASCII", hint="send a key as RFC 6455 says"
        )


def notice_death(request: web.Request) -> None:
    """Has the system end a connection whose other end is gone without a word.

    A ping of our own would also end one whose other end sleeps, or does not read for a while.
    """
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("socket")
    for name, value in _KEEPALIVE.items():
        option = getattr(socket_module, name, None)  # each system has some of them
        if connection is not None and option is not None:
            connection.setsockopt(socket_module.IPPROTO_TCP, option, value)
