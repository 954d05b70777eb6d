"""What one client is due, as a plain list: the model behind `test_core_properties`.

A stream knows no cursor and no barrier. Whatever is said is written to the end of the list at the
moment it is said: an entry of the log for everybody, a word to one client for that one, and for a
load all that the log has. What a client gets is the list from its beginning, whatever it takes at
a time. Only a connection that is lost makes the list anew, from what the client has really seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from acprelay.errors import CursorExpired
from acprelay.routing.frames import loss_notice

_PLACE = re.compile(rb'"position":"g:([0-9]+)"')


class Kind(Enum):
    """What an item of a stream is."""

    ENTRY = auto()
    """An entry of the log."""
    NOTE = auto()
    REPLY = auto()
    ASK = auto()
    LEAD = auto()
    """The answer to an attach, which a later connection is not given again."""
    MOVE = auto()
    """Nothing that is seen: from here on the log comes once more."""
    LOSS = auto()
    """The log has forgotten what would come here."""


@dataclass(eq=False)
class Item:
    """A part of a stream.

    Attributes:
        kind: What it is.
        seq: An entry's number; of what is for this client alone, the latest when it was said.
        message: What the client is to get; None for an entry, which the record has.
        tag: The raw id of an ask, or of the request that a reply answers.
        place: Where a move goes.
        left_out: What was hidden until a move, once it was made.
        is_dropped: Whether no later connection is given it.
        may_be_known: Whether an earlier connection may have been given it.
    """

    kind: Kind
    seq: int
    message: bytes | None = None
    tag: bytes | None = None
    place: int = 0
    left_out: set[int] = field(default_factory=set)
    is_dropped: bool = False
    may_be_known: bool = False


OWN = (Kind.NOTE, Kind.REPLY, Kind.ASK, Kind.MOVE)
"""What stands in no log and is remembered for a later connection."""


@dataclass(eq=False)
class Stream:
    """What one attachment is due.

    Attributes:
        name: The attachment's id.
        record: Every entry that the log ever had.
        due: All of it, on its present connection.
        given: How many items of that it was given.
        hidden: The entries that tell it its own words.
        is_reading: Whether new entries are for it.
        seen_to: The last entry that it had seen when its connection began.
        has_jumped: Whether it went on behind what the log had forgotten.
        is_known: Whether an earlier connection has told the client of its attachment.
        awaits: The raw ids of the requests that it has no answer to.
        answers: How many answers it has seen to all its requests.
        requests: How many requests it has made.
    """

    name: str
    record: Sequence[bytes]
    due: list[Item] = field(default_factory=list)
    given: int = 0
    hidden: set[int] = field(default_factory=set)
    is_reading: bool = True
    seen_to: int = 0
    is_known: bool = False
    has_jumped: bool = False
    awaits: set[bytes] = field(default_factory=set)
    answers: int = 0
    requests: int = 0

    # -- what is said

    def publish(self, seq: int, *, is_own: bool) -> None:
        """An entry comes to the log."""
        if is_own:
            self.hidden.add(seq)
        elif self.is_reading:
            self.due.append(Item(Kind.ENTRY, seq))

    def push(self, kind: Kind, message: bytes, tag: bytes | None = None) -> Item:
        """Something is said to this client alone."""
        self.due.append(Item(kind, len(self.record), message, tag))
        return self.due[-1]

    def lead(self, message: bytes) -> None:
        """Something is said before all that the client was not given; once to a connection."""
        rest = [item for item in self.due[self.given :] if item.kind is not Kind.LEAD]
        self.due[self.given :] = rest
        self.due.insert(self.given, Item(Kind.LEAD, len(self.record), message))

    def move(self, place: int) -> None:
        """The client is to have the log once more, from a place on."""
        self.due.append(Item(Kind.MOVE, len(self.record), place=place))
        self.read_from(place)

    def read_from(self, place: int) -> None:
        """The client is to have the log from a place on."""
        self.due += [Item(Kind.ENTRY, seq) for seq in range(place + 1, len(self.record) + 1)]
        self.is_reading = True

    def retract(self, tag: bytes) -> bool:
        """An ask is settled; tells whether the client may have been given it."""
        [index] = [i for i, item in enumerate(self.due) if is_asked(item, tag)] or [-1]
        if index < 0:
            return True  # an earlier connection was given it, and what it may repeat is past
        item = self.due[index]
        item.is_dropped = True
        if index < self.given:
            return True
        del self.due[index]
        self._settle_down()
        return item.may_be_known

    def expect_reply(self, request_id: bytes) -> None:
        """The client has asked something, maybe under an id that it has used before."""
        for item in self.due:
            if item.kind is Kind.REPLY and item.tag == request_id:
                item.is_dropped = True
        # One that comes again, as a connection was lost, is not given any more.
        waiting = [item for item in self.due[self.given :] if not item.is_dropped]
        self.due[self.given :] = waiting
        self._settle_down()
        self.awaits.add(request_id)
        self.requests += 1

    def _settle_down(self) -> None:
        """What is said of a log's start stands there, with nothing before it that comes later."""
        for item in [each for each in self.due[self.given :] if each.tag == b"start"]:
            index = self.due.index(item)
            before = index
            while before > self.given and self.due[before - 1].seq > item.seq:
                if self.due[before - 1].kind is not Kind.ENTRY:
                    break
                before -= 1
            self.due.insert(before, self.due.pop(index))

    # -- what is given

    def take(self, messages: list[bytes], *, start: int, generation: str, is_all: bool) -> None:
        """Checks what the client was given.

        Args:
            messages: That.
            start: The oldest place that the log can be read from.
            generation: The log's.
            is_all: Whether it was given all that it is due.
        """
        for message in messages:
            self._pass_moves()
            assert self.given < len(self.due), message
            item = self.due[self.given]
            if item.kind is Kind.ENTRY and item.seq <= start:
                self._lose_sight(start, generation)
                item = self.due[self.given]
            assert message == (item.message or self.record[item.seq - 1])
            self.given += 1
            if item.kind is Kind.REPLY:
                self._see_reply(item)
        if is_all:
            self._pass_moves()
            assert self.given == len(self.due), [item.message for item in self.due[self.given :]]

    def _pass_moves(self) -> None:
        while self.given < len(self.due) and self.due[self.given].kind is Kind.MOVE:
            move = self.due[self.given]
            move.left_out |= {seq for seq in self.hidden if seq <= move.seq}
            self.hidden -= move.left_out
            self.given += 1

    def _lose_sight(self, start: int, generation: str) -> None:
        """What comes next is forgotten: the client is told, and gets no entry up to a move."""
        error = CursorExpired(oldest=f"{generation}:{start}")
        notice = Item(Kind.LOSS, 0, loss_notice("s:main", generation, error))
        rest = self.due[self.given :]
        move = next((i for i, item in enumerate(rest) if item.kind is Kind.MOVE), len(rest))
        lane = [item for item in rest[:move] if item.kind is not Kind.ENTRY]
        self.is_reading = move < len(rest)
        self.due[self.given :] = [notice, *lane, *rest[move:]]

    def _see_reply(self, item: Item) -> None:
        assert item.tag is not None
        if item.tag in self.awaits:
            self.awaits.remove(item.tag)
            self.answers += 1

    # -- connections

    @property
    def least_seen(self) -> int:
        """How many items the client must have seen to know how to adopt its attachment."""
        if self.is_known:
            return 0
        told = (Kind.LEAD, Kind.REPLY)
        first = next((i for i, item in enumerate(self.due) if item.kind in told), len(self.due))
        return first + 1

    def unsee(self, seen: int) -> None:
        """The connection is lost, and of what was given only the first items have arrived."""
        for item in self.due[seen : self.given]:
            if item.kind is Kind.REPLY and item.tag is not None and not item.is_dropped:
                self.awaits.add(item.tag)
                self.answers -= 1

    def last_seen(self, seen: int) -> int:
        """The number of the last entry that the client has seen, as it knows."""
        places: list[int] = []
        for item in reversed(self.due[:seen]):
            if item.kind is Kind.ENTRY:
                places.append(item.seq)
                break
            told = _PLACE.search(item.message or b"")
            if told is not None:
                places.append(int(told[1]))
        return max(places, default=self.seen_to)

    def can_be_at(self, place: int) -> bool:
        """Whether a client that has seen all that it was given can be at a place."""
        ways = [item.kind for item in self.due[: self.given] if item.kind not in OWN[:3]]
        if ways and ways[-1] in (Kind.MOVE, Kind.LOSS):
            return True  # it has jumped there, and seen nothing since
        return set(range(self.last_seen(self.given) + 1, place + 1)) <= self.hidden

    def go_back(self, seen: int, after: int, pending: Collection[bytes] | None) -> None:
        """The client goes on from what it has seen, which is made its list.

        Args:
            seen: How many of the items that it was given have arrived.
            after: The last entry that it has seen.
            pending: The raw ids of the requests that it waits for; None where it does not say.
        """
        kept = self._unseen(seen, after, pending)
        waiting = [item for item in self.due[self.given :] if item.kind in OWN]
        # Until a move that comes again, the same is hidden as before.
        self.hidden.update(*(item.left_out for item in kept))
        hidden, place = self.hidden, after
        self.due, self.given, self.is_reading, self.seen_to = [], 0, True, after
        self.is_known = True
        for item in [*kept, *waiting, Item(Kind.ENTRY, len(self.record))]:
            entries = range(place + 1, item.seq + 1)
            self.due += [Item(Kind.ENTRY, seq) for seq in entries if seq not in hidden]
            place = max(place, item.seq)
            if item.kind is Kind.MOVE:
                hidden = {seq for seq in hidden if seq > item.seq}
                place = item.place
            if item.kind is not Kind.ENTRY:
                self.due.append(item)

    def _unseen(self, seen: int, after: int, pending: Collection[bytes] | None) -> list[Item]:
        """Those words that are said again: all that was not seen, and little else."""
        given = [
            (i < seen, item)
            for i, item in enumerate(self.due[: self.given])
            if item.kind in OWN and not item.is_dropped
        ]
        kept: list[Item] = []
        moves = sum(item.kind is Kind.MOVE for _, item in given)
        reach = after
        while reach + 1 in self.hidden:
            reach += 1
        ways = [item.kind for item in self.due[: self.given] if item.kind in (Kind.LOSS, Kind.MOVE)]
        if ways and ways[-1] is Kind.LOSS:
            reach = len(self.record)  # without the log, it was given all the rest
        is_certain = False
        for was_seen, item in given:
            moves -= item.kind is Kind.MOVE
            is_answer = item.kind is Kind.REPLY and pending is not None
            is_awaited = is_answer and pending is not None and item.tag in pending
            # A client that was in the middle of a load may have seen what is ahead of it now.
            may_be_known = item.may_be_known or moves > 0 or item.seq <= reach
            if is_certain or is_awaited:
                is_certain = True
            elif item.kind is Kind.MOVE or item.seq < after or is_answer:
                # Nothing that anybody misses: at most that a second load begins late.
                is_reply = item.kind is Kind.REPLY
                is_excused = item.kind is Kind.MOVE or item.tag == b"start" or self.has_jumped
                assert was_seen or (is_excused and not is_reply)
                continue
            else:
                assert may_be_known or not was_seen
                item.may_be_known = may_be_known
            assert not (was_seen and is_answer)
            kept.append(item)
        return kept


def is_asked(item: Item, tag: bytes) -> bool:
    """Whether an item is an ask, and not settled."""
    return item.kind is Kind.ASK and item.tag == tag and not item.is_dropped
