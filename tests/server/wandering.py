"""A client over Streamable HTTP whose streams are cut, taken over and opened again at random.

It keeps what it has seen, and says so if anything of it is missing, comes twice or out of order.
"""

from __future__ import annotations

import asyncio
from random import Random

from tests.server.clients import prompt_params
from tests.server.http_clients import HttpClient
from tests.server.peers import PATIENCE_S, Closed, Event, Message, StreamPeer

_MOVES = {"cut": 5, "take_over": 3, "cut_connection": 3, "prompt": 3, "load": 1, "list": 2}
_PROMPTS = ("/stream 100 50", "/stream 30 2000 1", "/big 200000", "/tool one\n/tool two", "hello")


class Track:
    """How far one stream was read, whatever connections carried it.

    Attributes:
        stream: The stream; None while it is cut.
        last_id: The id that it goes on from.
    """

    def __init__(self) -> None:
        self.stream: StreamPeer | None = None
        self.last_id: str | None = None


class WanderingClient:
    """One client, in one session.

    Args:
        http: Its connection, which is begun.
        session_id: The session.
        random: Decides every choice.

    Attributes:
        seen: How many messages it was given.
    """

    def __init__(self, *, http: HttpClient, session_id: str, random: Random) -> None:
        self.seen = 0
        self._http = http
        self._session_id = session_id
        self._random = random
        self._own, self._shared = Track(), Track()
        self._pending: dict[object, str] = {}
        self._asked: set[object] = set()
        self._seq = 0
        self._loads = 0
        self._answered = asyncio.Event()

    async def live(self, moves: int) -> None:
        """Makes so many moves, and returns once everything that it asked for was answered.

        Raises:
            ExceptionGroup: Something was missing, came twice or in another order.
        """
        async with asyncio.TaskGroup() as self._tasks:
            await self._open(self._own)
            await self._open(self._shared)
            await self._load()
            for move in self._random.choices([*_MOVES], [*_MOVES.values()], k=moves):
                await getattr(self, f"_{move}")()
                for _ in range(self._random.choice([0, 1, 20])):
                    await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                while self._pending:
                    await self._answered.wait()
                    self._answered.clear()
            for track in (self._own, self._shared):
                self._drop(track)

    # -- what it does

    async def _cut(self) -> None:
        self._drop(self._shared)
        await self._open(self._shared)

    async def _take_over(self) -> None:
        former, self._shared.stream = self._shared.stream, None
        await self._open(self._shared)
        assert former is not None
        former.abort()

    async def _cut_connection(self) -> None:
        self._drop(self._own)
        await self._open(self._own)

    async def _prompt(self) -> None:
        params = prompt_params(self._session_id, self._random.choice(_PROMPTS))
        await self._ask("session/prompt", params, session_id=self._session_id)

    async def _load(self) -> None:
        self._loads += 1
        self._asked.clear()
        params: Message = {"sessionId": self._session_id, "cwd": "/", "mcpServers": []}
        await self._ask("session/load", params)

    async def _list(self) -> None:
        await self._ask("session/list", {})

    async def _ask(self, method: str, params: Message, *, session_id: str | None = None) -> None:
        request_id = f"{method} {len(self._pending)} {self.seen} {self._random.random()}"
        self._pending[request_id] = method
        message = {"id": request_id, "method": method, "params": params}
        assert (await self._http.post(message, session_id=session_id)).status == 202

    def _drop(self, track: Track) -> None:
        stream, track.stream = track.stream, None
        if stream is not None:
            stream.abort()

    async def _open(self, track: Track) -> None:
        session_id = self._session_id if track is self._shared else None
        track.stream = await self._http.stream(session_id, last_event_id=track.last_id)
        self._tasks.create_task(self._read(track, track.stream))

    # -- what it is given

    async def _read(self, track: Track, stream: StreamPeer) -> None:
        try:
            begin = await stream.receive_block()
            if track.stream is stream:
                track.last_id = begin.removeprefix("id: ")
            while True:
                event = await stream.receive()
                if track.stream is not stream:
                    return  # what comes now comes again
                track.last_id = event.id
                self.seen += 1
                await self._hear(track, event)
        except Closed:
            assert track.stream is not stream, "the relay ended a stream"

    async def _hear(self, track: Track, event: Event) -> None:
        message = event.message
        if "method" not in message:
            method = self._pending.pop(message["id"])  # fails where it comes twice
            assert (track is self._shared) == (method == "session/prompt")
            self._answered.set()
        elif message["method"] == "session/request_permission":
            assert message["id"] not in self._asked
            self._asked.add(message["id"])
            self._tasks.create_task(self._decide(message))
        elif "seq" in (stamp := message["params"].get("_meta", {}).get("acprelay", {})):
            assert track is self._shared
            self._follow(stamp["seq"])

    async def _decide(self, ask: Message) -> None:
        option = self._random.choice(ask["params"]["options"])["optionId"]
        outcome = {"outcome": {"outcome": "selected", "optionId": option}}
        assert (await self._http.post({"id": ask["id"], "result": outcome})).status == 202

    def _follow(self, seq: int) -> None:
        """One entry of the log is left out where it tells a client its own prompt."""
        if seq == 1:
            self._loads -= 1
            assert self._loads >= 0
        else:
            assert seq in (self._seq + 1, self._seq + 2)
        self._seq = seq
