"""Clients that are cut off again and again, and come back each time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, NamedTuple

from tests.fault.network.weather import StormyProxy
from tests.server.clients import prompt_params
from tests.server.http_clients import HttpClient, until_answer
from tests.server.peers import Closed, Message, StreamPeer, WebSocketPeer, connect


class Entry(NamedTuple):
    """An entry of a session's log, as it came.

    Attributes:
        seq: Its number.
        raw: Its bytes; they are the same for every client.
    """

    seq: int
    raw: bytes

    @property
    def is_prompt(self) -> bool:
        """Whether it is what a client has prompted."""
        update = json.loads(self.raw)["params"].get("update", {})
        return bool(update.get("sessionUpdate") == "user_message_chunk")

    def ends(self, turn: str) -> bool:
        """Whether it is the end of a turn."""
        message = json.loads(self.raw)
        is_end = message["method"] == "_acprelay/turn_ended"
        return is_end and bool(message["params"]["turn"] == turn)


def position(message: Message) -> tuple[str, int] | None:
    """Where a message stands in the log, if it stands there."""
    stamp = message.get("params", {}).get("_meta", {}).get("acprelay", {})
    return (stamp["generation"], stamp["seq"]) if "seq" in stamp else None


async def survives(step: Coroutine[Any, Any, None], silenced: asyncio.Event) -> bool:
    """Takes a step, and tells whether its connection has lasted.

    Args:
        step: What is to be done.
        silenced: Set once nothing comes any more, which a real client finds out by a timeout.
    """
    loop = asyncio.get_running_loop()
    silence = loop.create_task(silenced.wait())
    going = loop.create_task(step)
    try:
        await asyncio.wait({silence, going}, return_when=asyncio.FIRST_COMPLETED)
        if going.done():
            going.result()
            return True
    except (Closed, OSError, asyncio.IncompleteReadError):
        pass
    finally:
        for task in (silence, going):
            task.cancel()
        await asyncio.gather(silence, going, return_exceptions=True)
    silenced.clear()
    return False


class Wanderer:
    """A client of one session.

    Args:
        url: Where it connects.
        session_id: The session.
        proxy: Tells it that nothing comes any more; a real client would find out by a timeout.

    Attributes:
        entries: What came of the log.
        replies: The answers to its prompts, in order.
        returns: How often it has come back.
        asked: The ids of the permissions that it was asked for, each time.
    """

    def __init__(self, *, url: str, session_id: str, proxy: StormyProxy) -> None:
        self.entries: list[Entry] = []
        self.replies: list[Message] = []
        self.returns = 0
        self.asked: list[object] = []
        self._url = url
        self._session_id = session_id
        self._proxy = proxy
        self._last_id = 0
        self._prompt_id: int | None = None
        self._after: str | None = None
        self._credentials: Message = {}
        self._peer: WebSocketPeer | None = None

    async def arrive(self) -> None:
        """Attaches to the session, at its end."""
        while not await self._survives(self._attach()):
            pass

    async def prompt(self, text: str) -> None:
        """Prompts; the connection must be sound up to the relay."""
        self._last_id += 1
        self._prompt_id = self._last_id
        params = prompt_params(self._session_id, text)
        await self._send({"id": self._prompt_id, "method": "session/prompt", "params": params})

    async def until_answered(self) -> None:
        """Returns once the prompt is answered, wherever it has to be fetched from."""
        while self._prompt_id is not None:
            if not await self._survives(self._hear()):
                self.returns += 1
                await self.arrive()

    async def until(self, method: str) -> None:
        """Returns once a message with this method came; the connection must be sound."""
        while (await self._receive()).get("method") != method:
            pass

    def leave(self) -> None:
        """Hangs up."""
        if self._peer is not None:
            self._peer.abort()

    async def _survives(self, step: Coroutine[Any, Any, None]) -> bool:
        """Takes a step, and tells whether the connection has lasted; hangs up if it has not."""
        if await survives(step, self._proxy.silenced):
            return True
        self.leave()
        return False

    async def _attach(self) -> None:
        self._peer = None
        self._peer = await connect(self._url)
        await self._ask("initialize", {"protocolVersion": 1})
        pending = [] if self._prompt_id is None else [self._prompt_id]
        after = {} if self._after is None else {"after": self._after}
        params = {"sessionId": self._session_id, "pending": pending, **after, **self._credentials}
        told = (await self._ask("_acprelay/attach", params))["_meta"]["acprelay"]
        self._after = self._after or told["position"]
        self._credentials = {key: told[key] for key in ("attachment", "secret")}

    async def _ask(self, method: str, params: Message) -> Message:
        self._last_id += 1
        await self._send({"id": self._last_id, "method": method, "params": params})
        while True:
            message = await self._receive()
            if "method" not in message and message["id"] == self._last_id:
                result: Message = message["result"]
                return result

    async def _hear(self) -> None:
        message = await self._receive()
        if message.get("method") == "session/request_permission":
            self.asked.append(message["id"])
            outcome = {"outcome": {"outcome": "selected", "optionId": "allow"}}
            await self._send({"id": message["id"], "result": outcome})
        elif "method" not in message and message["id"] == self._prompt_id:
            self.replies.append(message)
            self._prompt_id = None

    async def _receive(self) -> Message:
        assert self._peer is not None
        raw = await self._peer.receive()
        message: Message = json.loads(raw)
        if (place := position(message)) is not None:
            self.entries.append(Entry(place[1], raw))
            self._after = f"{place[0]}:{place[1]}"
        return message

    async def _send(self, message: Message) -> None:
        assert self._peer is not None
        await self._peer.send(json.dumps({"jsonrpc": "2.0", **message}).encode())


class Loader(Wanderer):
    """A client that knows ACP and no more: it loads the session anew whenever it comes back."""

    async def until_ended(self) -> None:
        """Returns once it has seen the end of the turn that it saw begin last."""
        turn = json.loads(self.entries[-1].raw)["params"]["turn"]
        while not any(entry.ends(turn) for entry in self.entries):
            if not await self._survives(self._hear()):
                self.returns += 1
                await self.arrive()

    async def _attach(self) -> None:
        self.entries.clear()
        self._peer = None
        self._peer = await connect(self._url)
        await self._ask("initialize", {"protocolVersion": 1})
        load: Message = {"sessionId": self._session_id, "cwd": "/", "mcpServers": []}
        await self._ask("session/load", load)


class Reader:
    """A client over Streamable HTTP whose session's stream is cut, and goes on by `Last-Event-ID`.

    Args:
        http: Its connection, which it begins.
        streams: The same client, as it opens streams.
        session_id: The session.
        proxy: Tells it that nothing comes any more.

    Attributes:
        entries: What came of the log.
        replies: The answers to its prompts, in order.
        returns: How often it has opened the stream again.
        asked: The ids of the permissions that it was asked for, each time.
    """

    def __init__(
        self, *, http: HttpClient, streams: HttpClient, session_id: str, proxy: StormyProxy
    ) -> None:
        self.entries: list[Entry] = []
        self.replies: list[Message] = []
        self.returns = 0
        self.asked: list[object] = []
        self._http = http
        self._streams = streams
        self._session_id = session_id
        self._proxy = proxy
        self._stream: StreamPeer | None = None
        self._last_id: str | None = "0"

    async def arrive(self) -> None:
        """Begins the connection, and enters the session."""
        await self._http.initialize()
        self._streams.connection_id = self._http.connection_id
        own = await self._http.stream()
        params: Message = {"sessionId": self._session_id, "cwd": "/", "mcpServers": []}
        await until_answer(own, await self._http.begin("session/resume", params))

    async def prompt(self, text: str) -> None:
        """Prompts, and returns once that is answered; opens the stream whenever there is none."""
        prompt_id = await self._http.begin_prompt(self._session_id, text)
        while not self.replies:
            if not await survives(self._hear(prompt_id), self._proxy.silenced):
                self.returns += 1
                self._hang_up()

    async def _hear(self, prompt_id: int) -> None:
        if self._stream is None:
            self._stream = await self._streams.stream(self._session_id, last_event_id=self._last_id)
        event = await self._stream.receive()
        self._last_id = event.id
        message = event.message
        if message.get("method") == "session/request_permission":
            self.asked.append(message["id"])
            outcome = {"outcome": {"outcome": "selected", "optionId": "allow"}}
            answer = {"id": message["id"], "result": outcome}
            await self._http.post(answer, session_id=self._session_id)
        elif "method" not in message and message["id"] == prompt_id:
            self.replies.append(message)
        elif (place := position(message)) is not None:
            self.entries.append(Entry(place[1], event.data.encode()))

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.abort()
            self._stream = None
