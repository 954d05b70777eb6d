"""A client of the soak: it connects, attaches in one way or another, asks, and hears.

One task runs a client: what it does, it does between two messages. So a client that sleeps reads
nothing, and one that drops its connection does so wherever it is in a burst.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from acprelay.testing.soak.connection import Connection, Lost
from acprelay.testing.soak.ear import Ear
from acprelay.testing.soak.messages import Ask, Heard, Position, Reply
from acprelay.testing.soak.moves import Answer, Moves, Way
from acprelay.testing.soak.site import FAREWELL, Refused, Site

_SMALL_BUFFER = 65_536
_MOST_LOADED = 50_000
_NOT_OFFERED = "never-offered"

Result = Mapping[str, Any]


class _Attached(NamedTuple):
    """An attachment, and which start of the relay knows it."""

    id: str
    secret: str
    start: int


class Client(ABC):
    """One client.

    Args:
        name: What it is called in complaints.
        site: What it shares with the others.
        moves: Its choices.
    """

    def __init__(self, *, name: str, site: Site, moves: Moves) -> None:
        self.name = name
        self.site = site
        self.moves = moves
        self.ear = Ear(
            name=name, history=site.history, ledger=site.ledger, may_forget=site.ephemeral
        )
        self.is_done = False
        self._connection: Connection | None = None
        self._attached: _Attached | None = None
        self._last_id = 0
        self._start = 0

    async def live(self) -> None:
        """Takes part until it is done. Cancelling it ends its connection too."""
        try:
            while not self.is_done:
                try:
                    await self._live_on()
                except Lost as error:
                    await self._take_loss(error)
        except Refused as refusal:
            self.site.ledger.complain(f"{self.name} cannot go on: {refusal}")
        finally:
            await self.drop()

    async def _live_on(self) -> None:
        if self._connection is None:
            await self.arrive()
        await self.step()
        if self.ear.is_blind:
            await self.load_again()

    @abstractmethod
    async def arrive(self) -> None:
        """Connects and attaches, for the first time or after its connection was lost."""

    @abstractmethod
    async def step(self) -> None:
        """Hears a message, and makes a move where one is due."""

    def on_heard(self, heard: Heard) -> None:  # noqa: B027 - not everybody minds
        """Is told of every message, once it is judged."""

    def on_left_behind(self) -> None:  # noqa: B027 - not everybody waits for something
        """Is told that an attachment is given up, with the replies that it waits for."""

    # -- connecting

    async def connect(self) -> None:
        """Opens a connection and initializes it; waits for the relay to listen.

        Raises:
            Lost: The relay was killed meanwhile.
        """
        await self.site.relay.up.wait()
        self._start = self.site.relay.starts
        self._connection = await Connection.open(self.site.relay.url, receive_buffer=_SMALL_BUFFER)
        await self.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})

    async def drop(self) -> None:
        """Cuts the connection; whatever was under way on it is lost."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.cut()

    async def _take_loss(self, error: Lost) -> None:
        """Takes note that the connection is gone, which only the death of the relay excuses."""
        await self.drop()
        if self.site.relay.up.is_set() and self._start == self.site.relay.starts:
            self.site.ledger.complain(f"{self.name} lost its connection: {error}")

    # -- attaching

    async def come_back(self, way: Way) -> None:
        """Connects and attaches again, that way or the nearest one that is possible.

        Raises:
            Lost: The connection is gone again.
            Refused: The relay refuses, and that for a reason that it may not have.
        """
        await self.connect()
        if way is Way.RESUME and self.site.is_over:
            way = Way.LOAD  # the head may be beyond the end
        if way is Way.ADOPT and (self._attached is None or self._attached.start != self._start):
            way = Way.ATTACH  # the relay that knew the attachment is dead
        if way in (Way.ADOPT, Way.ATTACH) and self.ear.stream.last is None:
            way = Way.LOAD
        try:
            await self._attach(way)
        except Refused as refusal:
            self._excuse(way, refusal)
            way = Way.LOAD
            await self._attach(way)
        self.site.ledger.moves[way] += 1

    async def load_again(self) -> None:
        """Loads the conversation on a connection that is attached to it."""
        self.ear.expect_reload()
        self._check_place(await self.request("session/load", self._session()))

    def affordable(self, way: Way) -> Way:
        """That way, but none that brings the whole of a history that has grown long."""
        is_long = (self.ear.stream.place or 0) > _MOST_LOADED
        return Way.ATTACH if way is Way.LOAD and is_long else way

    async def _attach(self, way: Way) -> None:
        self.ear.reconnected()
        if way is not Way.ADOPT:
            self.ear.attached()
            self.on_left_behind()
        match way:
            case Way.LOAD:
                self.ear.begin(after=0)
                result = await self.request("session/load", self._session())
            case Way.RESUME:
                result = await self.request("session/resume", self._session())
                self.ear.begin(after=_position(result).seq)
            case Way.ATTACH:
                result = await self.request("_acprelay/attach", self._after())
            case _:
                result = await self.request("_acprelay/attach", self._after() | self._claim())
        self._check_place(result)
        self.attached(result)
        if way is Way.RESUME and self.site.is_over:
            await self.load_again()  # it has become over while the relay resumed

    def _session(self) -> dict[str, Any]:
        return {"sessionId": self.site.opened.result(), "cwd": "/", "mcpServers": []}

    def _after(self) -> dict[str, Any]:
        return {"sessionId": self.site.opened.result(), "after": str(self.ear.stream.last)}

    def _claim(self) -> dict[str, Any]:
        """What shows that an attachment is this client's, and what it still waits for."""
        pending = [json.loads(request_id) for request_id in self.ear.lane.waiting]
        self.ear.lane.adopted(at=self.ear.stream.place)
        known = self._attached
        return {
            "attachment": known.id if known else "",
            "secret": known.secret if known else "",
            "pending": pending,
        }

    def attached(self, result: Result) -> None:
        """Takes note of the attachment that a result tells of."""
        meta = result["_meta"]["acprelay"]
        self._attached = _Attached(meta["attachment"], meta["secret"], self._start)

    def _check_place(self, result: Result) -> None:
        told, place = _position(result).seq, self.ear.stream.place
        if told != place:
            self.site.ledger.complain(f"{self.name} is at place {place} and is told {told}")

    def _excuse(self, way: Way, refusal: Refused) -> None:
        """Accepts that the log does not reach a place only where it may have lost entries."""
        may_lose = self.site.relay.starts > 1 or self.site.ephemeral
        if refusal.code == "cursor_expired" and may_lose:
            self.site.ledger.moves["cursor expired"] += 1
        else:
            self.site.ledger.complain(f"{self.name} cannot {way}: {refusal}")

    # -- asking and hearing

    async def request(self, method: str, params: Mapping[str, Any]) -> Result:
        """Sends a request and hears until its reply comes.

        Raises:
            Refused: The reply is an error.
            Lost: The connection is gone, and no reply will come.
        """
        request_id = await self.begin(method, params)
        reply = None
        try:
            while not (isinstance(reply, Reply) and reply.id == request_id):
                reply = await self.hear_one()
        except Lost:
            self.ear.lane.given_up(request_id)
            raise
        if reply.error:
            raise Refused(method, json.loads(reply.error))
        result: Result = json.loads(reply.result)
        return result

    async def begin(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Sends a request and gives its raw id.

        Raises:
            Lost: The connection is gone.
        """
        self._last_id += 1
        request_id = b"%d" % self._last_id
        self.ear.lane.requested(request_id, method)
        await self.send({"id": self._last_id, "method": method, "params": params})
        return request_id

    async def send(self, message: Mapping[str, Any]) -> None:
        """Sends a message.

        Raises:
            Lost: The connection is gone.
        """
        if self._connection is None:
            raise Lost("there is none")
        await self._connection.send(message)

    async def hear_one(self) -> Heard:
        """Hears one message, judges it, and answers it where it is an ask.

        Raises:
            Lost: The connection is gone.
        """
        if self._connection is None:
            raise Lost("there is none")
        heard = self.ear.hear(await self._connection.receive())
        if isinstance(heard, Ask):
            await self._answer(heard)
        self.on_heard(heard)
        return heard

    async def nap(self, pause_s: float) -> None:
        """Hears nothing for a while."""
        await asyncio.sleep(pause_s)

    @property
    def has_seen_the_end(self) -> bool:
        """Whether the last turn's end has come."""
        tails = self.ear.stream.tails
        return bool(tails) and tails[-1].turn == FAREWELL

    async def _answer(self, ask: Ask) -> None:
        answer: dict[str, Any] = {"id": json.loads(ask.id)}
        match self.moves.answer():
            case Answer.OPTION:
                answer["result"] = _selected(self.moves.option(ask.options))
            case Answer.NO_OPTION:
                answer["result"] = _selected(_NOT_OFFERED)
            case Answer.ERROR:
                answer["error"] = {"code": -32603, "message": "cannot decide"}
            case Answer.NOTHING:
                return
        await self.send(answer)


def _selected(option: str) -> dict[str, Any]:
    return {"outcome": {"outcome": "selected", "optionId": option}}


def _position(result: Result) -> Position:
    return Position.parse(result["_meta"]["acprelay"]["position"])
