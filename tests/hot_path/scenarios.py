"""The ways of the hot path, each driven through a relay in memory, and what it costs there.

The cost of a message is told apart from that of its batch by two batches of different sizes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import pytest
from tests.hot_path.counting import Counting, Memory, without_garbage
from tests.hot_path.loops import CountingLoop
from tests.hot_path.memory_relay import (
    SESSION,
    MemoryRelay,
    chunk,
    encode,
    in_batch,
    open_memory_relay,
    sized,
    update,
)

Costs: TypeAlias = Mapping[str, float]
"""What was measured, by the names of the table."""

_BATCH = 50
_ASKS = 16
_FURTHER = 5
"""Clients beyond the first."""
_MOMENT_S = 0.02
"""Longer than anything is put off so that it is done together with what follows."""
_PAUSE_S = 2.0
"""Longer than the relay lets pass before it looks after itself, so that it does not within what is
counted."""
_READ_BYTES = 256 * 1024
"""What a pipe of a busy agent gives at a time."""
_PRELUDE = 1000
"""Updates before anything is measured, so that all numbers in stamps have four digits."""


class Measured(NamedTuple):
    """What one way costs.

    Attributes:
        costs: By the names of the table.
        calls: Where its calls go, so many of each function.
        per: What these are counted for: a message, a turn.
    """

    costs: Costs
    calls: Mapping[str, float]
    per: str


class Stretch(NamedTuple):
    """What one stretch of work has cost in all.

    Attributes:
        counting: The operations.
        created: What the event loop was given to do.
        to_clients: How often something was written to the first client.
        to_agent: How often something was written to the agent.
    """

    counting: Counting
    created: Counter[str]
    to_clients: int
    to_agent: int


# -- what agents say

TEXT = sized(300)
TOOL_UPDATE = update(
    {
        "sessionUpdate": "tool_call_update",
        "toolCallId": "call-1",
        "status": "in_progress",
        "content": [{"type": "content", "content": {"type": "text", "text": "x" * 100}}],
    }
)
TURN = (
    chunk("I shall look at the file first.", "thought"),
    chunk("Let me", "message"),
    chunk(" read the file that you have named.", "message"),
    update(
        {
            "sessionUpdate": "tool_call",
            "toolCallId": "call-1",
            "title": "Read src/main.py",
            "kind": "read",
            "status": "pending",
            "locations": [{"path": "/repo/src/main.py"}],
            "rawInput": {"path": "/repo/src/main.py"},
        }
    ),
    TOOL_UPDATE,
    update({"sessionUpdate": "tool_call_update", "toolCallId": "call-1", "status": "completed"}),
    update(
        {
            "sessionUpdate": "plan",
            "entries": [{"content": "Mend it", "priority": "high", "status": "pending"}],
        }
    ),
    update({"sessionUpdate": "usage_update", "used": 1000, "size": 200_000}),
    chunk("That is where the defect is:", "message"),
    chunk(" a bound that is off by one.", "message"),
)
"""A piece of a turn in all shapes that recorded agents use."""
EXTENSION = encode({"method": "_x/progress", "params": {"sessionId": SESSION, "text": "x" * 200}})
"""What no way but the exact one may be taken for."""
HUGE = sized(1 << 20)


def permission(number: int) -> bytes:
    """A request for permission."""
    tool_call = {"toolCallId": "call-1", "title": "Write a file", "kind": "edit"}
    options = [{"optionId": "yes", "name": "Allow", "kind": "allow_once"}]
    params = {"sessionId": SESSION, "toolCall": tool_call, "options": options}
    return encode({"id": number, "method": "session/request_permission", "params": params})


# -- measuring


@asynccontextmanager
async def open_turn(
    directory: Path, patch: pytest.MonkeyPatch, *, clients: int = 1
) -> AsyncIterator[MemoryRelay]:
    """Opens a relay in which a turn runs, and in which the agent has said a lot already."""
    async with open_memory_relay(directory, patch, clients=clients) as relay:
        relay.clients[0].prompt(relay.session_id)
        await relay.rest()
        for _ in range(_PRELUDE // 100):
            relay.program.say(*[TEXT] * 100)
        yield relay


async def count(
    relay: MemoryRelay, *steps: Callable[[], None], given: Sequence[bytes] = ()
) -> Stretch:
    """Counts what some steps cost, each with all that follows from it within a moment.

    Args:
        relay: Where they are taken.
        steps: What is done.
        given: Bytes that were made for that.
    """
    loop = cast("CountingLoop", asyncio.get_running_loop())
    await relay.rest(seconds=_PAUSE_S)
    await relay.settle()
    before = loop.created.copy()
    for _ in steps:
        await _take(relay, lambda: None)
    idle = loop.created - before
    relay.forget()
    counting = Counting(given)
    with without_garbage():
        before = loop.created.copy()
        counting.begin()
        try:
            for step in steps:
                await _take(relay, step)
        finally:
            counting.end()
        created = loop.created - before - idle
    client, pipe = relay.clients[0].transport, relay.program.stdin
    counting.see(client.written)
    counting.see(pipe.written)
    return Stretch(counting, created, client.writes, pipe.writes)


async def _take(relay: MemoryRelay, step: Callable[[], None]) -> None:
    step()
    await relay.rest()
    await relay.rest(seconds=_MOMENT_S)


async def weigh(relay: MemoryRelay, step: Callable[[], None]) -> Memory:
    """Tells what a step takes of memory."""
    await relay.rest(seconds=_PAUSE_S)
    await relay.settle()
    relay.forget()
    memory = Memory()
    with without_garbage():
        memory.begin()
        try:
            await _take(relay, step)
        finally:
            memory.end()
    return memory


async def measure_lines(relay: MemoryRelay, lines: Sequence[bytes]) -> Measured:
    """Measures what such lines cost, in batches of one and of two times as many.

    A batch is one read of the agent's pipe, unless it has more than that holds.
    """
    few, many = _reads(in_batch(lines)), _reads(in_batch([*lines, *lines]))

    def saying(reads: Sequence[bytes]) -> Callable[[], None]:
        def say() -> None:
            for data in reads:
                relay.program.owner.output_received(data)

        return say

    await count(relay, saying(few))  # what is learned of their shapes, and kept from then on
    small = await count(relay, saying(few), given=few)
    large = await count(relay, saying(many), given=many)
    memory = await weigh(relay, saying(many))
    calls = Counter(large.counting.calls)
    calls.subtract(small.counting.calls)
    size = len(lines)
    per_message = calls.total() / size
    copied = large.counting.copied - small.counting.copied
    costs = {
        "calls-per-message": per_message,
        "calls-per-batch": small.counting.calls.total() - size * per_message,
        "decodes-per-message": decodes(calls) / size,
        "bytes-objects-per-message": (len(large.counting.made) - len(small.counting.made)) / size,
        "bytes-made-per-byte": copied / sum(map(len, few)),
        "peak-per-byte": memory.peak / sum(map(len, many)),
        "kept-per-byte": memory.kept / sum(map(len, many)),
        "client-writes-per-batch": large.to_clients,
        "log-appends-per-batch": calls_of(large, "FileLog.append"),
        "record-saves-per-batch": calls_of(large, "FileStorage.save"),
        "loop-work-per-batch": large.created.total(),
    }
    return Measured(costs, {name: number / size for name, number in calls.items()}, "message")


def _reads(data: bytes) -> list[bytes]:
    return [data[start : start + _READ_BYTES] for start in range(0, len(data), _READ_BYTES)]


def decodes(calls: Mapping[str, float]) -> float:
    """How often JSON was read, by whatever reads it."""
    readers = ("json.Decoder.decode", "json.decode", "json.loads", "__init__.loads")
    return sum(number for name, number in calls.items() if name.endswith(readers))


def calls_of(stretch: Stretch, function: str) -> int:
    """How often a function of the relay was called."""
    calls = stretch.counting.calls.items()
    return sum(number for name, number in calls if name.endswith(f".{function}"))


async def measure_more_clients(directory: Path, patch: pytest.MonkeyPatch) -> Measured:
    """Measures what each further client in a session costs, batch by batch."""
    data = in_batch([TEXT] * _BATCH)
    counts: list[Stretch] = []
    writes = 0
    for clients in (1, 1 + _FURTHER):
        async with open_turn(directory / str(clients), patch, clients=clients) as relay:
            say = partial(relay.program.owner.output_received, data)
            await count(relay, say)
            counts.append(await count(relay, say, given=[data]))
            writes = sum(client.transport.writes for client in relay.clients[1:])
    alone, together = counts
    calls = Counter(together.counting.calls)
    calls.subtract(alone.counting.calls)
    costs = {
        "calls-per-batch": calls.total() / _FURTHER,
        "bytes-objects-per-batch": (len(together.counting.made) - len(alone.counting.made))
        / _FURTHER,
        "client-writes-per-batch": writes / _FURTHER,
        "loop-work-per-batch": (together.created.total() - alone.created.total()) / _FURTHER,
    }
    return Measured(costs, {name: number / _FURTHER for name, number in calls.items()}, "client")


async def measure_turns(relay: MemoryRelay) -> Measured:
    """Measures a turn: a prompt, one update, the answer."""
    client, program = relay.clients[0], relay.program

    steps = (
        partial(client.prompt, relay.session_id),
        partial(program.say, TEXT),
        program.end_turn,
    )
    program.end_turn()
    await count(relay, *steps)
    stretch = await count(relay, *steps)
    return Measured(_costs_of_turn(stretch), stretch.counting.calls, "turn")


async def measure_asks(relay: MemoryRelay) -> Measured:
    """Measures a request of the agent for permission, and the client's answer to it."""
    stretch = await _ask(relay, 1)
    return Measured(_costs_of_turn(stretch), stretch.counting.calls, "request")


