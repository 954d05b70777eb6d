"""Which turn a relay that has died was in, by the record that it has stored and by its log.

The two are written one after the other, so a relay may die in between: the log may have the
beginning or the end of a turn that the record knows nothing of. What stands in the log behind the
place that the record was stored at therefore has the last word.
"""

from __future__ import annotations

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


def turn_left_open(log: PublicLog, *, turn: str | None, position: str | None) -> str | None:
    """Tells which turn has begun and not ended.

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
    if position is None:
        return turn
    try:
        place = log.locate(Position.parse(position))
    except CursorExpired:
        place = log.start
    while place < log.head:
        try:
            blobs, place = log.read(place, upto=log.head, limit=_READ_BYTES)
        except CursorExpired:  # what was to be read was found damaged, and is put aside
            place = log.start
            continue
        for blob in blobs:
            turn = _turn_behind(blob, turn)
    return turn


def _turn_behind(blob: bytes, turn: str | None) -> str | None:
    """The turn that is open behind a run of frames, where one was before."""
    if not any(name in blob for name in _NAMES):
        return turn
    for _, start, end in walk(blob):
        message = blob[start:end]
        if not any(name in message for name in _NAMES):
            continue
        # An agent may have spoken the name; only the relay's own messages have it as their method.
        if msgspec.json.decode(message, type=_Method).method not in (TURN_STARTED, TURN_ENDED):
            continue
        marker = msgspec.json.decode(message, type=_Marker)
        if marker.method == TURN_STARTED:
            turn = marker.params.turn
        elif marker.params.turn == turn:
            turn = None
    return turn
