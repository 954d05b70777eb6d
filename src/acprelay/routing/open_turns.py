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

from acprelay.errors import CursorExpired, InvalidParams
from acprelay.routing.frames import TURN_ENDED, TURN_STARTED
from acprelay.routing.log import Position, PublicLog
from acprelay.wire import notification, walk

_READ_BYTES = 1024 * 1024

# How the relay's own words of turns begin. What an agent says never does: whatever it speaks of,
# the log has it in other methods.
_BEGINNINGS = tuple(notification(name, b"{")[:-1] for name in (TURN_STARTED, TURN_ENDED))


class _Params(msgspec.Struct):
    turn: str


class _Marker(msgspec.Struct):
    method: str
    params: _Params


def turns_left_open(log: PublicLog, *, turn: str | None, position: str | None) -> list[str]:
    """Tells which turns have begun and not ended, in the order that they began.

    It reads all that came after the record, as a rule nothing, and of a turn that runs what its
    agent has said; the whole log where that does not reach the record's place.

    Args:
        log: The log.
        turn: The turn that runs, by the record.
        position: Where the log was when the record was stored; where it does not say, or what it
            says makes no sense, its word is taken.

    Raises:
        StoreError: The log cannot be read.
    """
    account = _Account(recorded=turn)
    recorded = _place(position)
    if recorded is not None:
        _read(log, recorded, account)
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


def _place(position: str | None) -> Position | None:
    try:
        return None if position is None else Position.parse(position)
    except InvalidParams:
        return None


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
    if not any(each in blob for each in _BEGINNINGS):
        return
    for _, start, end in walk(blob):
        marker = _read_marker(blob[start:end])
        if marker is None:
            continue
        if marker.method == TURN_STARTED:
            account.start(marker.params.turn, is_after_record=is_after_record)
        else:
            account.end(marker.params.turn)


def _read_marker(message: bytes) -> _Marker | None:
    """Reads what the relay has said of a turn; None where that is not so, or cannot be read."""
    if not message.startswith(_BEGINNINGS):
        return None
    try:
        return msgspec.json.decode(message, type=_Marker)
    except (ValueError, RecursionError):
        return None
