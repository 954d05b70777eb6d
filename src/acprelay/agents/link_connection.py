"""One connection of a link to an agent that has dialled in, for whoever has its socket.

It is over when the next one takes the link up, or when the link is over; what comes over it then is
ignored. This module knows no socket.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from acprelay.agents.outgoing import Outgoing


class LinkedAgent(Protocol):
    """The agent at the other end, as far as its connection goes."""

    def message_received(self, message: bytes) -> None:
        """Takes a message.

        Raises:
            RemoteProtocolError: It breaks the rules of the link.
        """
        ...

    def connection_lost(self) -> None:
        """Takes note that the connection is lost."""
        ...


class LinkConnection:
    """A connection; `DialledAgent.connect` makes one.

    Args:
        agent: The agent.
        outgoing: What is to be sent to it.
    """

    def __init__(self, *, agent: LinkedAgent, outgoing: Outgoing) -> None:
        self._agent: LinkedAgent | None = agent
        self._outgoing = outgoing
        self._has_room = asyncio.Event()
        self._has_room.set()

    def receive(self, message: bytes) -> None:
        """Takes a message; one that comes too late is ignored.

        Raises:
            RemoteProtocolError: It breaks the rules of the link; close the socket.
        """
        if self._agent is not None:
            self._agent.message_received(message)

    async def room(self) -> None:
        """Returns once the next message can be taken. Cancelling is safe."""
        await self._has_room.wait()

    async def outgoing(self) -> list[bytes]:
        """Gives the messages that are to be sent next, once there are any. Cancelling is safe.

        Returns:
            Nothing once the connection is over: close the socket.
        """
        return await self._outgoing.take()

    def lost(self) -> None:
        """Takes note that its socket is gone. Idempotent."""
        if self._agent is not None:
            self._agent.connection_lost()

    # -- the agent's side

    def wake(self) -> None:
        """Takes note that something may be to be sent."""
        self._outgoing.wake()

    def set_room(self, *, is_there: bool) -> None:
        """Says whether the next message can be taken."""
        if is_there:
            self._has_room.set()
        else:
            self._has_room.clear()

    def close(self) -> None:
        """Takes nothing any more, and sends nothing. Idempotent."""
        self._agent = None
        self._outgoing.close()
        self._has_room.set()
