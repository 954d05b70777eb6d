"""The demo agent as a real process, and a client that checks every message it writes.

The SDK's models forgive: what they do not know they drop, what is wrong they replace. So a message
counts as valid only if the model gives back what it was given.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from acp import schema
from pydantic import BaseModel

PATIENCE_S = 30.0
PROGRAM = (sys.executable, "-m", "acprelay.testing.demo_agent")

Json = dict[str, object]

PARAMS: Mapping[str, type[BaseModel]] = {
    "session/update": schema.SessionNotification,
    "session/request_permission": schema.RequestPermissionRequest,
    "fs/read_text_file": schema.ReadTextFileRequest,
    "terminal/output": schema.TerminalOutputRequest,
    "$/cancel_request": schema.CancelRequestNotification,
}
RESULTS: Mapping[str, type[BaseModel]] = {
    "initialize": schema.InitializeResponse,
    "session/new": schema.NewSessionResponse,
    "session/load": schema.LoadSessionResponse,
    "session/resume": schema.ResumeSessionResponse,
    "session/prompt": schema.PromptResponse,
    "session/set_mode": schema.SetSessionModeResponse,
    "session/close": schema.CloseSessionResponse,
}


def check(model: type[BaseModel], value: object) -> None:
    """Fails unless the SDK's model of a value keeps all of it."""
    parsed = model.model_validate(value)
    assert parsed.model_dump(mode="json", by_alias=True, exclude_unset=True) == value


class Answer:
    """A response, and what the agent wrote before it."""

    def __init__(self, response: Json, before: list[Json]) -> None:
        self.response = response
        self.before = before

    @property
    def result(self) -> Json:
        result = self.response["result"]
        assert isinstance(result, dict)
        return result

    @property
    def error(self) -> Json:
        error = self.response["error"]
        assert isinstance(error, dict)
        return error

    @property
    def updates(self) -> list[Json]:
        return [update for update in map(_update, self.before) if update is not None]

    @property
    def kinds(self) -> list[object]:
        return [update["sessionUpdate"] for update in self.updates]

    @property
    def text(self) -> str:
        """The agent's message, put together from its chunks."""
        contents = [
            u["content"] for u in self.updates if u["sessionUpdate"] == "agent_message_chunk"
        ]
        return "".join(content["text"] for content in contents if isinstance(content, dict))


class DemoClient:
    """A client of one demo agent; speaks JSON-RPC by hand, so that it can speak it badly too."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.stderr = process.stderr
        self.cwd = Path()
        self._methods: dict[object, str] = {}

    def write(self, *lines: bytes) -> None:
        self.stdin.write(b"".join(line + b"\n" for line in lines))

    def send(self, message: Json) -> None:
        if "method" in message and "id" in message:
            self._methods[_key(message["id"])] = str(message["method"])
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def notify(self, method: str, **params: object) -> None:
        self.send({"method": method, "params": params})

    async def line(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.stdout.readline()

    async def receive(self) -> Json:
        """Gives the next message, valid."""
        line = await self.line()
        message = json.loads(line)
        assert isinstance(message, dict)
        assert message.pop("jsonrpc") == "2.0"
        self._check(message)
        return message

    def _check(self, message: Json) -> None:
        if "method" in message:
            check(PARAMS[str(message["method"])], message["params"])
        elif "result" in message:
            check(RESULTS[self._methods[_key(message["id"])]], message["result"])
        else:
            check(schema.Error, message["error"])

    async def answer(self, request_id: object) -> Answer:
        """Gives the answer to a request, with all that comes before it."""
        before: list[Json] = []
        while True:
            message = await self.receive()
            if "method" not in message and _key(message["id"]) == _key(request_id):
                return Answer(message, before)
            before.append(message)

    async def call(self, request_id: object, method: str, **params: object) -> Answer:
        self.send({"id": request_id, "method": method, "params": params})
        return await self.answer(request_id)

    async def initialize(self) -> Answer:
        return await self.call("init", "initialize", protocolVersion=1, clientCapabilities={})

    async def new_session(self, cwd: Path) -> str:
        answer = await self.call("new", "session/new", cwd=str(cwd), mcpServers=[])
        await self.receive()  # the commands
        return str(answer.result["sessionId"])

    def prompt(self, request_id: object, *lines: str, session: str = "demo-1") -> None:
        text = {"type": "text", "text": "\n".join(lines)}
        self.send(
            {
                "id": request_id,
                "method": "session/prompt",
                "params": {"sessionId": session, "prompt": [text]},
            }
        )

    async def ask(self, *lines: str) -> Answer:
        """Prompts, and rejects nothing, as nothing is asked."""
        self.prompt("prompt", *lines)
        return await self.answer("prompt")

    async def until(self, matches: Callable[[Json], bool]) -> Json:
        """Gives the next message that matches; those before it are valid."""
        while True:
            message = await self.receive()
            if matches(message):
                return message

    async def question(self) -> Json:
        """Gives the next permission request."""
        return await self.until(lambda m: m.get("method") == "session/request_permission")

    async def update(self, kind: str) -> Json:
        """Gives the next update of a kind."""

        def matches(message: Json) -> bool:
            update = _update(message)
            return update is not None and update["sessionUpdate"] == kind

        return await self.until(matches)

    def choose(self, question: Json, option: str) -> None:
        outcome = {"outcome": "selected", "optionId": option}
        self.send({"id": question["id"], "result": {"outcome": outcome}})

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


def _update(message: Json) -> Json | None:
    params = message.get("params")
    update = params.get("update") if isinstance(params, dict) else None
    return update if isinstance(update, dict) else None


def _key(request_id: object) -> str:
    return json.dumps(request_id)


Start = Callable[[], Awaitable[DemoClient]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts demo agents; none is left when the test has ended."""
    clients: list[DemoClient] = []

    async def start_one() -> DemoClient:
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=1 << 26
        )
        client = DemoClient(process)
        client.cwd = tmp_path
        clients.append(client)
        return client

    yield start_one
    for client in clients:
        client.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await client.process.communicate()
        finally:
            with suppress(ProcessLookupError):
                client.process.send_signal(signal.SIGKILL)


@pytest.fixture
async def fresh(start: Start) -> DemoClient:
    """A demo agent that nobody has spoken to."""
    return await start()


@pytest.fixture
async def client(fresh: DemoClient, tmp_path: Path) -> DemoClient:
    """A demo agent with a session, `demo-1`, in the test's own directory."""
    await fresh.initialize()
    assert await fresh.new_session(tmp_path) == "demo-1"
    return fresh
