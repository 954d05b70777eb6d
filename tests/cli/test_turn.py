"""One turn: its requests in their order, and how it ends when it is cut short."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest

from acprelay.cli import turn as turn_module
from acprelay.cli.signals import Interrupts
from acprelay.cli.turn import Turn
from acprelay.client.acp_client import AcpClient
from acprelay.client.acp_messages import JsonObject, PermissionRequest
from acprelay.errors import RequestRefused

PATIENCE_S = 30.0


class FakeAgent:
    """The other end: answers every request at once, the prompt only when it is told to.

    Attributes:
        methods: What it was asked, in order.
        results: What it answers to each method.
        errors: What it refuses each method with; what is in neither is left unanswered.
    """

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.results: dict[str, JsonObject] = {
            "initialize": {
                "protocolVersion": 1,
                "agentCapabilities": {"sessionCapabilities": {"close": {}}},
            },
            "session/new": {"sessionId": "s"},
            "session/close": {},
        }
        self.errors: dict[str, JsonObject] = {}
        self.prompted = asyncio.Event()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue(maxsize=100)

    async def send(self, message: bytes) -> None:
        request = json.loads(message)
        method = request["method"]
        self.methods.append(method)
        if method in self.results:
            self.says({"id": request["id"], "result": self.results[method]})
        if method in self.errors:
            self.says({"id": request["id"], "error": self.errors[method]})
        if method == "session/prompt":
            self.prompted.set()

    async def receive(self) -> bytes:
        return await self._answers.get()

    async def close(self) -> None:
        """Has nothing to close."""

    async def is_prompted(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.prompted.wait()

    def says(self, message: JsonObject) -> None:
        self._answers.put_nowait(json.dumps(message).encode())


class FakeView:
    """Shows nothing; programmable to fail.

    Attributes:
        opened: What opened the session.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self.opened: JsonObject | None = None

    async def note_opened(self, opened: JsonObject) -> None:
        self.opened = opened

    async def notified(self, _method: str, _params: JsonObject) -> None:
        if self.failure is not None:
            raise self.failure


async def _decide(_request: PermissionRequest) -> None:
    return None


@pytest.fixture
async def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
async def view() -> FakeView:
    return FakeView()


@pytest.fixture
async def interrupts() -> Interrupts:
    return Interrupts()


@pytest.fixture
async def turn(agent: FakeAgent, view: FakeView, interrupts: Interrupts) -> AsyncIterator[Turn]:
    async with AcpClient(
        socket=agent, on_notification=view.notified, on_permission=_decide
    ) as client:
        yield Turn(client=client, interrupts=interrupts, on_opened=view.note_opened)


async def _run(turn: Turn) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return await turn.run(cwd="/w", prompt="hello")


async def test_a_session_is_opened_prompted_and_closed(
    turn: Turn, agent: FakeAgent, view: FakeView
) -> None:
    agent.results["session/prompt"] = {"stopReason": "max_tokens"}
    assert await _run(turn) == "max_tokens"
    assert view.opened == agent.results["session/new"]
    assert agent.methods == ["initialize", "session/new", "session/prompt", "session/close"]


async def test_a_session_is_not_closed_where_that_is_not_offered(
    turn: Turn, agent: FakeAgent
) -> None:
    agent.results["initialize"] = {"protocolVersion": 1}
    agent.results["session/prompt"] = {"stopReason": "end_turn"}
    await _run(turn)
    assert agent.methods == ["initialize", "session/new", "session/prompt"]


async def test_the_first_signal_cancels_the_turn_and_its_end_is_awaited(
    turn: Turn, agent: FakeAgent, interrupts: Interrupts
) -> None:
    running = asyncio.get_running_loop().create_task(_run(turn))
    await agent.is_prompted()
    interrupts._arrived(signal.SIGINT)
    for _ in range(20):
        await asyncio.sleep(0)
    assert agent.methods[-1] == "session/cancel"
    assert not running.done()
    agent.says({"id": 3, "result": {"stopReason": "cancelled"}})
    assert await running == "cancelled"
    assert interrupts.signal == signal.SIGINT


async def test_an_agent_that_does_not_end_a_cancelled_turn_is_not_waited_for_for_ever(
    turn: Turn, agent: FakeAgent, interrupts: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "CANCEL_S", 0.0)
    running = asyncio.get_running_loop().create_task(_run(turn))
    await agent.is_prompted()
    interrupts._arrived(signal.SIGINT)
    assert await running == "cancelled"
    assert agent.methods[-2:] == ["session/cancel", "session/close"]


async def test_an_answer_that_cannot_be_shown_cancels_the_turn(
    turn: Turn, agent: FakeAgent, view: FakeView
) -> None:
    view.failure = BrokenPipeError()
    running = asyncio.get_running_loop().create_task(_run(turn))
    await agent.is_prompted()
    agent.says({"method": "session/update", "params": {"update": {}}})
    with pytest.raises(BrokenPipeError):
        await running
    assert agent.methods[-2:] == ["session/cancel", "session/close"]


async def test_a_session_is_closed_after_a_turn_that_failed_too(
    turn: Turn, agent: FakeAgent
) -> None:
    del agent.results["session/close"]
    agent.errors["session/prompt"] = {"code": 1, "message": "no more"}
    agent.errors["session/close"] = {"code": -32002, "message": "it has ended by itself"}
    with pytest.raises(RequestRefused, match="no more"):
        await _run(turn)
    assert agent.methods[-1] == "session/close"
