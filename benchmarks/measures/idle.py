"""Many sessions in which nothing happens: what one costs, and whether many make each one slower."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import aiohttp

from benchmarks.measures.model import CannotMeasure, Driver, Figure, Figures, Measure
from benchmarks.peers import Running

SESSIONS = 10_000
FEW = 1_000
TIMED = 200
PER_CONNECTION = 250
AT_ONCE = 32
FIRST = 50
MOST_S = 240

T = TypeVar("T")


class Client:
    """A connection to the relay that opens sessions, and ends them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Sends one request, and waits for its answer."""
        return (await self.ask_all(method, [params]))[0]

    async def ask_all(self, method: str, all_: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Sends requests at once, and waits for all answers."""
        ids = [next(self._numbers) for _ in all_]
        for number, params in zip(ids, all_, strict=True):
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            await self._socket.send_json(request)
        answers: dict[int, dict[str, Any]] = {}
        while len(answers) < len(ids):
            message = await self._socket.receive_json()
            if "error" in message:
                raise CannotMeasure(f"cannot {method}: {message['error']}")
            if "method" not in message:
                answers[message["id"]] = message["result"]
        return [answers[number] for number in ids]


class Crowd:
    """The sessions that there are.

    Args:
        http: Opens connections to the relay.
        running: The relay.
        stack: Closes them.
    """

    def __init__(
        self, http: aiohttp.ClientSession, running: Running, stack: AsyncExitStack
    ) -> None:
        self._http = http
        self._url = running.url
        self._stack = stack
        self._open: list[tuple[str, Client]] = []

    def __len__(self) -> int:
        return len(self._open)

    async def _connect(self) -> Client:
        socket = self._http.ws_connect(f"{self._url}/acp", max_msg_size=0)
        client = Client(await self._stack.enter_async_context(socket))
        await client.ask("initialize", {"protocolVersion": 1})
        return client

    async def grow(self, to: int) -> None:
        """Opens sessions, some at once, until there are so many."""
        while len(self._open) < to:
            client = await self._connect()
            for begin in range(0, min(PER_CONNECTION, to - len(self._open)), AT_ONCE):
                count = min(AT_ONCE, PER_CONNECTION - begin, to - len(self._open))
                wanted = [{"cwd": "/", "mcpServers": []}] * count
                opened = await client.ask_all("session/new", wanted)
                self._open += [(session["sessionId"], client) for session in opened]

    async def times(self) -> dict[str, float]:
        """Opens, finds and ends sessions one after another; gives medians in µs."""
        client = await self._connect()
        place = {"cwd": "/", "mcpServers": []}
        opened = await _timed(TIMED, lambda _: client.ask("session/new", place))
        ids = [session["sessionId"] for session in opened.values]
        step = len(self._open) // TIMED or 1
        known = [self._open[n * step % len(self._open)][0] for n in range(TIMED)]
        found = await _timed(TIMED, lambda n: self._find(known[n]))
        ended = await _timed(TIMED, lambda n: client.ask("session/close", {"sessionId": ids[n]}))
        return {"create": opened.median_us, "find": found.median_us, "end": ended.median_us}

    async def _find(self, session: str) -> bytes:
        async with self._http.get(f"{self._url}/api/v1/sessions/{session}") as response:
            response.raise_for_status()
            return await response.read()


class _Timed:
    def __init__(self) -> None:
        self.values: list[Any] = []
        self.took: list[float] = []

    @property
    def median_us(self) -> float:
        return statistics.median(self.took) * 1e6


async def _timed(count: int, act: Callable[[int], Awaitable[Any]]) -> _Timed:
    timed = _Timed()
    for number in range(count):
        begun = time.perf_counter()
        timed.values.append(await act(number))
        timed.took.append(time.perf_counter() - begun)
    return timed


async def _measure(running: Running, most: int, few: int) -> Figures:
    headers = {"Authorization": f"Bearer {running.token}"}
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, headers=headers)
        )
        crowd = Crowd(http, running, stack)
        await crowd.grow(FIRST)  # what is loaded and made once is no session's cost
        before = running.rss_bytes()
        await crowd.grow(few)
        among_few = await crowd.times()
        begun = time.perf_counter()
        await crowd.grow(most)
        grew_s = time.perf_counter() - begun
        grown = running.rss_bytes() - before
        among_many = await crowd.times()
    figures = {"kib_each": grown / (most - FIRST) / 1024, "per_s": (most - few) / grew_s}
    for name, took in among_many.items():
        figures[f"{name}_us"] = took
        figures[f"{name}_ratio"] = took / among_few[name]
    return figures


def _idle(driver: Driver, running: Running) -> Figures:
    most = driver.many(SESSIONS)
    try:
        with asyncio.Runner() as runner:
            measuring = _measure(running, most, min(FEW, most // 4))
            return runner.run(asyncio.wait_for(measuring, MOST_S))
    except TimeoutError as error:
        raise CannotMeasure(f"cannot open, find and end {most} sessions in {MOST_S} s") from error
    except (aiohttp.ClientError, TypeError) as error:  # TypeError: it has closed the connection
        raise CannotMeasure(f"cannot go on: {error!r}") from error


IDLE = Measure(
    name="idle",
    title=f"{SESSIONS:,} idle sessions, each with a client; against {FEW:,}",
    figures=(
        Figure("kib_each", "KiB each", 1),
        Figure("per_s", "opened/s"),
        Figure("create_us", "create µs"),
        Figure("create_ratio", "against few", 2),
        Figure("find_us", "find µs"),
        Figure("find_ratio", "against few", 2),
        Figure("end_us", "end µs"),
        Figure("end_ratio", "against few", 2),
    ),
    take=_idle,
    peers=("agentless",),
    most_rounds=1,
    settings="[limits]\nsessions = 20000\nprocesses = 20000\nsessions-per-principal = 20000\n"
    "client-message-rate = 1000000\nclient-message-burst = 1000000\n",
)
