"""Editors: clients of the agent-client-protocol package, with an ear for every message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import acp
import httpx
from acp import schema
from acp._transport import Transport
from acp.connection import StreamDirection, StreamEvent
from acp.core import ClientSideConnection
from acp.http import create_http_stream
from acp.ws import create_websocket_stream
from tests.server.peers import PATIENCE_S, Message


class Editor:
    """A client as an editor has one: it shows what comes, and answers what it is asked.

    Attributes:
        answer: Chooses an option of a permission request; None cancels.
        may_answer: Set while it answers; otherwise its user is still thinking.
        shown: The kinds of updates that came, in order, with the session of each.
        texts: The text of each session's answers.
        asked: Set once it was asked something.
    """

    def __init__(self) -> None:
        self.answer: Callable[[schema.ToolCallUpdate], str | None] = lambda _: "allow"
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.shown: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.asked = asyncio.Event()

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.shown.append((session_id, update.session_update))
        if isinstance(update, schema.AgentMessageChunk):
            assert isinstance(update.content, schema.TextContentBlock)
            self.texts.setdefault(session_id, []).append(update.content.text)

    async def request_permission(
        self, tool_call: schema.ToolCallUpdate, **_: Any
    ) -> schema.RequestPermissionResponse:
        self.asked.set()
        await self.may_answer.wait()
        option = self.answer(tool_call)
        if option is None:
            outcome: Any = schema.DeniedOutcome(outcome="cancelled")
        else:
            outcome = schema.AllowedOutcome(outcome="selected", option_id=option)
        return schema.RequestPermissionResponse(outcome=outcome)

    async def ext_notification(self, method: str, params: dict[str, Any]) -> None:
        """Takes the relay's own notifications."""


class Desk:
    """An editor and its connection.

    Attributes:
        said: Every message that it has sent, in order.
        heard: Every message that came, in order.
    """

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.said: list[Message] = []
        self.heard: list[Message] = []
        self._changed = asyncio.Condition()
        self.agent: ClientSideConnection

    async def observe(self, event: StreamEvent) -> None:
        """Takes every message."""
        messages = self.heard if event.direction is StreamDirection.INCOMING else self.said
        messages.append(event.message)
        async with self._changed:
            self._changed.notify_all()

    async def hears(self, method: str, *, times: int = 1) -> Message:
        """Gives the last of so many messages with a method, once they have come."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.all_of(method)) >= times)
        return self.all_of(method)[times - 1]

    async def answer_to(self, request_id: object) -> Message:
        """Gives the answer that came under an id, once it has come."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: bool(self.answers_to(request_id)))
        return self.answers_to(request_id)[0]

    def all_of(self, method: str) -> list[Message]:
        """The messages with a method that came."""
        return [message for message in self.heard if message.get("method") == method]

    def answers_to(self, request_id: object) -> list[Message]:
        """The answers that came under an id."""
        return [m for m in self.heard if "method" not in m and m.get("id") == request_id]

    @property
    def log(self) -> list[Message]:
        """The entries of the public log that came, in order."""
        return [message for message in self.heard if "seq" in stamp(message)]

    async def open(self, cwd: Path | str = "/") -> schema.NewSessionResponse:
        """Initializes and opens a session."""
        await self.initialize()
        return await self.agent.new_session(cwd=str(cwd), mcp_servers=[])

    async def initialize(self) -> None:
        """Does what comes first."""
        await self.agent.initialize(protocol_version=acp.PROTOCOL_VERSION)

    async def load(self, session_id: str) -> schema.LoadSessionResponse:
        """Loads a session."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.agent.load_session(cwd="/", session_id=session_id, mcp_servers=[])

    async def prompt(self, session_id: str, text: str) -> schema.PromptResponse:
        """Prompts, with a bound on how long the turn may take."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.agent.prompt(session_id=session_id, prompt=[acp.text_block(text)])

    async def ask(self, method: str, params: Message) -> Message:
        """Sends a request of the relay's own, without its first underscore."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.agent.ext_method(method, params)


def stamp(message: Message) -> Message:
    """What the relay has added to a message."""
    meta = (message.get("params") or {}).get("_meta") or {}
    added: Message = meta.get("acprelay", {})
    return added


def position(message: Message) -> str:
    """Where in the log an entry stands, as clients name it."""
    return f"{stamp(message)['generation']}:{stamp(message)['seq']}"


@contextlib.asynccontextmanager
async def sit_down(url: str) -> AsyncIterator[Desk]:
    """Connects an editor over a WebSocket."""
    async with _connected(await create_websocket_stream(url)) as desk:
        yield desk


@contextlib.asynccontextmanager
async def sit_down_over_http(
    url: str, *, client: httpx.AsyncClient | None = None
) -> AsyncIterator[Desk]:
    """Connects an editor over Streamable HTTP.

    Args:
        url: The address of `/acp`.
        client: What makes its requests; None for what the package takes.
    """
    async with _connected(create_http_stream(url, client=client)) as desk:
        yield desk


@contextlib.asynccontextmanager
async def _connected(transport: Transport) -> AsyncIterator[Desk]:
    desk = Desk(Editor())
    client = cast("acp.Client", desk.editor)
    desk.agent = acp.connect_to_agent(client, transport, observers=[desk.observe])
    try:
        yield desk
    finally:
        await desk.agent.close()
