"""Agents without processes: a test programs them, and reads what they recorded.

They check nothing by themselves. An agent behaves as `acprelay.agents.ports` demands, and never
answers before the call that asked has returned. All belong to one event loop, on which they take
turns and never wait for time to pass.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from acprelay.agents.allowance import Allowance
from acprelay.agents.models import AgentExit, Usage
from acprelay.agents.ports import AgentSink
from acprelay.errors import AgentError, AgentExited

Message: TypeAlias = dict[str, Any]
"""A JSON-RPC message, decoded."""

Reaction: TypeAlias = Callable[["FakeAgent", Message], None]
"""What an agent does about a message."""

_SIGTERM = 15

_RESULTS: Mapping[str, object] = {
    "initialize": {"protocolVersion": 1, "agentCapabilities": {}},
    "authenticate": {},
    "logout": {},
    "session/new": {"sessionId": "agent-session"},
    "session/load": {},
    "session/resume": {},
    "session/prompt": {"stopReason": "end_turn"},
}


def encode(message: Message) -> bytes:
    """Writes a message as a peer would: one line, without its newline."""
    return json.dumps(message, separators=(",", ":")).encode()


class FakeAgent:
    """An `AgentConnection` without a process.

    Unless it is told otherwise it answers `initialize`, where it promises nothing, `authenticate`,
    `logout`, `session/new`, `session/load`, `session/resume` and `session/prompt` at once, refuses
    every other request, and ends as soon as somebody ends it.

    Args:
        name: Its name in the catalog.
        pid: The number it gives for its process, if it is to have one.
        max_stdin_bytes: How much may wait for it while it does not read.

    Attributes:
        sent: The lines that it was sent, without their newlines, in order.
        exit: How it ended; None while it lives.
        stderr_tail: What it gives for its last words.
        end_calls: How often somebody asked for its end.
        is_paused: Whether its output is held back.
        waiting_since: Since when it gives to have taken nothing of what waits for it.
        received_bytes: How much it gives to have written.
        waiting_bytes: How much it gives to have not taken yet.
        usage: What it gives for the use of its processes.
    """

    def __init__(
        self, *, name: str = "fake", pid: int | None = 4711, max_stdin_bytes: int = 1 << 20
    ) -> None:
        self.name = name
        self.pid = pid
        self.waiting_since: float | None = None
        self.received_bytes = 0
        self.waiting_bytes = 0
        self.usage: Usage | None = Usage(cpu_s=0.5, memory_bytes=1 << 20, processes=1)
        self.sent: list[bytes] = []
        self.exit: AgentExit | None = None
        self.stderr_tail = ""
        self.end_calls = 0
        self.is_paused = False
        self._allowance = Allowance(agent=name, limit=max_stdin_bytes)
        self._reactions: dict[str, Reaction] = {
            method: _answering(result) for method, result in _RESULTS.items()
        }
        self._sink: AgentSink | None = None
        self._told = False
        self._unsaid: deque[list[bytes]] = deque()
        self._unread: list[bytes] | None = None  # None while it reads
        self._input_is_open = True
        self._ending: asyncio.Future[AgentExit] | None = None
        self._end_is_held = False
        self._end_failures: list[AgentError] = []

    # -- programming it

    def react(self, method: str, reaction: Reaction) -> None:
        """Does this about every message with that method."""
        self._reactions[method] = reaction

    def answer_with(self, method: str, result: object) -> None:
        """Answers requests with this result."""
        self.react(method, _answering(result))

    def promise(self, *methods: str) -> None:
        """Promises `session/load`, `session/resume`, or both, in its answer to `initialize`."""
        capabilities: dict[str, object] = {"loadSession": "session/load" in methods}
        if "session/resume" in methods:
            capabilities["sessionCapabilities"] = {"resume": {}}
        result = {"protocolVersion": 1, "agentCapabilities": capabilities}
        self.answer_with("initialize", result)

    def refuse(self, method: str, *, code: int = -32000, message: str = "no") -> None:
        """Answers requests with this error."""
        error = {"code": code, "message": message}
        self.react(method, lambda agent, asked: agent.say(_reply(asked, error=error)))

    def ignore(self, method: str) -> None:
        """Stays silent about a method."""
        self.react(method, lambda _agent, _message: None)

    def die_on(self, method: str, *, returncode: int = 3) -> None:
        """Exits instead of answering."""
        self.react(method, lambda agent, _message: agent.die(returncode))

    def stop_reading(self) -> None:
        """Lets what it is sent wait."""
        self._unread = []

    def go_on_reading(self) -> None:
        """Reads what waits, and whatever comes."""
        waiting, self._unread = self._unread or [], None
        for line in waiting:
            self._take(line)

    def hold_end(self) -> None:
        """Takes its time to end, until `release_end`."""
        self._end_is_held = True

    def release_end(self) -> None:
        """Ends, if somebody has asked for that, and without delay from now on."""
        self._end_is_held = False
        if self._ending is not None:
            self._finish_ending()

    def fail_to_end(self, *errors: AgentError) -> None:
        """Survives the next attempts to end it, which raise these, and no further one."""
        self._end_failures = list(errors)

    # -- what it does

    def say(self, *messages: Message | bytes) -> None:
        """Writes lines, which arrive together."""
        lines = [(m if isinstance(m, bytes) else encode(m)) + b"\n" for m in messages]
        self._unsaid.append(lines)
        self._deliver()

    def update(self, text: str, *, session_id: str = "agent-session") -> bytes:
        """Writes an update of its session; gives the line."""
        content = {"type": "text", "text": text}
        update = {"sessionUpdate": "agent_message_chunk", "content": content}
        params = {"sessionId": session_id, "update": update}
        line = encode({"jsonrpc": "2.0", "method": "session/update", "params": params})
        self.say(line)
        return line

    def ask(self, request_id: object, method: str, **params: object) -> None:
        """Writes a request."""
        self.say({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def answer(self, request: Message, result: object) -> None:
        """Answers a request that it was sent."""
        self.say(_reply(request, result=result))

    def die(self, returncode: int = 3) -> None:
        """Exits by itself."""
        self._leave(AgentExit(returncode=returncode))

    # -- what it was sent

    @property
    def messages(self) -> list[Message]:
        """What it was sent, decoded."""
        return [json.loads(line) for line in self.sent]

    def requests(self, method: str) -> list[Message]:
        """What it was sent with this method."""
        return [message for message in self.messages if message.get("method") == method]

    @property
    def replies(self) -> list[Message]:
        """The answers that it was sent."""
        return [message for message in self.messages if "method" not in message]

    # -- AgentConnection

    def attach(self, sink: AgentSink | None) -> None:
        """Chooses who receives what it says; see `AgentConnection.attach`."""
        if sink is not self._sink:
            self._sink = sink
            self._told = False
        self._deliver()

    def send(self, data: bytes, *, is_owed: bool = False) -> None:
        """Takes lines, and reacts to them later; see `AgentConnection.send`."""
        if self.exit is not None:
            raise AgentExited(agent=self.name, status=self.exit.describe(), stderr=self.stderr_tail)
        waiting = sum(map(len, self._unread or ()))
        self._allowance.check(len(data), waiting=waiting, is_owed=is_owed)
        if not self._input_is_open:
            raise AgentError(f"cannot send to agent {self.name!r}", hint="it takes nothing now")
        for line in data.splitlines():
            self.sent.append(line)
            if self._unread is None:
                self._take(line)
            else:
                self._unread.append(line)

    def pause_reading(self) -> None:
        """Holds its output back."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Lets its output flow again, with what was held back first."""
        self.is_paused = False
        self._deliver()

    async def measure(self) -> Usage | None:
        """Tells what it was told to tell, a step later."""
        await asyncio.sleep(0)
        return self.usage

    async def end(self) -> AgentExit:
        """Ends it, a step later than asked; see `AgentConnection.end`."""
        self.end_calls += 1
        if self._ending is None:
            loop = asyncio.get_running_loop()
            self._ending = loop.create_future()
            loop.call_soon(self._begin_ending)
        return await asyncio.shield(self._ending)

    def _begin_ending(self) -> None:
        self._input_is_open = False
        if not self._end_is_held:
            self._finish_ending()

    def _finish_ending(self) -> None:
        ending = self._ending
        if ending is None or ending.done():
            return
        if self._end_failures:
            self._ending = None
            ending.set_exception(self._end_failures.pop(0))
            return
        self._leave(self.exit or AgentExit(signal=_SIGTERM))
        ending.set_result(self.exit or AgentExit(signal=_SIGTERM))

    def _leave(self, how: AgentExit) -> None:
        if self.exit is None:
            self.exit = how
            self._deliver()

    def _take(self, line: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._react, line)

    def _react(self, line: bytes) -> None:
        message = json.loads(line)
        if self.exit is not None or "method" not in message:
            return
        reaction = self._reactions.get(message["method"])
        if reaction is not None:
            reaction(self, message)
        elif "id" in message:
            self.say(_reply(message, error={"code": -32601, "message": "Method not found"}))

    def _deliver(self) -> None:
        while self._sink is not None and not self.is_paused and self._unsaid:
            self._sink.lines_received(self._unsaid.popleft(), [])
        if self._sink is not None and not self.is_paused and self.exit and not self._told:
            self._told = True
            self._sink.agent_exited(self.exit)


def _answering(result: object) -> Reaction:
    return lambda agent, asked: agent.answer(asked, result)


def _reply(request: Message, **outcome: object) -> Message:
    return {"jsonrpc": "2.0", "id": request["id"], **outcome}
