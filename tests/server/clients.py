"""An ACP client over a bare WebSocket: it says what it is told, and remembers what it hears."""

from __future__ import annotations

import json

from tests.conformance import schema
from tests.server.peers import Message, WebSocketPeer

OF_THE_RELAY = {
    f"session/{name}" for name in ("new", "load", "resume", "list", "close", "delete")
} | {"initialize"}
"""The methods whose results are the relay's own, in whole or in part."""


class AcpClient:
    """One client; it takes no result of the relay's that the protocol does not know.

    Args:
        peer: Its WebSocket.

    Attributes:
        heard: Everything that came and was not the answer that a call waited for, in order.
    """

    def __init__(self, peer: WebSocketPeer) -> None:
        self.peer = peer
        self.heard: list[Message] = []
        self._last_id = 0
        self._asked: dict[object, str] = {}

    async def send(self, message: Message) -> None:
        """Sends a message; `jsonrpc` is added."""
        await self.peer.send(json.dumps({"jsonrpc": "2.0", **message}).encode())

    async def receive(self) -> Message:
        """Reads one message."""
        message: Message = json.loads(await self.peer.receive())
        if "result" in message and (method := self._asked.pop(message["id"], "")) in OF_THE_RELAY:
            assert list(schema.faults_of_result(method, message["result"])) == []
        return message

    def skip_ids(self, last_id: int) -> None:
        """Uses no id up to this one."""
        self._last_id = max(self._last_id, last_id)

    async def begin(self, method: str, params: Message) -> int:
        """Sends a request, and gives its id."""
        self._last_id += 1
        self._asked[self._last_id] = method
        await self.send({"id": self._last_id, "method": method, "params": params})
        return self._last_id

    async def answer_to(self, request_id: object) -> Message:
        """Gives the answer to a request; reads until it comes, and remembers what comes before."""
        for index, message in enumerate(self.heard):
            if "method" not in message and message["id"] == request_id:
                return self.heard.pop(index)
        while True:
            message = await self.receive()
            if "method" not in message and message["id"] == request_id:
                return message
            self.heard.append(message)

    async def until(self, method: str) -> Message:
        """Reads until a message with a method, and remembers what comes before."""
        while True:
            message = await self.receive()
            if message.get("method") == method:
                return message
            self.heard.append(message)

    async def ask(self, method: str, params: Message) -> Message:
        """Sends a request and gives its answer."""
        return await self.answer_to(await self.begin(method, params))

    async def result(self, method: str, params: Message) -> Message:
        """Sends a request and gives its result."""
        answer = await self.ask(method, params)
        assert "result" in answer, answer
        result: Message = answer["result"]
        return result

    async def error(self, method: str, params: Message) -> Message:
        """Sends a request and gives its error."""
        answer = await self.ask(method, params)
        assert "error" in answer, answer
        error: Message = answer["error"]
        return error

    async def initialize(self) -> Message:
        """Does what comes first."""
        return await self.result("initialize", {"protocolVersion": 1})

    async def open_session(self, cwd: str = "/") -> str:
        """Initializes, opens a session, and gives its id."""
        await self.initialize()
        return await self.new_session(cwd)

    async def new_session(self, cwd: str = "/") -> str:
        """Opens a session and gives its id."""
        result = await self.result("session/new", {"cwd": cwd, "mcpServers": []})
        return str(result["sessionId"])

    async def begin_prompt(self, session_id: str, text: str) -> int:
        """Prompts, and gives the request's id."""
        return await self.begin("session/prompt", prompt_params(session_id, text))

    async def prompt(self, session_id: str, text: str) -> Message:
        """Prompts, and gives the whole answer."""
        return await self.ask("session/prompt", prompt_params(session_id, text))

    @property
    def updates(self) -> list[Message]:
        """The updates that came so far, without what surrounds them."""
        return [
            message["params"]["update"]
            for message in self.heard
            if message.get("method") == "session/update"
        ]

    @property
    def text(self) -> str:
        """The agent's answer so far."""
        chunk = "agent_message_chunk"
        return "".join(u["content"]["text"] for u in self.updates if u["sessionUpdate"] == chunk)


def prompt_params(session_id: str, text: str) -> Message:
    """The params of a prompt that is one text block."""
    return {"sessionId": session_id, "prompt": [{"type": "text", "text": text}]}
