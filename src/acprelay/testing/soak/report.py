"""What a soak found out, for people and for programs.

Pure. `Report.failures` is what decides the exit status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from acprelay.testing.soak.moves import Kind
from acprelay.testing.soak.stream import Counts

_FATAL = ("lost", "repeated", "out_of_order", "damaged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The findings.

    Attributes:
        seed: The seed of all choices.
        clients: How many clients took part.
        seconds: How long it went on.
        sent: How many updates the agent says that it has sent, in the turns it answered.
        counts: The fates of the log's entries, over all clients.
        replies_repeated: Replies that nobody waited for.
        asks_delivered: Asks that came, over all clients.
        asks_repeated: Asks that came twice, or too late.
        permissions: What the agent says of its permissions, by what came of them.
        prompts_sent: How many prompts were sent.
        prompts_answered: How many were answered, or ended by a marker.
        prompts_interrupted: How many went down with a relay that was killed.
        moves: What clients did, and how they came back, by name.
        relay_kills: How often the relay was killed.
        complaints: What else happened that should not.
    """

    seed: int
    clients: int
    seconds: float
    sent: int
    counts: Counts
    replies_repeated: int
    asks_delivered: int
    asks_repeated: int
    permissions: Mapping[str, int]
    prompts_sent: int
    prompts_answered: int
    prompts_interrupted: int
    moves: Mapping[str, int]
    relay_kills: int
    complaints: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What must not be, in words; empty where all is well."""
        found = [
            f"{getattr(self.counts, name)} messages {name.replace('_', ' ')}"
            for name in _FATAL
            if getattr(self.counts, name)
        ]
        unanswered = self.prompts_sent - self.prompts_answered - self.prompts_interrupted
        others = {
            "replies that nobody waited for": self.replies_repeated,
            "asks repeated": self.asks_repeated,
            "permissions decided by what was not offered": self.permissions.get("wrong", 0),
            "prompts unanswered": unanswered,
        }
        found += [f"{count} {what}" for what, count in others.items() if count]
        return found + self.complaints

    def as_json(self) -> dict[str, object]:
        """The findings as JSON has them."""
        return {**asdict(self), "failures": self.failures}

    def as_text(self) -> str:
        """The findings as a table."""
        lines = [f"  {name:<26}{_shown(value):>12}" for name, value in self._rows()]
        verdict = [f"  FAILED: {failure}" for failure in self.failures] or ["  all is well"]
        head = f"soak of {self.clients} clients, {self.seconds:.1f} s, seed {self.seed}"
        return "\n".join([head, *lines, *verdict])

    def _rows(self) -> Iterator[tuple[str, int]]:
        yield "sent by the agent", self.sent
        for name, count in asdict(self.counts).items():
            yield name.replace("_", " "), count
        yield "prompts sent", self.prompts_sent
        yield "prompts answered", self.prompts_answered
        yield "prompts interrupted", self.prompts_interrupted
        for name in ("asked", "answered", "cancelled"):
            yield f"permissions {name}", self.permissions.get(name, 0)
        yield "asks delivered", self.asks_delivered
        yield from sorted({**self.moves, str(Kind.KILL_RELAY): self.relay_kills}.items())


def _shown(value: int) -> str:
    return f"{value:,}"
