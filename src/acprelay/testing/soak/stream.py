"""The judge of one client's stream: what it was due, and what it got.

A stream is what a client gets of a log from one place on, over as many connections as it takes:
contiguous by `seq` and by the agent's own numbers. Pure: it is fed entries and knows no socket.

What looks like a gap may be none: the client's own prompts are left out for it, and numbers need
not go on where a relay was killed. Such doubts are kept; `history` settles them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from acprelay.testing.soak.messages import (
    Entry,
    Position,
    Prompted,
    Said,
    TurnEnded,
    TurnStarted,
)
from acprelay.testing.soak.payload import Numbered


@dataclass(slots=True)
class Counts:
    """How many entries of the log met which fate.

    Attributes:
        due: They were to come.
        delivered: They came, each counted once.
        lost: They did not come.
        repeated: They came again.
        out_of_order: They came after later ones.
        damaged: They came with other bytes than were sent.
    """

    due: int = 0
    delivered: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    damaged: int = 0

    def add(self, other: Counts) -> None:
        """Adds other counts to these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Tail(NamedTuple):
    """How far the agent's numbers went when a turn ended, as a client saw it."""

    turn: str
    number: int
    of: int
    is_whole: bool
    """Whether the turn went to its end."""


class Stream:
    """Watches one stream.

    Args:
        after: The seq before the first one that is due; None where any may be the first.

    Attributes:
        counts: What is certain so far; gaps are not in it.
        last: The place of the last entry that came in order; None before the first.
        missing: The places that were passed over.
        seams: Neighbours of different generations, which nothing may stand between.
        tails: How turns ended that came to their end.
    """

    def __init__(self, *, after: int | None) -> None:
        self.counts = Counts()
        self.last: Position | None = None
        self.missing: set[Position] = set()
        self.seams: list[tuple[Position, Position]] = []
        self.tails: list[Tail] = []
        self._after = after
        self._numbers = _Numbers(is_whole=after == 0)

    @property
    def place(self) -> int | None:
        """The seq that the stream has come to; None where that is not known yet."""
        return self.last.seq if self.last else self._after

    @property
    def turn(self) -> str:
        """The label of the turn that the last numbered update or prompt belongs to."""
        return self._numbers.turn

    @property
    def number(self) -> int:
        """The number of the last numbered update in that turn."""
        return self._numbers.last

    def take(self, entry: Entry) -> None:
        """Looks at the next entry that came."""
        if isinstance(entry.content, Said) and not entry.content.is_intact:
            self.counts.damaged += 1
        if entry.at in self.missing:
            self.missing.remove(entry.at)
            self.counts.out_of_order += 1
            self.counts.delivered += 1
            self._come_late(entry)
            return
        if not self._is_new(entry.at):
            self.counts.repeated += 1
            return
        passed_over = self._step_to(entry.at)
        self.counts.delivered += 1
        verdict = self._numbers.take(entry)
        self.counts.repeated += verdict.repeated
        self.counts.out_of_order += verdict.out_of_order
        # What is missing by number and by place is missing once; what came late is not lost.
        self.counts.lost += max(min(0, verdict.missing), verdict.missing - passed_over)
        if isinstance(entry.content, TurnEnded):
            self._end_turn(entry.content)

    def fall_short(self, end: Position) -> None:
        """Ends the stream at a place that it was to come to, and did not."""
        place = self.place
        if place is None or (self.last and self.last.generation != end.generation):
            return
        self.missing |= {Position(end.generation, seq) for seq in range(place + 1, end.seq + 1)}

    def _end_turn(self, ended: TurnEnded) -> None:
        # What was still to be stored when a relay was killed may be gone.
        if ended.outcome == "ended":
            self.tails.append(self._numbers.tail(ended))

    def _come_late(self, entry: Entry) -> None:
        if not isinstance(entry.content, Said):
            return
        turn, number = entry.content.numbered.turn, entry.content.numbered.number
        self._numbers.came_late(turn, number)
        self.tails = [
            tail._replace(number=max(number, tail.number)) if tail.turn == turn else tail
            for tail in self.tails
        ]

    def _is_new(self, at: Position) -> bool:
        place = self.place
        return place is None or at.seq > place

    def _step_to(self, at: Position) -> int:
        """Moves on to an entry; gives how many places were passed over on the way."""
        place, last = self.place, self.last
        self.last = at
        if last is not None and last.generation != at.generation:
            self.seams.append((last, at))
            self._numbers.break_off()
            return 0
        skipped = range(at.seq if place is None else place + 1, at.seq)
        self.missing.update(Position(at.generation, seq) for seq in skipped)
        return len(skipped)


class _Verdict(NamedTuple):
    missing: int = 0
    repeated: int = 0
    out_of_order: int = 0


class _Numbers:
    """Follows the agent's own numbers, which begin at 1 in every turn."""

    def __init__(self, *, is_whole: bool) -> None:
        self.turn = ""
        self.last = 0
        self._of = 0
        self._is_whole = is_whole  # whether the turn was seen from its beginning
        self._is_over = True
        self._missing: set[int] = set()
        self._finished: set[str] = set()

    def take(self, entry: Entry) -> _Verdict:
        match entry.content:
            case Said(numbered):
                return self._count(numbered)
            case Prompted(turn) if turn != self.turn:
                return self._begin(turn)
            case TurnStarted():
                self._is_whole = True
            case TurnEnded():
                self._is_over = True
        return _Verdict()

    def break_off(self) -> None:
        """A relay was killed: the turn may go no further, and nothing follows from that."""
        self._is_over = True
        self._is_whole = False

    def came_late(self, turn: str, number: int) -> None:
        if turn == self.turn:
            self._missing.discard(number)

    def tail(self, ended: TurnEnded) -> Tail:
        return Tail(self.turn, self.last, self._of, ended.stop_reason == "end_turn")

    def _count(self, numbered: Numbered) -> _Verdict:
        before = _Verdict()
        if numbered.turn != self.turn:
            if numbered.turn in self._finished:
                return _Verdict(repeated=1)
            before = self._begin(numbered.turn)
        self._of = numbered.of
        number, last = numbered.number, self.last
        if number in self._missing:
            self._missing.remove(number)
            return _Verdict(missing=-1, out_of_order=1)
        if number <= last:
            return _Verdict(repeated=1)
        self.last = number
        if not self._is_whole:
            self._is_whole = True
            return before
        self._missing.update(range(last + 1, number))
        return _Verdict(missing=before.missing + number - last - 1)

    def _begin(self, turn: str) -> _Verdict:
        """Goes on to another turn; the one before is missing its end unless that was told."""
        missing = 0 if self._is_over else self._of - self.last
        if self.turn:
            self._finished.add(self.turn)
            self._is_whole = True
        self.turn, self.last, self._of, self._is_over = turn, 0, 0, False
        self._missing.clear()
        return _Verdict(missing=missing)
