"""A client that goes on working with the relay while others abuse it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from acprelay.testing.soak.connection import Connection, Lost

_PATIENCE_S = 30.0
_UPDATES = 50


class Disturbed(Exception):
    """The relay did not serve the witness as it has to."""


class Witness:
    """One client with one session of the demo agent, over one connection.

    Attributes:
        turns: How many turns it has seen to their end.
    """

    def __init__(self, connection: Connection) -> None:
        self.turns = 0
        self._connection = connection
        self._session = ""
        self._last_id = 0
        self._seen: list[int] = []

    async def greet(self) -> None:
        """Initializes the connection, and opens a session.

        Raises:
            Disturbed: It cannot.
        """
        await self._call("initialize", {"protocolVersion": 1})
        opened = await self._call("session/new", {"cwd": "/", "mcpServers": []})
        self._session = opened["sessionId"]

    async def turn(self) -> None:
        """Has a turn, of which every update has to come, in order and before the answer.

        Raises:
            Disturbed: It is not so.
        """
        self._seen.clear()
        text = {"type": "text", "text": f"/stream {_UPDATES} 100"}
        answer = await self._call("session/prompt", {"sessionId": self._session, "prompt": [text]})
        if answer.get("stopReason") != "end_turn":
            raise Disturbed(f"a turn ended with {answer}")
        first = self._seen[0] if self._seen else 0
        if len(self._seen) < _UPDATES or self._seen != [*range(first, first + len(self._seen))]:
            raise Disturbed(f"updates are missing, or in disorder: {self._seen}")
        self.turns += 1

    async def leave(self) -> None:
        """Deletes its session: nothing runs for it any more, and nothing is kept of it.

        Raises:
            Disturbed: It cannot.
        """
        await self._call("session/delete", {"sessionId": self._session})

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last_id += 1
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._connection.send(
                    {"id": self._last_id, "method": method, "params": params}
                )
                return await self._answer(method)
        except TimeoutError:
            raise Disturbed(f"{method} was not answered within {_PATIENCE_S:g} s") from None
        except Lost as error:
            raise Disturbed(f"the connection was lost: {error}") from None

    async def _answer(self, method: str) -> dict[str, Any]:
        while True:
            message = json.loads(await self._connection.receive())
            if "method" in message:
                self._note(message)
            elif message["id"] == self._last_id:
                if "error" in message:
                    raise Disturbed(f"{method} was answered with {message['error']}")
                result: dict[str, Any] = message["result"]
                return result

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if params.get("update", {}).get("sessionUpdate") == "agent_message_chunk":
            self._seen.append(params["_meta"]["acprelay"]["seq"])


async def newcomer(url: str, *, token: str | None) -> None:
    """Does all that a witness does, over a connection of its own.

    Args:
        url: The relay's address.
        token: Says who comes; None for a relay that asks nobody.

    Raises:
        Disturbed: The relay does not serve it.
    """
    try:
        connection = await Connection.open(url, token=token)
    except Lost as error:
        raise Disturbed(f"a new client cannot connect: {error}") from None
    try:
        witness = Witness(connection)
        await witness.greet()
        await witness.turn()
        await witness.leave()
    finally:
        await connection.close()
