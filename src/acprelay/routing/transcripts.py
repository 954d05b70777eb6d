"""A conversation's log as entries that anybody can read: each message with its position.

A log holds frames that are ready for a WebSocket; this takes them apart again. It knows no reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from acprelay.errors import CursorExpired
from acprelay.routing.log import Position, PublicLog
from acprelay.wire.websocket import walk


class Entry(NamedTuple):
    """One entry.

    Attributes:
        position: Where it is in the log.
        message: The JSON-RPC message, as clients got it.
    """

    position: Position
    message: bytes


class Transcript(NamedTuple):
    """Part of a log.

    Attributes:
        entries: The entries, in order.
        position: The place behind the last one: what to read on from.
        is_end: Whether the log has no more at this moment.
    """

    entries: list[Entry]
    position: Position
    is_end: bool


def read_transcript(log: PublicLog, after: str | None, *, most: int, most_bytes: int) -> Transcript:
    """Reads a part of a log.

    Args:
        log: The log.
        after: The position to read from, `generation:seq`; None for the start.
        most: How many entries to give at most.
        most_bytes: How many bytes, except that one entry is always given where there is one.

    Raises:
        InvalidParams: The position cannot be read.
        CursorExpired: The log does not reach it; its start, where that is forgotten.
        StoreError: The log cannot be read.
    """
    place = _place(log, after)
    upto = min(log.head, place + most)
    entries: list[Entry] = []
    left = most_bytes
    while place < upto and left > 0:
        blobs, reached = log.read(place, upto=upto, limit=left)
        messages = [message for blob in blobs for message in _messages(blob)]
        first = reached - len(messages) + 1
        entries += [
            Entry(log.position(seq), message) for seq, message in enumerate(messages, start=first)
        ]
        left -= sum(map(len, blobs))
        place = reached
    return Transcript(entries, log.position(place), place >= log.head)


def _place(log: PublicLog, after: str | None) -> int:
    if after is not None:
        return log.locate(Position.parse(after))
    if log.start:
        raise CursorExpired(oldest=str(log.position(log.start)))
    return 0


def _messages(blob: bytes) -> Iterator[bytes]:
    for _, payload, end in walk(blob):
        yield blob[payload:end]
