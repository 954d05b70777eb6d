"""When something that was lost is begun again: how long to wait, and how often.

The rules for runs, and what they share with whoever else tries again. This module starts nothing,
and has no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.errors import AgentExited, RelayError

STEADY_S = 60.0
"""How long something has to live until its loss is the first one of a row again."""

_FIRST_S = 0.5
_LONGEST_S = 30.0
_MOST_DOUBLINGS = 6  # from there on the longest wait is reached, and 2**n only grows


def backoff_s(losses: int) -> float:
    """How long to wait after so many earlier losses in a row: 0.5 s, doubled each time, to 30 s."""
    return float(min(_LONGEST_S, _FIRST_S * 2 ** min(losses, _MOST_DOUBLINGS)))


class Row:
    """Losses in a row.

    Attributes:
        losses: How many there were.
    """

    def __init__(self) -> None:
        self.losses = 0

    def lost(self, *, lived_s: float) -> float:
        """Counts a loss.

        Args:
            lived_s: How long it had lived; 0 for what never came to life.

        Returns:
            How long to wait before the next try, in seconds.
        """
        if lived_s >= STEADY_S:
            self.losses = 0
        self.losses += 1
        return backoff_s(self.losses - 1)

    def reset(self) -> None:
        """Ends the row."""
        self.losses = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A run that is over, and what was the case then.

    Attributes:
        error: Why it is over.
        served: Whether it served its conversation; else it was on its way.
        unasked: Whether nobody but the relay itself had wanted it.
        restorable: Whether its agent can take up a session of an earlier process.
        idle: Whether nothing was asked of the agent, nor the agent asked anything.
        attended: Whether a client was there.
    """

    error: RelayError
    served: bool
    unasked: bool
    restorable: bool
    idle: bool
    attended: bool


def calls_for_a_run(loss: Loss) -> bool:
    """Whether a run that is over is to be followed by another one that nobody has asked for.

    That is for an agent whose process has ended by itself between turns, in front of somebody, and
    then for what was begun on these grounds and has failed in a way that need not last. In a turn
    the client that waits learns of it, and decides.
    """
    if not (loss.idle and loss.attended):
        return False
    if loss.served:
        return loss.restorable and isinstance(loss.error, AgentExited)
    return loss.unasked and loss.error.retryable


class Restarts:
    """Counts the restarts of one conversation's runs.

    Args:
        most: How many may follow each other without a run that lives for `STEADY_S`.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._row = Row()
        self._began_at: float | None = None

    @property
    def in_a_row(self) -> int:
        """How many there were since a run last lived for long enough."""
        return self._row.losses

    def run_began(self, now: float) -> None:
        """Takes note that a run serves from now on."""
        self._began_at = now

    def run_over(self, now: float) -> None:
        """Takes note that the run is over, for whatever reason: one that lived long ends the row.

        Idempotent.
        """
        if self._began_at is not None and now - self._began_at >= STEADY_S:
            self._row.reset()
        self._began_at = None

    def run_lost(self, now: float) -> float | None:
        """Takes note of a loss that calls for a run.

        Returns:
            When the next one is due; None where there were as many as may be.
        """
        self.run_over(now)
        if self._row.losses >= self._most:
            return None
        return now + self._row.lost(lived_s=0.0)
