"""Tells whoever serves a request that its connection is lost; what is served is not known here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from acprelay.server.edge import EdgeConnection


@contextmanager
def told_of_loss(request: web.Request, tell: Callable[[], None]) -> Iterator[None]:
    """Has somebody told at once if a request's connection is lost.

    Without this, who has nothing to write finds out late. Where another program listens, nobody is
    told.

    Args:
        request: The request, while it is served.
        tell: Called once at most.
    """
    connection = request.protocol
    if not isinstance(connection, EdgeConnection):
        yield
        return
    if connection.transport is None:
        tell()
    else:
        connection.on_loss = tell
    try:
        yield
    finally:
        connection.on_loss = None
