"""A lane: what is for one client alone, in order, and what of it a connection may have lost.

Every entry stands behind a barrier, a place in a log. The entries given last are remembered, so
that a client whose connection was lost, and who says what it has seen, is given the others again. A
lane does not know where its client is in the log, nor who reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace

_REMEMBERED_ENTRIES = 256
_REMEMBERED_BYTES = 1024 * 1024


class EntryKind(Enum):
    """What a lane entry is."""

    NOTE = auto()
    """To have it twice does no harm: a notice, the end of an ask, a part of a snapshot."""
    REPLY = auto()
    ASK = auto()
    LEAD = auto()
    """Of use to one connection alone."""
    MOVE = auto()
    """No message: the client goes elsewhere in the log."""


_, _REPLY, _, _LEAD, _MOVE = EntryKind  # a class is slower to ask for its members


class Entry(Struct):
    """A lane entry.

    Attributes:
        kind: What it is.
        barrier: It is due once the client is there.
        frame: A WebSocket frame; empty for a move.
        tag: The raw id of an ask, or of the request that a reply answers.
        place: Where a move goes.
        left_out: The entries of the log that were left out until a move, once it was given.
        may_be_known: Whether an earlier connection of the client may have been given it.
        number: Which one it is of those that were given, from 1; 0 before that.
    """

    kind: EntryKind
    barrier: int
    frame: bytes
    tag: bytes | None = None
    place: int = 0
    left_out: tuple[int, ...] = ()
    may_be_known: bool = False
    number: int = 0


class Meter:
    """Counts what waits in several lanes together.

    Attributes:
        size: How many bytes.
    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class Lane:
    """The entries for one client.

    Attributes:
        waiting: The entries that were not given yet, in order.
        waiting_bytes: Their size.
        forgotten: The furthest barrier of those that were given and are not remembered; 0 while
            there is none.
        given: How many were given that can be given again.
        forgotten_number: How many of those are not remembered, and all before.
    """

    __slots__ = (
        *("_given", "_given_bytes", "_meter", "_tags"),
        *("forgotten", "forgotten_number", "given", "waiting", "waiting_bytes"),
    )

    def __init__(self) -> None:
        self._meter = Meter()
        self.waiting_bytes = 0
        self.forgotten = 0
        self.given = 0
        self.forgotten_number = 0
        # Lists: an empty deque takes 0.7 KB, and most lanes are empty most of the time.
        self.waiting: list[Entry] = []
        self._given: list[Entry] = []
        self._given_bytes = 0
        self._tags: dict[bytes | None, int] = {}  # how many entries: most removals find none

    def count_in(self, meter: Meter) -> None:
        """Counts what waits in this meter, and no longer in another one."""
        self._meter.size -= self.waiting_bytes
        meter.size += self.waiting_bytes
        self._meter = meter

    def count_out(self, meter: Meter) -> None:
        """Counts what waits no more in a meter. Does nothing where another one has it by now."""
        if self._meter is meter:
            self.count_in(Meter())

    def append(self, entry: Entry) -> None:
        """Adds an entry behind the others."""
        self.waiting.append(entry)
        self._tags[entry.tag] = self._tags.get(entry.tag, 0) + 1
        self._wait(len(entry.frame))

    def lead(self, entry: Entry) -> None:
        """Adds an entry before the others, in place of one that an earlier connection never had."""
        stale = [waiting for waiting in self.waiting if waiting.kind is _LEAD]
        _drop(self.waiting, stale)
        self._untag(stale)
        self._wait(-_size(stale))
        self.waiting.insert(0, entry)
        self._tags[entry.tag] = self._tags.get(entry.tag, 0) + 1
        self._wait(len(entry.frame))

    def give(self) -> Entry:
        """Takes the first entry out."""
        entry = self.waiting.pop(0)
        size = len(entry.frame)
        self.waiting_bytes -= size
        self._meter.size -= size
        if entry.kind is _LEAD:
            self._untag([entry])
        else:
            self._remember(entry)
        return entry

    def remove(self, kind: EntryKind, tag: bytes) -> list[Entry]:
        """Drops the entries with a tag, whether they were given or not.

        Returns:
            Those that waited.
        """
        if tag not in self._tags:
            return []

        given = [entry for entry in self._given if entry.tag == tag and entry.kind is kind]
        waited = [entry for entry in self.waiting if entry.tag == tag and entry.kind is kind]
        _drop(self._given, given)
        _drop(self.waiting, waited)
        self._untag(given + waited)
        self._given_bytes -= _size(given)
        self._wait(-_size(waited))
        return waited

    def go_back(self, after: int, pending: Collection[bytes] | None, *, reach: int) -> None:
        """Lets entries that a client has not seen, or may not have seen, wait again.

        Args:
            after: The last place in the log that the client has seen.
            pending: The raw ids of the requests that it waits for; None where it does not say.
            reach: How far the client may have come in the log since, without seeing more of it.
        """
        again = [*_unseen(self._given, after, pending, reach)]
        self._given.clear()
        self._given_bytes = 0
        self.waiting[:0] = again
        self._tags = dict(Counter(entry.tag for entry in self.waiting))
        self._wait(_size(again))

    def take_back(self, given: int) -> None:
        """Lets all entries wait again but the first that were given, a number still remembered.

        Args:
            given: How many a client has certainly had.
        """
        kept = [entry for entry in self._given if entry.number <= given]
        again = [entry for entry in self._given if entry.number > given]
        self._given = kept
        self._given_bytes -= _size(again)
        self.waiting[:0] = [replace(entry, may_be_known=True) for entry in again]
        self._wait(_size(again))
        self.given = given

    def _wait(self, size: int) -> None:
        """Takes note that more waits by a number of bytes, or less."""
        self.waiting_bytes += size
        self._meter.size += size

    def _remember(self, entry: Entry) -> None:
        self.given += 1
        entry.number = self.given
        given = self._given
        given.append(entry)
        self._given_bytes += len(entry.frame)
        count = len(given)
        # The latest is kept, however long it is.
        while count > 1 and (count > _REMEMBERED_ENTRIES or self._given_bytes > _REMEMBERED_BYTES):
            forgotten = given.pop(0)
            count -= 1
            self._given_bytes -= len(forgotten.frame)
            left = self._tags.pop(forgotten.tag) - 1
            if left:
                self._tags[forgotten.tag] = left
            self.forgotten = max(self.forgotten, forgotten.barrier)
            self.forgotten_number = forgotten.number

    def _untag(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            left = self._tags.pop(entry.tag) - 1
            if left:
                self._tags[entry.tag] = left


def _drop(entries: list[Entry], unwanted: list[Entry]) -> None:
    for entry in unwanted:
        entries.remove(entry)


def _size(entries: Iterable[Entry]) -> int:
    return sum(len(entry.frame) for entry in entries)


def _unseen(
    given: Collection[Entry], after: int, pending: Collection[bytes] | None, reach: int
) -> Iterator[Entry]:
    """Those entries, in order; what stands from the place to the reach may have been seen.

    A connection keeps the order, so what followed a reply that has not come has not come either.
    """
    moves_ahead = sum(entry.kind is _MOVE for entry in given)
    is_certain = False
    for entry in given:
        moves_ahead -= entry.kind is _MOVE
        if entry.kind is _REPLY and pending is not None:
            if entry.tag not in pending:
                continue
            # Wherever it stood: where a log has forgotten, a client goes on behind it.
            is_certain = True
        if is_certain:
            yield entry
        elif entry.kind is not _MOVE and entry.barrier >= after:
            # A client that has moved back since may have seen what is ahead of it now.
            may_be_known = entry.may_be_known or moves_ahead > 0 or entry.barrier <= reach
            yield replace(entry, may_be_known=may_be_known)
