"""Commands as real processes, a relay whose every word the test chooses, and a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from aiohttp import WSCloseCode, WSMsgType, web
from tests.ports import kept_port

from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig

PATIENCE_S = 60.0
PROGRAM = Path(sys.executable).with_name("acprelay")

Json = dict[str, object]


class Command:
    """A command that runs."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @property
    def stdin(self) -> asyncio.StreamWriter:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        assert self.process.stdout is not None
        return self.process.stdout

    async def line(self) -> bytes:
        """Gives the next line of standard output."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.stdout.readline()

    async def until(self, text: bytes) -> bytes:
        """Gives standard output up to a text."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.stdout.readuntil(text)

    async def ended(self) -> tuple[int, bytes, str]:
        """Gives the exit code and what else is on both streams, once the command has ended."""
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await self.process.communicate()
        assert self.process.returncode is not None
        assert b"Traceback" not in errors
        return self.process.returncode, output or b"", errors.decode()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


class Cli:
    """Starts commands; kills what a test leaves behind."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self._commands: list[Command] = []

    async def start(
        self,
        *argv: str | bytes,
        stdin: int = DEVNULL,
        stdout: int = PIPE,
        program: Sequence[str] = (str(PROGRAM),),
        **environment: str,
    ) -> Command:
        process = await asyncio.create_subprocess_exec(
            *program,
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=PIPE,
            cwd=self.cwd,
            env={
                **os.environ,
                "XDG_STATE_HOME": str(self.cwd / "state"),
                "XDG_CONFIG_HOME": str(self.cwd / "config"),
                **environment,
            },
            limit=1 << 27,
        )
        command = Command(process)
        self._commands.append(command)
        return command

    async def run(self, *argv: str | bytes) -> tuple[int, bytes, str]:
        """Runs a command to its end; gives its exit code, standard output and standard error."""
        command = await self.start(*argv)
        return await command.ended()

    async def aclose(self) -> None:
        for command in self._commands:
            if command.process.returncode is None:
                with suppress(psutil.NoSuchProcess, ProcessLookupError):
                    for child in command.children():
                        os.kill(child.pid, signal.SIGKILL)
                    os.kill(command.process.pid, signal.SIGKILL)
                await command.process.communicate()


class Conversation:
    """The relay's side of one connection."""

    def __init__(self, websocket: web.WebSocketResponse) -> None:
        self.websocket = websocket

    async def hears(self) -> Json:
        async with asyncio.timeout(PATIENCE_S):
            message: Json = await self.websocket.receive_json()
        return message

    async def says(self, *messages: Json) -> None:
        for message in messages:
            await self.websocket.send_str(json.dumps({"jsonrpc": "2.0", **message}))

    async def serves(self, method: str, result: Json) -> None:
        request = await self.hears()
        assert request["method"] == method
        await self.says({"id": request["id"], "result": result})

    async def opens(self) -> Json:
        """Serves a client up to its prompt; gives that request."""
        await self.serves("initialize", {"protocolVersion": 1})
        await self.serves("session/new", {"sessionId": "s:main"})
        prompt = await self.hears()
        assert prompt["method"] == "session/prompt"
        return prompt

    async def speaks(self, text: str) -> None:
        """Sends a piece of the agent's message."""
        content = {"type": "text", "text": text}
        update = {"sessionUpdate": "agent_message_chunk", "content": content}
        await self.says(
            {"method": "session/update", "params": {"sessionId": "s:main", "update": update}}
        )

    async def ends(self) -> None:
        """Returns once the client has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            message = await self.websocket.receive()
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING)
        assert self.websocket.close_code == WSCloseCode.OK


Script = Callable[[Conversation], Awaitable[None]]


class FakeRelay:
    """A WebSocket server that says what it is told to say.

    Attributes:
        script: Serves every connection; the connection is closed when it returns.
        queries: The query of each connection.
    """

    def __init__(self) -> None:
        self.script: Script | None = None
        self.queries: list[dict[str, str]] = []
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._failures: asyncio.Queue[BaseException | None] = asyncio.Queue(maxsize=10)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/acp"

    async def open(self) -> None:
        app = web.Application()
        app.router.add_get("/acp", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def played(self) -> None:
        """Returns once a connection's script has come to its end; raises what it raised."""
        async with asyncio.timeout(PATIENCE_S):
            failure = await self._failures.get()
        if failure is not None:
            raise failure

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        assert self.script is not None
        self.queries.append(dict(request.query))
        websocket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await websocket.prepare(request)
        try:
            await self.script(Conversation(websocket))
        except BaseException as error:
            self._failures.put_nowait(error)
            raise
        self._failures.put_nowait(None)
        return websocket


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    cli = Cli(tmp_path)
    yield cli
    await cli.aclose()


@pytest.fixture
async def fake_relay() -> AsyncIterator[FakeRelay]:
    relay = FakeRelay()
    await relay.open()
    yield relay
    await relay.aclose()


@pytest.fixture
async def relay() -> AsyncIterator[RunningRelay]:
    """A real relay in this process, which offers the demo agent."""
    async with open_relay(RelayConfig(auth=False, port=0)) as relay:
        yield relay


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with kept_port() as port:
        yield port
