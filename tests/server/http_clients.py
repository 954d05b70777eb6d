"""An ACP client over Streamable HTTP: it says what it is told, and reads the streams it opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Self

from tests.server.clients import prompt_params
from tests.server.peers import Answer, Event, Message, StreamPeer, open_stream, request_http

CONNECTION = "Acp-Connection-Id"
SESSION = "Acp-Session-Id"
JSON = {"Content-Type": "application/json"}
EVENTS = {"Accept": "text/event-stream"}
INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'


class HttpClient:
    """One client; to be used as a context, which its streams do not outlive.

    Args:
        base_url: The relay's address.
        headers: What it sends with every request.

    Attributes:
        connection_id: What `initialize` told it.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self.connection_id = ""
        self._base_url = base_url
        self._headers = headers or {}
        self._last_id = 0
        self._streams: list[StreamPeer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.abort()

    async def initialize(self, path: str = "/acp", **params: object) -> Message:
        """Opens the connection, and gives the answer."""
        answer = await self.post(
            {"id": 0, "method": "initialize", "params": {"protocolVersion": 1, **params}}, path=path
        )
        assert answer.status == 200, answer
        assert answer.headers["content-type"].startswith("application/json")
        self.connection_id = answer.headers[CONNECTION.lower()]
        message: Message = json.loads(answer.body)
        return message

    async def post(
        self, message: Message, *, session_id: str | None = None, path: str = "/acp"
    ) -> Answer:
        """Posts a message."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        return await request_http(
            self._base_url,
            path,
            method="POST",
            headers={**JSON, **self.headers(session_id)},
            body=body,
        )

    def headers(self, session_id: str | None = None) -> dict[str, str]:
        """What its requests carry."""
        named = {} if session_id is None else {SESSION: session_id}
        known = {CONNECTION: self.connection_id} if self.connection_id else {}
        return {**self._headers, **known, **named}

    def skip_ids(self, last_id: int) -> None:
        """Uses no id up to this one."""
        self._last_id = max(self._last_id, last_id)

    async def begin(self, method: str, params: Message, *, session_id: str | None = None) -> int:
        """Posts a request, which must be taken; gives its id."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params}
        answer = await self.post(message, session_id=session_id)
        assert (answer.status, answer.body) == (202, b""), answer
        return self._last_id

    async def begin_prompt(self, session_id: str, text: str) -> int:
        """Prompts, and gives the request's id."""
        params = prompt_params(session_id, text)
        return await self.begin("session/prompt", params, session_id=session_id)

    async def begin_load(self, session_id: str) -> int:
        """Loads a session, and gives the request's id."""
        params: Message = {"sessionId": session_id, "cwd": "/", "mcpServers": []}
        return await self.begin("session/load", params)

    async def stream(
        self,
        session_id: str | None = None,
        *,
        last_event_id: str | None = None,
        receive_buffer: int | None = None,
    ) -> StreamPeer:
        """Opens a stream: the connection's, or a session's."""
        seen = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        stream = await open_stream(
            self._base_url,
            "/acp",
            headers={**self.headers(session_id), **seen},
            receive_buffer=receive_buffer,
        )
        self._streams.append(stream)
        return stream

    async def open_session(self, stream: StreamPeer) -> str:
        """Opens a session, whose id is read from the connection's stream."""
        request_id = await self.begin("session/new", {"cwd": "/", "mcpServers": []})
        answer = (await until_answer(stream, request_id))[-1].message
        return str(answer["result"]["sessionId"])

    async def leave(self) -> Answer:
        """Ends the connection."""
        return await request_http(self._base_url, "/acp", method="DELETE", headers=self.headers())


async def until_answer(stream: StreamPeer, request_id: object) -> list[Event]:
    """Reads until the answer to a request; gives all that came, that being the last."""
    events = []
    while True:
        events.append(await stream.receive())
        message = events[-1].message
        if "method" not in message and message["id"] == request_id:
            return events


async def until_method(stream: StreamPeer, method: str) -> list[Event]:
    """Reads until a message with a method; gives all that came, that being the last."""
    events = []
    while True:
        events.append(await stream.receive())
        if events[-1].message.get("method") == method:
            return events
