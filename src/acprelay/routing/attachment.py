"""An attachment: one client's presence in one conversation.

It is a place in the conversation's public log and a lane. The lane holds what is for this client
alone (replies, asks, notices), each entry behind a barrier: it is delivered once the cursor has
reached the head that the log had when the entry was made. So a prompt's reply never overtakes the
updates before it, and live delivery, replay and a slow reader are one operation: `take`.

An attachment outlives its connection for a while, and can be adopted by a later one, which says
what it has seen.

An attachment knows no socket; whoever owns one asks it for bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from typing import NamedTuple

from acprelay.errors import CursorExpired, InvalidParams, RelayError
from acprelay.routing.access import Grant
from acprelay.routing.frames import loss_notice
from acprelay.routing.lane import Entry, EntryKind, Lane, Meter
from acprelay.routing.log import PublicLog
from acprelay.wire import text_frame

_REMEMBERED_SKIPS = 1024
_NOTE, _REPLY, _ASK, _LEAD, _MOVE = EntryKind  # a class is slower to ask for its members


class Step(NamedTuple):
    """What is due next, in one piece.

    Attributes:
        blobs: Bytes to be written in this order; none for a lane entry that only moves the client.
        after: The place before the first entry of the log that is given; None where what is given
            is not of the log.
    """

    blobs: list[bytes]
    after: int | None


class Attachment:
    """A cursor and a lane.

    Args:
        id: Unique in the relay.
        secret: Whoever knows it may adopt the attachment.
        session_id: The conversation's public id.
        log: The conversation's public log.
        cursor: The place to read from.
        principal: The id of the principal whose client it is; nobody else may adopt it.
        grants: What that principal may do in this conversation.

    Attributes:
        passed: How many messages it has been given.
        session_id: The conversation's public id.
        is_blind: Whether the client is given nothing of the log, only what its lane holds.
        serves: Which of the methods for files and terminals its client has said that it serves.
    """

    __slots__ = (
        *("_lane", "_skips"),
        *("cursor", "grants", "id", "is_blind", "log", "passed", "principal", "secret", "serves"),
        "session_id",
    )

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the glossary's word
        secret: str,
        session_id: str,
        log: PublicLog,
        cursor: int,
        principal: str,
        grants: frozenset[Grant],
    ) -> None:
        self.id = id
        self.principal = principal
        self.grants = grants
        self.secret = secret
        self.is_blind = False
        self.serves: frozenset[str] = frozenset()
        self.session_id = session_id
        self.log = log
        self.cursor = cursor
        self._lane = Lane()
        self._skips: list[int] = []
        self.passed = 0

    @property
    def has_pending(self) -> bool:
        """Whether `take` has something to do."""
        return bool(self._lane.waiting) or (self.cursor < self.log.head and not self.is_blind)

    @property
    def given(self) -> int:
        """How many entries of the lane the client was given, without those it was led by."""
        return self._lane.given

    @property
    def lane_bytes(self) -> int:
        """The size of what waits in the lane."""
        return self._lane.waiting_bytes

    def count_in(self, meter: Meter) -> None:
        """Counts what waits in the lane in this meter, and no longer in another one."""
        self._lane.count_in(meter)

    def count_out(self, meter: Meter) -> None:
        """Counts it no more in a meter. Does nothing where another one has it by now."""
        self._lane.count_out(meter)

    # -- what is for this client

    def push(
        self, message: bytes, *, reply_to: bytes | None = None, barrier: int | None = None
    ) -> None:
        """Adds a JSON-RPC message for this client alone, behind what its lane holds.

        Args:
            message: The message. One that answers no request may come twice to a client that loses
                its connection and adopts the attachment.
            reply_to: The raw id of the request that it answers, if it does.
            barrier: The place in the log behind which it comes; None for its head.
        """
        kind = _NOTE if reply_to is None else _REPLY
        place = self.log.head if barrier is None else barrier
        self._lane.append(Entry(kind, place, text_frame(message), reply_to))

    def push_ask(self, ask_id: bytes, message: bytes) -> None:
        """Adds a request to the client, which `retract` may take back.

        Args:
            ask_id: Its raw id.
            message: The request.
        """
        self._lane.append(Entry(_ASK, self.log.head, text_frame(message), ask_id))

    def lead(self, message: bytes) -> None:
        """Puts a message before everything else that this client has not been given.

        It is for the client's present connection: a later one is not given it again.
        """
        self._lane.lead(Entry(_LEAD, self.cursor, text_frame(message)))

    def expect_reply(self, request_id: bytes) -> None:
        """Takes note of a request of the client: no earlier reply under its id is given any more.

        A client may use an id again once it has had the reply, or does not want it.

        Args:
            request_id: Its raw id.
        """
        self._lane.remove(_REPLY, request_id)

    def skip(self, seq: int) -> None:
        """Leaves out one entry of the log, the latest: it tells this client its own words."""
        self._skips.append(seq)
        while len(self._skips) > _REMEMBERED_SKIPS and self._skips[0] <= self.cursor:
            del self._skips[0]

    def retract(self, ask_id: bytes) -> bool:
        """Takes a request back that was added.

        Returns:
            Whether the client may have been given it, and so has to be told.
        """
        waited = self._lane.remove(_ASK, ask_id)
        return not waited or any(entry.may_be_known for entry in waited)

    def rewind(self, place: int) -> None:
        """Gives the log once more, from a place on, behind all that is due already.

        Entries that were left out before are in it now.
        """
        self._lane.append(Entry(_MOVE, self.log.head, b"", place=place))

    def go_back(self, after: int, pending: Collection[bytes] | None) -> None:
        """Goes on from what the client has really seen, which may be less than it was given.

        What the lane gave behind that place is given again. What it gave at that very place may
        have been seen or not, and is given again too: a reply only where the client waits for it,
        or does not say; an ask under its id.

        Args:
            after: The last entry of the log that the client has seen.
            pending: The raw ids of the requests that it waits for; None where it does not say.

        Raises:
            CursorExpired: The lane gave more behind that place than is remembered.
        """
        if after < self._lane.forgotten:
            oldest = max(self._lane.forgotten, self.log.start)
            raise CursorExpired(oldest=str(self.log.position(oldest)))
        self._lane.go_back(after, pending, reach=self._reach(after))
        self._go_on(after)

    def return_to(self, after: int, given: int) -> None:
        """Goes on from exactly what the client has seen of this attachment.

        Args:
            after: The last entry of the log that it has seen.
            given: What `given` was then.

        Raises:
            CursorExpired: The lane gave more since than is remembered.
            InvalidParams: The lane never gave so much.
        """
        if given < self._lane.forgotten_number:
            oldest = max(self._lane.forgotten, self.log.start)
            raise CursorExpired(oldest=str(self.log.position(oldest)))
        if given > self._lane.given:
            raise InvalidParams(
                "cannot go on after an event that was not given",
                hint="name the id of the last event that came over this session's stream",
            )
        self._lane.take_back(given)
        self._go_on(after)

    def _go_on(self, after: int) -> None:
        self.cursor = after
        self.is_blind = False
        # Until a move that is to be given once more, the same is left out as before.
        again = [seq for entry in self._lane.waiting for seq in entry.left_out]
        if again:
            self._skips = sorted({*again, *self._skips})

    def _reach(self, after: int) -> int:
        """How far a client may have come since a place without seeing more of the log."""
        if self.is_blind:
            return self.log.head
        self.cursor = after
        self._pass_over(self.log.head)
        return self.cursor

    # -- what is due

    def take(self, limit: int) -> list[bytes]:
        """Gives what is due next, as WebSocket frames, and moves the cursor past it.

        Where the log has forgotten what comes next, or cannot be read, the client is told so, and
        is given nothing of the log until it loads or resumes the session: what it has had stays one
        piece.

        Args:
            limit: Stop once this many bytes are given; one run or lane entry may exceed it.

        Returns:
            Blobs to be written in this order; empty when nothing is due.
        """
        due: list[bytes] = []
        lane, log = self._lane, self.log
        # What `step` does, all of it here, as it is done for each message and client.
        while limit > 0:
            upto = lane.waiting[0].barrier if lane.waiting else log.head
            if self._skips and self._skips[-1] > self.cursor and not self.is_blind:
                upto = self._pass_over(upto)
            if self.cursor < upto and not self.is_blind:
                blobs = self._read(upto, limit)
            elif lane.waiting:
                blobs = self._give()
            else:
                break
            due += blobs
            for blob in blobs:
                limit -= len(blob)
        return due

    def step(self, limit: int) -> Step | None:
        """Gives one run of the log, or one lane entry.

        Args:
            limit: The most bytes of a run; one entry may exceed it.

        Returns:
            What is due; None when nothing is.
        """
        waiting = self._lane.waiting
        barrier = waiting[0].barrier if waiting else None
        upto = self.log.head if barrier is None else barrier
        if not self.is_blind:
            upto = self._pass_over(upto)
        if barrier is not None and (self.is_blind or barrier <= self.cursor):
            return Step(self._give(), None)
        if self.is_blind or upto <= self.cursor:
            return None
        after = self.cursor
        blobs = self._read(upto, limit)
        return Step(blobs, after if self.cursor > after else None)

    def due_entry(self) -> Entry | None:
        """Tells which entry of the lane `step` gives next; None where it gives none of it."""
        waiting = self._lane.waiting
        if not waiting:
            return None
        entry = waiting[0]
        if not self.is_blind:
            self._pass_over(entry.barrier)
        return entry if self.is_blind or entry.barrier <= self.cursor else None

    def _pass_over(self, upto: int) -> int:
        """Moves the cursor past the entries that are left out next; tells how far it may read."""
        skips = self._skips
        if not skips or skips[-1] <= self.cursor:
            return upto
        for skip in skips[bisect_right(skips, self.cursor) :]:
            if skip != self.cursor + 1 or skip > upto:
                return min(upto, skip - 1)
            self.cursor = skip
        return upto

    def _read(self, upto: int, limit: int) -> list[bytes]:
        """Reads on in the log; where that cannot be, the client is told so, and is blind to it."""
        after = self.cursor
        try:
            blobs, self.cursor = self.log.read(after, upto=upto, limit=limit)
        except RelayError as error:
            self.is_blind = True
            notice = loss_notice(self.session_id, self.log.generation, error)
            return [text_frame(notice)]
        self.passed += self.cursor - after
        return blobs

    def _give(self) -> list[bytes]:
        entry = self._lane.give()
        if entry.kind is not _MOVE:
            self.passed += 1
            return [entry.frame]
        skips = self._skips
        passed = bisect_right(skips, entry.barrier)
        entry.left_out = tuple(skips[:passed])
        self.cursor = entry.place
        self.is_blind = False
        self._skips = skips[passed:]
        return []
