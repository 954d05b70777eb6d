"""What a conversation tells its owner: events, each told once, and counts of what went nowhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The agent has opened its session.

    Attributes:
        reply: The response for the client that asked, with the public session id.
    """

    reply: bytes


@dataclass(frozen=True, slots=True)
class OpeningRefused:
    """The agent did not open a session.

    Attributes:
        reply: The error response for the client that asked.
    """

    reply: bytes


Event = SessionOpened | OpeningRefused


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
        return (
            f"the agent wrote {self.noise_lines} lines that are no messages (the last began "
            f"{self.last_noise[:80]!r}) and {self.dropped_answers} answers that nobody waited for"
        )
