"""The client that tries an agent out: it keeps to the protocol, and wants the agent to.

It says that it serves no files and no terminals, and allows what it is asked to allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from acprelay.testing.certify.findings import CheckFailed
from acprelay.testing.channels import CommandChannel, command_channel

Message = dict[str, Any]

_QUOTED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried, and how.

    Attributes:
        command: The agent's program and arguments.
        cwd: The directory of its sessions.
        prompt: What it is told.
        patience_s: How long one answer may take.
        end_s: How long the agent may take to end.
    """

    command: Sequence[str]
    cwd: str
    prompt: str = "Say hello."
    patience_s: float = 60.0
    end_s: float = 5.0


@dataclass(slots=True)
class Client:
    """One client of one agent.

    Args:
        channel: To the agent.
        trial: What is tried.

    Attributes:
        updates: The params of the updates that came.
        asked: The agent's requests.
        on_update: Called for each update, if somebody wants to know.
    """

    channel: CommandChannel
    trial: Trial
    updates: list[Message] = field(default_factory=list)
    asked: list[Message] = field(default_factory=list)
    on_update: Callable[[], None] | None = None
    _last_id: int = 0

    async def ask(self, method: str, params: Message, *, request_id: object = None) -> Message:
        """Sends a request and gives its answer; serves the agent meanwhile.

        Args:
            method: Its name.
            params: Its params.
            request_id: Its id; None takes the next number.

        Raises:
            CheckFailed: No answer came in time, or something that is no message.
        """
        if request_id is None:
            self._last_id += 1
            request_id = self._last_id
        await self.send({"id": request_id, "method": method, "params": params})
        try:
            async with asyncio.timeout(self.trial.patience_s):
                return await self._answer_to(request_id, method)
        except TimeoutError:
            raise CheckFailed(f"{method} was not answered in {self.trial.patience_s:g} s") from None

    async def result(self, method: str, params: Message, *, request_id: object = None) -> Message:
        """Sends a request and gives its result, which must be an object.

        Raises:
            CheckFailed: It is none, or an error.
        """
        answer = await self.ask(method, params, request_id=request_id)
        result = answer.get("result")
        if not isinstance(result, dict):
            raise CheckFailed(f"{method} was answered with {_quoted(answer)}")
        return result

    async def initialize(self) -> Message:
        """Does what comes first, and gives the result."""
        able = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
        params: Message = {"protocolVersion": 1, "clientCapabilities": able}
        return await self.result("initialize", params)

    async def open_session(self) -> str:
        """Initializes, opens a session, and gives its id.

        Raises:
            CheckFailed: There is none.
        """
        await self.initialize()
        result = await self.result("session/new", {"cwd": self.trial.cwd, "mcpServers": []})
        session_id = result.get("sessionId")
        if not isinstance(session_id, str) or not session_id:
            raise CheckFailed(f"session/new gave no sessionId: {_quoted(result)}")
        return session_id

    async def prompt(self, session_id: str) -> Message:
        """Has one turn, and gives the result."""
        block = {"type": "text", "text": self.trial.prompt}
        return await self.result("session/prompt", {"sessionId": session_id, "prompt": [block]})

    async def send(self, message: Message) -> None:
        """Sends a message; `jsonrpc` is added.

        Raises:
            CheckFailed: The agent has ended.
        """
        try:
            await self.channel.send(json.dumps({"jsonrpc": "2.0", **message}).encode())
        except ConnectionError:
            raise CheckFailed("the agent takes nothing any more: it has ended") from None

    async def _answer_to(self, request_id: object, method: str) -> Message:
        while True:
            message = await self._receive(method)
            if "method" in message:
                await self._serve(message)
            elif _same(message.get("id"), request_id):
                return message
            else:
                given = message.get("id")
                raise CheckFailed(f"{method}, sent as {request_id!r}, was answered as {given!r}")

    async def _receive(self, method: str) -> Message:
        line = await self.channel.receive()
        if line is None:
            raise CheckFailed(f"the agent ended before it answered {method}")
        try:
            message = json.loads(line)
        except ValueError:
            raise CheckFailed(f"standard output has what is no JSON: {line[:_QUOTED]!r}") from None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            raise CheckFailed(f"standard output has what is no JSON-RPC 2.0: {line[:_QUOTED]!r}")
        return message

    async def _serve(self, message: Message) -> None:
        if message["method"] == "session/update":
            self.updates.append(message.get("params") or {})
            if self.on_update is not None:
                self.on_update()
        if "id" not in message:
            return
        self.asked.append(message)
        if message["method"] == "session/request_permission":
            outcome = _allowed((message.get("params") or {}).get("options"))
            await self.send({"id": message["id"], "result": {"outcome": outcome}})
        else:
            refusal = {"code": -32601, "message": "this client does not serve that"}
            await self.send({"id": message["id"], "error": refusal})


@contextlib.asynccontextmanager
async def client_of(trial: Trial) -> AsyncIterator[Client]:
    """Starts the agent, and ends it.

    Raises:
        ConfigError: It cannot be started.
    """
    async with command_channel(trial.command, end_s=trial.end_s) as channel:
        yield Client(channel, trial)


def _allowed(options: object) -> Message:
    given = (
        [each for each in options if isinstance(each, dict)] if isinstance(options, list) else []
    )
    allowing = [each for each in given if str(each.get("kind", "")).startswith("allow")]
    if not given:
        return {"outcome": "cancelled"}
    return {"outcome": "selected", "optionId": (allowing or given)[0].get("optionId")}


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _quoted(message: Message) -> str:
    text = json.dumps(message)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."
