"""One conversation over a connection of its own: what is said there, and prompts.

What is said comes in its order, and waits here, within a bound, until it is read: a program that
does not read makes the relay wait, and nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from acprelay.client.acp_client import AcpClient, OnPermission
from acprelay.client.acp_messages import JsonObject, as_object, update_of
from acprelay.client.message_socket import MessageSocket

START = "start"
"""The position before everything."""

_MOST_WAITING = 1000
_TURN_STARTED = "_acprelay/turn_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was said in a conversation.

    Attributes:
        method: `session/update`, or what the relay tells by itself: `_acprelay/turn_ended` and
            the like.
        params: Its params, as they came.
    """

    method: str
    params: JsonObject

    @property
    def update(self) -> JsonObject | None:
        """The update, where it is one."""
        return update_of(self.method, self.params)

    @property
    def text(self) -> str:
        """What the agent says with it to whom it works for; empty where that is no text."""
        update = self.update or {}
        content = as_object(update.get("content"))
        is_said = update.get("sessionUpdate") == "agent_message_chunk"
        return str(content.get("text", "")) if is_said and content.get("type") == "text" else ""

    @property
    def position(self) -> str | None:
        """Its place in the log, to come back to; None for what stands in no log."""
        stamp = as_object(as_object(self.params.get("_meta")).get("acprelay"))
        known = "generation" in stamp and "seq" in stamp
        return f"{stamp['generation']}:{stamp['seq']}" if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a prompt.

    Attributes:
        stop_reason: Why the turn ended: `end_turn`, `cancelled` and the like.
        text: What the agent said.
    """

    stop_reason: str
    text: str


OnEntry = Callable[[Entry], None]


class Conversation:
    """A conversation that this program takes part in. Iterating over it gives its entries.

    One task at a time reads: by iterating, or by prompting.

    Args:
        session_id: Its public id.
        client: The connection.
        entries: What was said and not read.
        loss: Done once nothing comes any more, with the reason.
    """

    def __init__(
        self,
        *,
        session_id: str,
        client: AcpClient,
        entries: asyncio.Queue[Entry],
        loss: asyncio.Future[Exception],
    ) -> None:
        self.session_id = session_id
        self._client = client
        self._entries = entries
        self._loss = loss

    async def __aiter__(self) -> AsyncIterator[Entry]:
        """Yields entries for as long as there is a connection.

        Raises:
            RelayUnreachable: It is lost; what came before was given.
        """
        while (entry := await self._next(self._loss)) is not None:
            yield entry
        raise self._loss.result()

    async def prompt(
        self, prompt: str | Sequence[JsonObject], *, on_entry: OnEntry = lambda _: None
    ) -> Answer:
        """Prompts, and waits for the end of the turn; what is said until then is read.

        Prompts of one session wait for each other. Cancelling the call cancels no turn: `cancel`
        does, and the call returns.

        Args:
            prompt: Text, or content blocks of ACP.
            on_entry: Called with everything that is said, one after another.

        Raises:
            RelayError: The prompt is refused, or fails: by its class.
            RelayUnreachable: The connection is lost; the turn goes on.
        """
        blocks = [{"type": "text", "text": prompt}] if isinstance(prompt, str) else prompt
        turn = asyncio.get_running_loop().create_task(
            self._client.prompt_with(self.session_id, blocks)
        )
        try:
            said: list[str] = []
            while (entry := await self._next(turn)) is not None:
                if entry.method == _TURN_STARTED:
                    said.clear()  # what came before was of another one
                said.append(entry.text)
                on_entry(entry)
            return Answer(stop_reason=turn.result(), text="".join(said))
        finally:
            turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)

    async def cancel(self) -> None:
        """Cancels the running turn, if it is this program's, and what it has queued. Idempotent.

        Raises:
            RelayUnreachable: The connection is lost.
        """
        await self._client.cancel(self.session_id)

    async def _next(self, end: asyncio.Future[Any]) -> Entry | None:
        """Gives the next entry; None once there is none that came before `end` was done."""
        if self._entries.empty() and not end.done():
            getter = asyncio.get_running_loop().create_task(self._entries.get())
            try:
                await asyncio.wait([getter, end], return_when=asyncio.FIRST_COMPLETED)
            finally:
                getter.cancel()  # it takes nothing out unless it is done
                await asyncio.gather(getter, return_exceptions=True)
            if not getter.cancelled():
                return getter.result()
        return None if self._entries.empty() else self._entries.get_nowait()


@asynccontextmanager
async def attached(
    socket: MessageSocket,
    session_id: str,
    *,
    after: str | None = None,
    on_permission: OnPermission | None = None,
) -> AsyncIterator[Conversation]:
    """Takes part in a conversation over a connection that nothing was said on yet.

    Args:
        socket: The connection.
        session_id: The session's public id.
        after: The position of the last entry that is known; `START` for all there is, None for
            what is said from now on.
        on_permission: Answers what the agent asks permission for; None leaves that to others.

    Raises:
        SessionNotFound: There is no such session.
        CursorExpired: The log no longer reaches the position.
        RelayUnreachable: The connection is lost.
    """
    entries: asyncio.Queue[Entry] = asyncio.Queue(maxsize=_MOST_WAITING)

    async def keep(method: str, params: JsonObject) -> None:
        await entries.put(Entry(method=method, params=params))

    client = AcpClient(socket=socket, on_notification=keep, on_permission=on_permission)
    async with client:
        await client.initialize()
        place = {} if after is None else {"after": after}
        await client.call("_acprelay/attach", {"sessionId": session_id, **place})
        loss = asyncio.get_running_loop().create_task(client.until_lost())
        try:
            yield Conversation(session_id=session_id, client=client, entries=entries, loss=loss)
        finally:
            loss.cancel()
            await asyncio.gather(loss, return_exceptions=True)
