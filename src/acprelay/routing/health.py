"""How well a run does, judged by what can be seen from outside: conditions, told as warnings.

None of them ends anything: an agent may compile, download or think for as long as it likes. This
module has no clock, and reads no pipe: whoever looks says what there is to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CODE = "agent_health"
"""The code of the notices that tell of conditions."""


class Condition(StrEnum):
    """What can be the matter with a run."""

    STDIN_STALLED = "stdin-stalled"
    """What was written to the agent waits, and it has taken none of it for long."""

    SILENT_IN_TURN = "silent-in-turn"
    """A turn runs, nobody is asked anything, and the agent has said nothing for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What there is to see of a run at one moment; all times are of one clock, in seconds.

    Attributes:
        now: The moment.
        last_output_at: When the agent last said something.
        input_waits_since: Since when it has taken nothing of what waits for it; None where nothing
            waits.
        is_expected: Whether it is the agent that something is expected of: a turn runs, nobody is
            being asked anything, and the relay reads what the agent says.
    """

    now: float
    last_output_at: float
    input_waits_since: float | None
    is_expected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A condition that began or ended.

    Attributes:
        condition: Which.
        began: Whether it began; else it ended.
        lasted_s: For how long what makes the condition has been so.
    """

    condition: Condition
    began: bool
    lasted_s: float

    def describe(self, agent: str) -> str:
        """In words, as errors are written."""
        if self.condition is Condition.STDIN_STALLED:
            if self.began:
                return (
                    f"cannot get through to agent {agent!r}: "
                    f"it has read nothing of what waits for it for {self.lasted_s:.0f} s"
                )
            return f"agent {agent!r} has read what waited for it, or its run is over"
        if self.began:
            return (
                f"cannot hear agent {agent!r}: "
                f"it has said nothing for {self.lasted_s:.0f} s while its turn runs"
            )
        return f"agent {agent!r} is no longer silent in its turn"

    def fields(self, agent: str) -> dict[str, object]:
        """What the notice says of it."""
        hint = "wait, or cancel the turn; nothing is ended because of this" if self.began else ""
        return {
            "code": CODE,
            "retryable": False,
            "hint": hint,
            "agent": agent,
            "condition": str(self.condition),
            "state": "began" if self.began else "ended",
            "lastedS": round(self.lasted_s, 1),
            "message": self.describe(agent),
        }


class HealthWatch:
    """Finds out when conditions of one run begin and end.

    Args:
        stall_s: How long what waits for the agent may wait untouched.
        silence_s: How long the agent may be silent while something is expected of it.
    """

    def __init__(self, *, stall_s: float, silence_s: float) -> None:
        self._limits_s = {Condition.STDIN_STALLED: stall_s, Condition.SILENT_IN_TURN: silence_s}
        self._expected_since: float | None = None
        self._since: dict[Condition, float] = {}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Those that hold, in the order in which they began."""
        return tuple(self._since)

    def observe(self, seen: Observation) -> list[Change]:
        """Judges what is seen now; gives each change once."""
        if not seen.is_expected:
            self._expected_since = None
        elif self._expected_since is None:
            self._expected_since = seen.now
        quiet_since = None
        if self._expected_since is not None:
            # An agent that waited for somebody's answer has only been asked since it came.
            quiet_since = max(self._expected_since, seen.last_output_at)
        return [
            *self._judge(Condition.STDIN_STALLED, seen.input_waits_since, seen.now),
            *self._judge(Condition.SILENT_IN_TURN, quiet_since, seen.now),
        ]

    def run_over(self, now: float) -> list[Change]:
        """Takes note that the run is over, and every condition with it."""
        self._expected_since = None
        return [
            change for condition in self.conditions for change in self._judge(condition, None, now)
        ]

    def _judge(self, condition: Condition, since: float | None, now: float) -> list[Change]:
        if since is not None and now - since >= self._limits_s[condition]:
            if condition in self._since:
                return []
            self._since[condition] = since
            return [Change(condition=condition, began=True, lasted_s=now - since)]
        if condition not in self._since:
            return []
        lasted_s = now - self._since.pop(condition)
        return [Change(condition=condition, began=False, lasted_s=lasted_s)]
