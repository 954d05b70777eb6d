"""The clients that are connected to a relay, for what is for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """A client, as far as it can be told something."""

    @property
    def backlog_bytes(self) -> int:
        """How much waits for the client alone."""
        ...

    def say(self, message: bytes) -> None:
        """Gives the client a message that belongs to no session."""
        ...


class ConnectedClients:
    """Who is connected at the moment."""

    def __init__(self) -> None:
        self._clients: set[Listener] = set()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._clients)

    @property
    def backlog_bytes(self) -> int:
        """How much waits for single clients, together."""
        return sum(client.backlog_bytes for client in self._clients)

    @contextmanager
    def including(self, client: Listener) -> Iterator[None]:
        """Counts a client in, for as long as the context lasts."""
        self._clients.add(client)
        try:
            yield
        finally:
            self._clients.discard(client)

    def tell(self, message: bytes) -> None:
        """Gives every client a message that belongs to no session."""
        for client in list(self._clients):
            client.say(message)