async def measure_many_asks(relay: MemoryRelay) -> Measured:
    """Measures requests that come in one read, and answers that come in one read."""
    stretch = await _ask(relay, _ASKS)
    calls = stretch.counting.calls
    costs = {
        "calls-per-request": calls.total() / _ASKS,
        "client-writes-per-batch": stretch.to_clients,
        "agent-writes-per-batch": stretch.to_agent,
        "log-appends-per-batch": calls_of(stretch, "FileLog.append"),
    }
    return Measured(costs, {name: number / _ASKS for name, number in calls.items()}, "request")


async def _ask(relay: MemoryRelay, number: int) -> Stretch:
    client = relay.clients[0]

    def choose() -> None:
        asked = [message["id"] for message in client.heard() if "id" in message]
        assert len(asked) == number
        result = {"outcome": {"outcome": "selected", "optionId": "yes"}}
        client.send(*({"id": ask_id, "result": result} for ask_id in asked))

    ask = partial(relay.program.say, *map(permission, range(number)))
    await count(relay, ask, choose)
    return await count(relay, ask, choose)


def _costs_of_turn(stretch: Stretch) -> Costs:
    return {
        "calls": stretch.counting.calls.total(),
        "decodes": decodes(stretch.counting.calls),
        "bytes-objects": len(stretch.counting.made),
        "client-writes": stretch.to_clients,
        "agent-writes": stretch.to_agent,
        "log-appends": calls_of(stretch, "FileLog.append"),
        "record-saves": calls_of(stretch, "FileStorage.save"),
        "syncs": calls_of(stretch, "FileStorage.sync"),
        "tasks": stretch.created["tasks"],
        "futures": stretch.created["futures"],
        "callbacks": stretch.created["callbacks"],
        "timers": stretch.created["timers"],
    }
