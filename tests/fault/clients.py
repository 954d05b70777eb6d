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
    """The log, as a load gives it, without what else the client is told meanwhile."""
    client.heard.clear()
    await client.result("session/load", {"sessionId": session_id, **WHERE})
    return [each for each in client.heard if is_entry_of(session_id, each)]


def is_entry_of(session_id: str, message: Message) -> bool:
    """Whether a message is an entry of a session's log."""
    params = message.get("params", {})
    stamp = params.get("_meta", {}).get("acprelay", {})
    return params.get("sessionId") == session_id and "seq" in stamp
