"""Ports that are kept for a test while others, at the same time, take what is free."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_port() -> Iterator[int]:
    """Keeps a port of loopback for as long as the context lasts.

    The system gives it to nobody who asks for any that is free, and refuses connections to it,
    until a server listens that asks for just this one, with `SO_REUSEADDR` as servers do.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port: int = keeper.getsockname()[1]
        yield port
