"""A client that watches a conversation, comes and goes; and one that reads all of it in the end."""

from __future__ import annotations

from acprelay.testing.soak.client import Client
from acprelay.testing.soak.messages import Entry, Heard
from acprelay.testing.soak.moves import Kind, Move, Moves, Way
from acprelay.testing.soak.site import Site


class Observer(Client):
    """Watches until it has seen the last turn's end.

    It loads the conversation first. Then it makes one move after another, each after so many
    messages; none once the soak is over.

    Args:
        name: What it is called in complaints.
        site: What it shares with the others.
        moves: Its choices.
    """

    def __init__(self, *, name: str, site: Site, moves: Moves) -> None:
        super().__init__(name=name, site=site, moves=moves)
        self._way = Way.LOAD
        self._move = moves.move()
        self._heard = 0

    async def arrive(self) -> None:
        """Comes back in the way of its latest move."""
        await self.site.opened
        await self.come_back(self._way)
        self.is_done = self.has_seen_the_end

    async def step(self) -> None:
        """Hears a message; makes its move where it has heard enough."""
        if self.is_done:
            return
        await self.hear_one()
        self._heard += 1
        self.is_done = self.has_seen_the_end
        if self._heard >= self._move.after and not (self.site.is_over or self.is_done):
            move, self._move, self._heard = self._move, self.moves.move(), 0
            await self._make(move)

    async def _make(self, move: Move) -> None:
        match move.kind:
            case Kind.NAP:
                self.site.ledger.moves[Kind.NAP] += 1
                await self.nap(move.pause_s)
            case Kind.LOAD_AGAIN if self.affordable(Way.LOAD) is Way.LOAD:
                self.site.ledger.moves[Kind.LOAD_AGAIN] += 1
                await self.load_again()
            case _:
                self._way = self.affordable(move.way)
                await self.drop()
                await self.nap(move.pause_s)


class Auditor(Client):
    """Loads the whole conversation once, and tells the history how it goes."""

    async def arrive(self) -> None:
        """Loads; nothing is left to do then."""
        await self.come_back(Way.LOAD)
        self.is_done = True

    async def step(self) -> None:
        """Does nothing: everything has come with the load."""

    def on_heard(self, heard: Heard) -> None:
        """Takes down the order of the log."""
        if isinstance(heard, Entry):
            self.site.history.line_up(heard.at)
