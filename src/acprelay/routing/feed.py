"""What happens in a relay, in one order: a bounded ring of events, each with a number.

A reader is a place in the ring, as a client is a place in a log. What the ring has forgotten, a
reader is told that it has lost; nothing is left out in silence. What an event says of a
conversation is for those who may observe that. This module knows no reader, no clock and no task.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from acprelay.errors import InvalidParams
from acprelay.routing.access import Grant, Principal
from acprelay.session.models import SessionKey
from acprelay.wire import to_json

_ID = re.compile("([A-Za-z0-9_-]{1,64}):([0-9]{1,18})")


class EventKind(StrEnum):
    """What can happen."""

    SESSION_OPENED = "session_opened"
    SESSION_STATE = "session_state"
    """A run has come to another state: `active`, `terminating`, `dormant`."""
    SESSION_DELETED = "session_deleted"
    RUN_RESTARTED = "run_restarted"
    TURN_STARTED = "turn_started"
    TURN_ENDED = "turn_ended"
    PERMISSION_ASKED = "permission_asked"
    PERMISSION_SETTLED = "permission_settled"
    NOTICE = "notice"
    AGENT_JOINED = "agent_joined"
    AGENT_LEFT = "agent_left"


class RelayEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has happened.

    Attributes:
        number: Its number, from 1, without gaps.
        kind: What it is.
        key: Of which session.
        at: When; seconds since the epoch.
        facts: What else is to be said, as JSON has it.
        size: How many bytes that is.
    """

    number: int
    kind: EventKind
    key: SessionKey
    at: float
    facts: Mapping[str, object]
    size: int

    def is_for(self, principal: Principal) -> bool:
        """Tells whether somebody may learn of it."""
        return principal.may(Grant.OBSERVE, self.key)


class Stretch(NamedTuple):
    """What a reader gets.

    Attributes:
        events: What has happened since its place, in order.
        cursor: Its place from now on.
        is_whole: Whether that is all; False where the ring has forgotten some of it.
    """

    events: list[RelayEvent]
    cursor: int
    is_whole: bool


class Ring:
    """The latest events of one relay.

    Args:
        epoch: Names the relay's life: numbers begin anew with each.
        most: How many events it remembers.
        most_bytes: How many bytes of facts; those of the latest event are remembered in any case.

    Attributes:
        most: How many events it remembers.
    """

    def __init__(self, *, epoch: str, most: int, most_bytes: int) -> None:
        self._epoch = epoch
        self.most = most
        self._most_bytes = most_bytes
        self._events: deque[RelayEvent] = deque()
        self._bytes = 0
        self._head = 0

    @property
    def head(self) -> int:
        """The number of the latest event; 0 before there is one."""
        return self._head

    @property
    def start(self) -> int:
        """The oldest place that can be read from."""
        return self._head - len(self._events)

    def add(
        self, kind: EventKind, key: SessionKey, facts: Mapping[str, object], *, at: float
    ) -> None:
        """Adds an event; the oldest go where there are too many, or where they say too much."""
        self._head += 1
        size = len(to_json(facts))
        self._events.append(
            RelayEvent(number=self._head, kind=kind, key=key, at=at, facts=facts, size=size)
        )
        self._bytes += size
        while (many := len(self._events)) > self.most or (
            self._bytes > self._most_bytes and many > 1
        ):
            self._bytes -= self._events.popleft().size

    def read(self, after: int, *, most: int) -> Stretch:
        """Gives what follows a place.

        Args:
            after: The place.
            most: How many events to give at most.
        """
        begin = max(after, self.start)
        first = begin - self.start
        count = min(most, self._head - begin)
        events = [self._events[index] for index in range(first, first + count)]
        return Stretch(events, begin + count, begin == after)

    def id_of(self, number: int) -> str:
        """What a reader is to remember of a place."""
        return f"{self._epoch}:{number}"

    def place_of(self, event_id: str) -> int | None:
        """Finds the place that a reader remembers.

        Returns:
            None where it is of an earlier life of the relay, or was never given out.

        Raises:
            InvalidParams: It is no such thing.
        """
        found = _ID.fullmatch(event_id)
        if found is None:
            raise InvalidParams(
                f"cannot go on after event {event_id[:80]!r}",
                hint="send the id of the last event that came, as it was, or none",
            )
        number = int(found[2])
        return number if found[1] == self._epoch and number <= self._head else None
