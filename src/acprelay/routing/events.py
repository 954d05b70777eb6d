"""What a conversation tells its owner: events, each told once, and counts of what went nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from acprelay.routing.audit import Decision


@dataclass(frozen=True, slots=True)
class RunWanted:
    """Something waits for an agent, and there is none: a run is to be started."""


@dataclass(frozen=True, slots=True)
class RunUnwanted:
    """The run is to be ended.

    Attributes:
        reason: Why, in words.
    """

    reason: str


class TurnChanged(msgspec.Struct, frozen=True):
    """A turn began or ended, and the record has to say so."""


class TurnOutcome(StrEnum):
    """How a turn ended, in the few words that are counted."""

    ENDED = "ended"
    """Its agent has answered."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Its agent answered with an error, or is gone."""


class TurnStarted(msgspec.Struct, frozen=True):
    """A turn has begun.

    Attributes:
        turn: Its id.
        owner: The attachment whose prompt it is.
        traceparent: The trace that the prompt belongs to (W3C Trace Context), where it says so.
    """

    turn: str
    owner: str
    traceparent: str | None


class TurnEnded(msgspec.Struct, frozen=True):
    """A turn has ended.

    Attributes:
        turn: Its id.
        outcome: How.
    """

    turn: str
    outcome: TurnOutcome


class AskDecided(msgspec.Struct, frozen=True):
    """A permission was decided, and the audit log is to have it.

    Attributes:
        decision: By whom, and how.
    """

    decision: Decision


class Told(msgspec.Struct, frozen=True):
    """Something that is of interest beyond the conversation: it was told to every client, or asked.

    Attributes:
        method: As what: the method of the marker.
        fields: What it says, as JSON has it.
    """

    method: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ServiceAsked:
    """The agent asks for a file or a terminal that the relay serves.

    Attributes:
        number: Names the request; no other one of the conversation ever has it.
        method: What is asked.
        params: The raw JSON value; `null` where there is none.
    """

    number: int
    method: str
    params: bytes


@dataclass(frozen=True, slots=True)
class ServiceWithdrawn:
    """The agent no longer wants what it has asked for; an outcome is awaited all the same.

    Attributes:
        number: The request.
    """

    number: int


TurnEvent = TurnStarted | TurnEnded
Event = (
    RunWanted | RunUnwanted | TurnChanged | TurnEvent | AskDecided | ServiceAsked | ServiceWithdrawn
)


@dataclass(slots=True)
class Oddities:
    """What a peer sent that went nowhere.

    Attributes:
        noise_lines: Lines of the agent's output that are no JSON-RPC messages.
        last_noise: The beginning of the latest.
        dropped_answers: Answers that nobody waited for.
    """

    noise_lines: int = 0
    last_noise: bytes = b""
    dropped_answers: int = 0

    def __bool__(self) -> bool:
        """Whether there was anything odd."""
        return bool(self.noise_lines or self.dropped_answers)

    def describe(self) -> str:
        """In words."""
        noise = (
            f"lines that are no messages: {self.noise_lines}, "
            f"of which the last began {self.last_noise[:80]!r}"
        )
        answers = f"answers that nobody waited for: {self.dropped_answers}"
        told = [noise] * bool(self.noise_lines) + [answers] * bool(self.dropped_answers)
        return f"its agent wrote {'; '.join(told)}"
