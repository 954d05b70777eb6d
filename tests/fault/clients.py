"""What clients of these tests are told besides what they ask."""

from __future__ import annotations

from tests.server.clients import AcpClient
from tests.server.peers import Message

WHERE: Message = {"cwd": "/", "mcpServers": []}
ENDED: Message = {"stopReason": "end_turn"}


async def notice(client: AcpClient) -> Message:
    """The params of the first notice that the client got, or gets."""
    for message in client.heard:
        if message.get("method") == "_acprelay/notice":
            params: Message = message["params"]
            return params
    told: Message = (await client.until("_acprelay/notice"))["params"]
    return told


async def greeted(client: AcpClient) -> AcpClient:
    """The same client, which may ask for more than `initialize` now."""
    await client.initialize()
    return client


async def load(client: AcpClient, session_id: str) -> list[Message]:
    """The log, as a load gives it."""
    client.heard.clear()
    await client.result("session/load", {"sessionId": session_id, **WHERE})
    return list(client.heard)
