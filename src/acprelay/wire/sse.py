"""Server-sent events, as a server writes them (HTML, "Server-sent events").

An event is one JSON-RPC message under an id. Raw line breaks in JSON are space between tokens, and
SSE breaks lines at all of them: such a message becomes several `data` lines, which a reader joins
with a line feed. This module does not know what ids mean, nor who reads.
"""

from __future__ import annotations

import re

from acprelay.wire.websocket import walk

KEEP_ALIVE = b":\n\n"
"""A comment: it tells a reader nothing, and finds out whether there is one."""

_LINE_BREAK = re.compile(rb"\r\n|\r|\n")
_PARTS, _LINES = 5, 3
"""Of an event: the pieces that it is joined from, and the lines that it has without line breaks."""


def event(event_id: bytes, message: bytes) -> bytes:
    """Writes one message as an event.

    Args:
        event_id: What a reader gives as `Last-Event-ID`; without line breaks.
        message: JSON.
    """
    if b"\n" in message or b"\r" in message:
        message = b"\ndata: ".join(_LINE_BREAK.split(message))
    return b"id: %b\ndata: %b\n\n" % (event_id, message)


def bare_id(event_id: bytes) -> bytes:
    """Tells a reader where it is without an event: what it returns to if it is cut off before one.

    Args:
        event_id: What it gives as `Last-Event-ID` then; without line breaks.
    """
    return b"id: %b\n\n" % event_id


def events(blob: bytes, *, before: bytes, first: int, after: bytes) -> bytes:
    """Writes a run of WebSocket text frames as events under ids that count up.

    Args:
        blob: The run.
        before: What stands before the number in each id.
        first: The first number.
        after: What stands behind the number.

    Raises:
        LocalProtocolError: The run is not whole text frames.
    """
    head, neck = b"id: " + before, after + b"\ndata: "
    parts: list[bytes] = []
    for number, (_, start, end) in enumerate(walk(blob), first):
        parts += (head, b"%d" % number, neck, blob[start:end], b"\n\n")
    run = b"".join(parts)
    if run.count(b"\n") * _PARTS == _LINES * len(parts) and b"\r" not in run:
        return run
    return b"".join(
        event(b"%b%d%b" % (before, number, after), message)
        for number, message in enumerate(messages(blob), first)
    )


def messages(blob: bytes) -> list[bytes]:
    """Gives the payloads of a run of WebSocket text frames.

    Raises:
        LocalProtocolError: The run is not whole text frames.
    """
    return [blob[start:end] for _, start, end in walk(blob)]
