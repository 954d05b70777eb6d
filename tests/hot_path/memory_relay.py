"""A whole relay in this process, as `serve` runs it, with memory in place of sockets and pipes.

What stands between an agent's bytes and those of its clients is the real thing: the splitter of
lines, the driver, the core, the log in files, the outbox, aiohttp. Only what belongs to the system
is replaced: transports that count, a program that says what it is told, a disk that waits.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any, Literal, cast

import psutil
import pytest
from aiohttp import web
from tests.hot_path.loops import CountingLoop

from acprelay.agents.models import AgentExit, AgentLimits, Usage
from acprelay.agents.program import Program
from acprelay.agents.stdio import StdioAgent
from acprelay.compose import Relay, RunningRelay, parts
from acprelay.config import RelayConfig
from acprelay.server.edge import Doors, EdgeConnection
from acprelay.storage.disk import Buffer, SystemDisk
from acprelay.storage.files import FileStorage
from acprelay.wire.websocket import walk

SESSION = "agent-session"
"""The agent's own id of its session."""
_PORT = 8137
_ROUNDS = 50
"""How often the event loop goes round before nothing can be left to do: far more than it takes."""
PATIENCE_S = 60.0


class MemoryTransport(asyncio.Transport):
    """A socket that takes all it is given, and counts.

    Args:
        heard: Set whenever it is given something.

    Attributes:
        writes: How often it was given something.
        written: What.
    """

    def __init__(self, heard: asyncio.Event) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", _PORT)})
        self.writes = 0
        self.written: list[bytes] = []
        self._heard = heard
        self._protocol: asyncio.BaseProtocol | None = None
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.writes += 1
        self.written.append(data if isinstance(data, bytes) else bytes(data))
        self._heard.set()

    def forget(self) -> None:
        self.writes = 0
        self.written.clear()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def receive(self, data: bytes) -> None:
        """Gives what came from the other end to whoever has the transport now."""
        cast("asyncio.Protocol", self.get_protocol()).data_received(data)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self.get_protocol().connection_lost, None)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_reading(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class MemoryPipe:
    """Both of a program's pipes: its reader takes all, at once.

    Args:
        heard: Set whenever something is written.

    Attributes:
        writes: How often something was written.
        written: What.
        latest: What was last, also once that is forgotten.
    """

    waiting = 0
    waiting_since = None

    def __init__(self, heard: asyncio.Event) -> None:
        self.writes = 0
        self.written: list[bytes] = []
        self.latest = b""
        self._heard = heard

    def write(self, data: bytes) -> bool:
        self.writes += 1
        self.written.append(data)
        self.latest = data
        self._heard.set()
        return True

    def forget(self) -> None:
        self.writes = 0
        self.written.clear()

    def close(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def pause(self) -> None:
        pass


class MemoryProgram:
    """Stands in for an agent's `Program`; answers what opens a session, and nothing else."""

    is_deaf = False
    name = "fake"
    run = "run"
    pid = os.getpid()
    handle = psutil.Process()

    def __init__(self, limits: AgentLimits, heard: asyncio.Event) -> None:
        self.limits = limits
        self.stdin = self.stdout = MemoryPipe(heard)
        self.exit: AgentExit | None = None
        self.owner: StdioAgent

    async def measure(self) -> Usage:
        return Usage(cpu_s=0, memory_bytes=0, processes=1)

    def close_stdin(self) -> None:
        pass

    async def wait_exited(self) -> AgentExit:
        return await self.end()

    async def end(self) -> AgentExit:
        if self.exit is None:
            self.exit = AgentExit(returncode=0)
            self.owner.program_exited(self.exit)
        return self.exit

    def say(self, *lines: bytes) -> None:
        """Writes lines, which arrive in one read."""
        self.owner.output_received(in_batch(lines))

    def end_turn(self) -> None:
        """Answers the prompt, which is what it was sent last."""
        prompt = json.loads(self.stdin.latest)
        assert prompt["method"] == "session/prompt"
        self.say(encode({"id": prompt["id"], "result": {"stopReason": "end_turn"}}))

    def answer_opening(self) -> None:
        """Answers each request that it was sent and that opens a session."""
        results = {
            "initialize": {"protocolVersion": 1, "agentCapabilities": {}},
            "session/new": {"sessionId": SESSION},
        }
        for asked in self.heard():
            result = results[asked["method"]]
            self.say(encode({"id": asked["id"], "result": result}))

    def heard(self) -> list[dict[str, Any]]:
        """What it was sent since the last call."""
        lines = b"".join(self.stdin.written).splitlines()
        self.stdin.written.clear()
        return [json.loads(line) for line in lines]


class MemoryLauncher:
    """Starts programs that are none.

    Attributes:
        heard: Set whenever one is sent something.
        programs: All that it has started.
    """

    names = ("fake",)

    def __init__(self, limits: AgentLimits) -> None:
        self.heard = asyncio.Event()
        self.programs: list[MemoryProgram] = []
        self._limits = limits

    async def launch(self, _name: str) -> StdioAgent:
        program = MemoryProgram(self._limits, self.heard)
        self.programs.append(program)
        return StdioAgent(program=cast("Program", program))


class WaitingDisk(SystemDisk):
    """The disk, which writes nothing while it is held: so it tells nobody of what it has written.

    Attributes:
        held: Clear while it is held.
    """

    def __init__(self) -> None:
        self.held = Event()
        self.held.set()

    def write(self, fd: int, buffers: Any) -> int:
        self.held.wait()
        return super().write(fd, cast("list[Buffer]", buffers))


class MemoryClient:
    """A client whose connection is memory; it masks with zeros, which change nothing."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self._last_id = 0

    def request(self, method: str, params: dict[str, object]) -> None:
        """Sends a request."""
        self._last_id += 1
        self.send({"id": self._last_id, "method": method, "params": params})

    def send(self, *messages: dict[str, object]) -> None:
        """Sends messages, which come in one read."""
        self.transport.receive(b"".join(masked(encode(message)) for message in messages))

    def prompt(self, session_id: str) -> None:
        """Sends a prompt."""
        prompt = [{"type": "text", "text": "go"}]
        self.request("session/prompt", {"sessionId": session_id, "prompt": prompt})

    def heard(self) -> list[dict[str, Any]]:
        """What it was sent since the last call."""
        blob = b"".join(self.transport.written)
        self.transport.written.clear()
        return [json.loads(blob[start:stop]) for _, start, stop in walk(blob)]


class MemoryRelay:
    """The relay, one agent at work in a session, and the clients that are in it.

    Attributes:
        program: The agent.
        clients: Its clients; the first one has opened the session.
    """

    def __init__(
        self,
        *,
        loop: CountingLoop,
        relay: RunningRelay,
        runner: web.AppRunner,
        config: RelayConfig,
        launcher: MemoryLauncher,
        disk: WaitingDisk,
        store: FileStorage,
    ) -> None:
        self._disk = disk
        self._store = store
        self.clients: list[MemoryClient] = []
        self.session_id = ""
        self._relay = relay
        self._runner = runner
        self._config = config
        self._launcher = launcher
        self._loop = loop

    @property
    def program(self) -> MemoryProgram:
        return self._launcher.programs[-1]

    async def connect(self) -> MemoryClient:
        """Brings one more client as far as `initialize`."""
        server = self._runner.server
        assert server is not None
        limits = self._config.limits
        transport = MemoryTransport(self._launcher.heard)
        edge = EdgeConnection(server, doors=Doors(limits=limits), limits=limits)
        transport.set_protocol(edge)
        edge.connection_made(transport)
        key = base64.b64encode(bytes(16)).decode()
        request = [
            "GET /acp HTTP/1.1",
            f"Host: 127.0.0.1:{_PORT}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {self._relay.owner_token}",
        ]
        transport.receive("\r\n".join([*request, "", ""]).encode())
        await self._until(lambda: transport.written)
        assert transport.written[0].startswith(b"HTTP/1.1 101 ")
        transport.written.clear()
        client = MemoryClient(transport)
        await self._ask(client, "initialize", {"protocolVersion": 1})
        self.clients.append(client)
        return client

    async def open_session(self) -> None:
        """Has the first client open the session."""
        client = await self.connect()
        answer = await self._ask(client, "session/new", {"cwd": "/", "mcpServers": []})
        self.session_id = answer["result"]["sessionId"]

    async def join(self) -> None:
        """Has one more client come into the session."""
        client = await self.connect()
        params: dict[str, object] = {"sessionId": self.session_id, "cwd": "/", "mcpServers": []}
        await self._ask(client, "session/resume", params)

    async def _ask(
        self, client: MemoryClient, method: str, params: dict[str, object]
    ) -> dict[str, Any]:
        """Gives the answer to a client's request; the agent answers what it is asked meanwhile."""
        client.request(method, params)
        heard: list[dict[str, Any]] = []

        def is_answered() -> bool:
            for program in self._launcher.programs:
                program.answer_opening()
            heard.extend(client.heard())
            return any("method" not in message for message in heard)

        await self._until(is_answered)
        [answer] = [message for message in heard if "method" not in message]
        assert "result" in answer, answer
        return answer

    async def _until(self, condition: Callable[[], object]) -> None:
        """Waits until something holds; looks whenever something was written."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._launcher.heard.clear()
                await self._launcher.heard.wait()

    async def rest(self, *, seconds: float = 0.0) -> None:
        """Returns once the event loop has nothing to do, on a clock that is stopped.

        Args:
            seconds: How much time goes by before.
        """
        if seconds:
            self._loop.pass_time(seconds)
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Has all written that waits for the disk, and holds the disk again."""
        self._disk.held.set()
        await self._store.flush()
        self._disk.held.clear()
        await self.rest()

    def forget(self) -> None:
        """Forgets what was written to the clients and to the agent."""
        for client in self.clients:
            client.transport.forget()
        self.program.stdin.forget()


@asynccontextmanager
async def open_memory_relay(
    directory: Path, patch: pytest.MonkeyPatch, *, clients: int = 1
) -> AsyncIterator[MemoryRelay]:
    """Opens a relay with a session, in which so many clients are."""
    loop = cast("CountingLoop", asyncio.get_running_loop())
    config = RelayConfig(state_dir=directory)
    launcher = MemoryLauncher(AgentLimits(max_frame=config.limits.max_frame))
    disk = WaitingDisk()
    stop_watches(patch)
    patch.setattr(parts, "agent_launcher", lambda _config, _owner: launcher)
    patch.setattr(parts, "HeldDisk", lambda _directory: disk)
    stores: list[FileStorage] = []
    open_store = parts.open_store

    async def open_and_note(stack: AsyncExitStack, config: RelayConfig) -> parts.Stored:
        stored = await open_store(stack, config)
        assert isinstance(stored.conversations, FileStorage)
        stores.append(stored.conversations)
        return stored

    patch.setattr(parts, "open_store", open_and_note)
    async with Relay(config) as running:
        runner = web.AppRunner(running.app)
        await runner.setup()
        running.listens_at(f"http://127.0.0.1:{_PORT}")
        relay = MemoryRelay(
            loop=loop,
            relay=running,
            runner=runner,
            config=config,
            launcher=launcher,
            disk=disk,
            store=stores[0],
        )
        try:
            await relay.open_session()
            for _ in range(clients - 1):
                await relay.join()
            loop.stop_clock()
            await relay.settle()
            yield relay
        finally:
            disk.held.set()
            loop.start_clock()
            await running.dismiss()
            await runner.cleanup()


def stop_watches(patch: pytest.MonkeyPatch) -> None:
    """Has what takes samples of how long something lasts take none, once it has taken one."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("acprelay.") and hasattr(module, "perf_counter"):
            patch.setattr(module, "perf_counter", lambda: 0.0)


def encode(message: dict[str, object]) -> bytes:
    """Writes a message as a peer would."""
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()


def masked(payload: bytes) -> bytes:
    """Builds a client's text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    length: tuple[int, bytes] = (size, b"")
    if size > 125:
        length = (126, size.to_bytes(2)) if size <= 0xFFFF else (127, size.to_bytes(8))
    return bytes((0x81, 0x80 | length[0])) + length[1] + bytes(4) + payload


def update(value: dict[str, object], *, session_id: str = SESSION) -> bytes:
    """Writes an update of the agent's session."""
    params = {"sessionId": session_id, "update": value}
    return encode({"method": "session/update", "params": params})


def chunk(text: str, kind: Literal["message", "thought"] = "message") -> bytes:
    """Writes a piece of a message or of a thought."""
    content = {"type": "text", "text": text}
    return update({"sessionUpdate": f"agent_{kind}_chunk", "content": content})


def sized(size: int) -> bytes:
    """Writes a piece of a message that has so many bytes."""
    return chunk("x" * (size - len(chunk(""))))


def in_batch(lines: Iterable[bytes]) -> bytes:
    """Joins lines as one read of a pipe brings them."""
    return b"".join(line + b"\n" for line in lines)
