"""The ids of events on HTTP streams: what `Last-Event-ID` says that a client has seen.

On a session's stream an id is `generation:seq.lane`: the position in the public log, and how much
of the client's lane it was given by then. On a connection's stream events are numbered from 1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from acprelay.errors import InvalidParams
from acprelay.routing.attachment import Attachment, Step
from acprelay.routing.log import Position
from acprelay.wire.sse import event, events, messages

BEGINNING = "0"
"""The id before all events of a stream, whichever it is."""

_SESSION_EVENT = re.compile(r"([^.]{1,100})\.([0-9]{1,18})")
_CONNECTION_EVENT = re.compile(r"[0-9]{1,18}")


class SessionEventId(NamedTuple):
    """What a client has seen of a session once it has had an event.

    Attributes:
        position: How far in the public log.
        given: How many entries of its lane.
    """

    position: Position
    given: int

    def __str__(self) -> str:
        return f"{self.position}.{self.given}"

    @classmethod
    def of(cls, attachment: Attachment) -> SessionEventId:
        """What a client has seen that was given all that its attachment has given."""
        return cls(attachment.log.position(attachment.cursor), attachment.given)

    @classmethod
    def parse(cls, text: str) -> SessionEventId:
        """Reads an id.

        Raises:
            InvalidParams: It is something else.
        """
        found = _SESSION_EVENT.fullmatch(text)
        if found is None:
            raise _unreadable(text)
        return cls(Position.parse(found[1]), int(found[2]))


def parse_connection_event(text: str) -> int:
    """Reads the id of an event on a connection's stream.

    Raises:
        InvalidParams: It is something else.
    """
    if _CONNECTION_EVENT.fullmatch(text) is None:
        raise _unreadable(text)
    return int(text)


def step_events(attachment: Attachment, step: Step) -> bytes:
    """Writes what an attachment has just given as events.

    Args:
        attachment: As it is after the step.
        step: What it gave.
    """
    given = b".%d" % attachment.given
    if step.after is None:
        place = attachment.log.position(attachment.cursor)
        return b"".join(
            events(blob, before=_generation(place), first=place.seq, after=given)
            for blob in step.blobs
        )
    return _log_events(attachment, step.blobs, step.after, given)


def _log_events(attachment: Attachment, blobs: list[bytes], after: int, given: bytes) -> bytes:
    first = attachment.log.position(after + 1)
    last = attachment.log.position(attachment.cursor)
    run = b"".join(blobs)
    if first.generation == last.generation:
        return events(run, before=_generation(first), first=after + 1, after=given)
    # The run goes on over the end of a generation, which happens once for each start of a relay.
    return b"".join(
        event(str(attachment.log.position(seq)).encode() + given, message)
        for seq, message in enumerate(messages(run), after + 1)
    )


def _generation(place: Position) -> bytes:
    return place.generation.encode() + b":"


def _unreadable(text: str) -> InvalidParams:
    return InvalidParams(
        f"cannot read the event id {text[:80]!r}",
        hint="give the id of the last event of this stream as it came, or none",
    )
