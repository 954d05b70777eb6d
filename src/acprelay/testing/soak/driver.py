"""The client that prompts, turn after turn, and comes and goes while its turns run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from acprelay.testing.soak.client import Client
from acprelay.testing.soak.ledger import Fate, Prompts
from acprelay.testing.soak.messages import (
    Entry,
    Heard,
    Prompted,
    Reply,
    Said,
    TurnEnded,
    TurnStarted,
)
from acprelay.testing.soak.moves import Kind, Move, Moves, Way
from acprelay.testing.soak.payload import Order
from acprelay.testing.soak.site import FAREWELL, Site

_FAREWELL = Order(FAREWELL, updates=1)


class Driver(Client):
    """Prompts until it is told to stop, then once more, for everybody's farewell.

    Args:
        name: What it is called in complaints.
        site: What it shares with the others.
        moves: Its choices.
        updates: How many updates a turn has, on average.
        size: How large they are, in bytes, on average.
        rate: How many updates a second it asks for, on average over all turns; 0 is no bound.
        is_time_up: Whether it is to stop, given how many prompts it has sent.

    Attributes:
        prompts: What it has prompted, and what came of it.
    """

    def __init__(
        self,
        *,
        name: str,
        site: Site,
        moves: Moves,
        updates: int,
        size: int,
        rate: int,
        is_time_up: Callable[[int], bool],
    ) -> None:
        super().__init__(name=name, site=site, moves=moves)
        self.prompts = Prompts()
        self._updates = updates
        self._size = size
        self._rate = rate
        self._is_time_up = is_time_up
        self._due_at = 0.0
        self._way = Way.ADOPT
        self._move = moves.move()
        self._heard = 0
        self._labels: dict[bytes, str] = {}
        self._turns: dict[str, str] = {}
        self._turn = ""
        self._prompted_at = 0

    async def arrive(self) -> None:
        """Opens the session; comes back to it afterwards, and finds out what became of prompts."""
        if not self.site.opened.done():
            await self._open()
            return
        await self.come_back(self._way)
        if self._prompted_at != self.site.relay.starts:
            # The reply comes behind all that the log held, and so behind every marker there is.
            await self.request("_acprelay/turns", self._session_only())
            self.prompts.lost()

    async def step(self) -> None:
        """Prompts where nothing is open, hears a message, makes its move where one is due."""
        if not self.prompts.open:
            if FAREWELL in self.prompts:
                self.is_done = True
                return
            await self._prompt_next()
        await self.hear_one()
        self._heard += 1
        if self._heard >= self._move.after and not self.site.is_over:
            move, self._move, self._heard = self._move, self.moves.move(), 0
            await self._make(move)

    # -- prompting

    async def _open(self) -> None:
        await self.connect()
        result = await self.request("session/new", {"cwd": "/", "mcpServers": []})
        self.attached(result)
        self.site.opened.set_result(result["sessionId"])

    async def _prompt_next(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._due_at - loop.time()))
        if self._is_time_up(self.prompts.count(*Fate)):
            self.site.is_over = True
            await self._prompt(_FAREWELL)
            return
        await self._prompt(self.moves.order(updates=self._updates, size=self._size))
        if self.moves.queues_another():
            await self._prompt(self.moves.order(updates=self._updates, size=self._size))

    async def _prompt(self, order: Order) -> None:
        if self._rate:
            now = asyncio.get_running_loop().time()
            self._due_at = max(now, self._due_at) + order.updates / self._rate
        # It may have arrived even if the connection is lost in sending it.
        self.prompts.sent(order.turn)
        self._prompted_at = self.site.relay.starts
        self.ear.prompted(order.turn)
        blocks = [{"type": "text", "text": order.text}]
        request_id = await self.begin("session/prompt", {**self._session_only(), "prompt": blocks})
        self._labels[request_id] = order.turn

    def _session_only(self) -> dict[str, Any]:
        return {"sessionId": self.site.opened.result()}

    # -- what comes of it

    def on_heard(self, heard: Heard) -> None:
        """Follows its turns: their replies, and their markers where the reply will not come."""
        match heard:
            case Reply() if heard.id in self._labels:
                self._take_reply(heard, self._labels.pop(heard.id))
            case Entry(content=TurnStarted()):
                self._turn = ""
            case Entry(content=Prompted(turn, relayed_as)):
                self._turns[relayed_as] = self._turn = turn
            case Entry(content=Said(numbered, _)):
                self._turn = numbered.turn
            case Entry(content=TurnEnded() as ended):
                label = self._turns.get(ended.turn) or self._turn
                self.prompts.ended(label, interrupted=ended.outcome == "interrupted")

    def on_left_behind(self) -> None:
        """From now on the end of a turn is known by its marker alone."""
        for request_id in self._labels:
            self.ear.lane.given_up(request_id)
        self._labels.clear()
        self.prompts.abandoned()

    def _take_reply(self, reply: Reply, label: str) -> None:
        self.prompts.answered(label)
        if reply.error:
            self.site.ledger.complain(f"{label} was answered with an error: {reply.error!r}")
            return
        told = json.loads(reply.result).get("_meta", {}).get("soak")
        if told is None:  # the relay's own answer to a prompt that it cancelled in the queue
            return
        written = told.pop("written")
        seen = self.ear.stream.number if self.ear.stream.turn == label else 0
        if seen != written:
            self.site.ledger.complain(f"{label} was answered after {seen} of {written} updates")
        self.site.history.wrote(label, written)
        self.site.ledger.agent.update(told)

    # -- moving

    async def _make(self, move: Move) -> None:
        match move.kind:
            case Kind.NAP:
                await self.nap(move.pause_s)
            case Kind.CANCEL:
                if len(self.prompts.open) != 1:
                    return  # it would drop what waits, too
                await self.send({"method": "session/cancel", "params": self._session_only()})
            case Kind.KILL_RELAY:
                self._way = Way.ATTACH
                await self.site.relay.kill()
                await self.drop()
            case _:
                self._way = self.affordable(move.way)
                await self.drop()
                await self.nap(move.pause_s)
        if move.kind is not Kind.DROP:
            self.site.ledger.moves[move.kind] += 1
