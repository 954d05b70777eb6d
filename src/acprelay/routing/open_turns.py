"""Which turns a relay that has died was in, by the record that it has stored and by its log.

The two are written one after the other, so a relay may die in between: the log may have the
beginning or the end of a turn that the record knows nothing of. What stands in the log behind the
place that the record was stored at therefore has the last word.

A power cut may cost the end of the log, and leave a record that was stored behind what is left.
What the log then says is older than the record, so that both count: a turn that the log leaves open
has lost its end, and one that the record alone knows of has lost its beginning. Both are over.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from acprelay.errors import CursorExpired
from acprelay.routing.frames import TURN_ENDED, TURN_STARTED
from acprelay.routing.log import Position, PublicLog
from acprelay.wire.websocket import walk

_READ_BYTES = 1024 * 1024
_NAMES = (TURN_STARTED.encode(), TURN_ENDED.encode())


class _Params(msgspec.Struct):
    turn: str


class _Marker(msgspec.Struct):
    method: str
    params: _Params


class _Method(msgspec.Struct):
    method: str


def turns_left_open(log: PublicLog, *, turn: str | None, position: str | None) -> list[str]:
    """Tells which turns have begun and not ended, in the order that they began.

    It reads all that came after the record, as a rule nothing, and of a turn that runs what its
    agent has said; the whole log where that does not reach the record's place.

    Args:
        log: The log.
        turn: The turn that runs, by the record.
        position: Where the log was when the record was stored; None where it does not say, and its
            word is taken.

    Raises:
        StoreError: The log cannot be read.
    """
    account = _Account(recorded=turn)
    if position is not None:
        _read(log, Position.parse(position), account)
    return [each for each in (account.running, account.recorded) if each is not None]


@dataclass(slots=True, kw_only=True)
class _Account:
    """What is known of turns, as a log is read.

    Attributes:
        recorded: The turn that ran by the record, until the log says what became of it.
        running: The turn that runs by the log.
    """

    recorded: str | None
    running: str | None = None

    def start(self, turn: str, *, is_after_record: bool) -> None:
        """A turn begins; if that is after the record's, the record's has ended."""
        if is_after_record or turn == self.recorded:
            self.recorded = None
        self.running = turn

    def end(self, turn: str) -> None:
        """A turn ends, if it is one that has begun."""
        if turn == self.recorded:
            self.recorded = None
        if turn == self.running:
            self.running = None


def _read(log: PublicLog, recorded: Position, account: _Account) -> None:
    try:
        place = log.locate(recorded)
    except CursorExpired:
        place = log.start
    while place < log.head:
        is_after_record = place >= recorded.seq
        upto = log.head if is_after_record else min(recorded.seq, log.head)
        try:
            blobs, place = log.read(place, upto=upto, limit=_READ_BYTES)
        except CursorExpired:  # what was to be read was found damaged, and is put aside
            place = log.start
            continue
        for blob in blobs:
            _take_in(blob, account, is_after_record=is_after_record)


def _take_in(blob: bytes, account: _Account, *, is_after_record: bool) -> None:
    """Takes account of the markers in a run of frames."""
    if not any(name in blob for name in _NAMES):
        return
    for _, start, end in walk(blob):
        message = blob[start:end]
        if not any(name in message for name in _NAMES):
            continue
        # An agent may have spoken the name; only the relay's own messages have it as their method.
        if msgspec.json.decode(message, type=_Method).method not in (TURN_STARTED, TURN_ENDED):
            continue
        marker = msgspec.json.decode(message, type=_Marker)
        if marker.method == TURN_STARTED:
            account.start(marker.params.turn, is_after_record=is_after_record)
        else:
            account.end(marker.params.turn)
