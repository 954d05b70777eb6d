"""Draining: a relay that is to stop begins nothing new, and gives the turns that run some time.

```
OPEN --begin--> DRAINING --no turn runs, or the time is up--> over
```

Who is waited for, what everybody is told, and when it is over are decided here. There is no clock,
no connection and no turn in this module: whoever drains says what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from acprelay.errors import RelayDraining
from acprelay.routing.frames import NOTICE, error_fields
from acprelay.wire import notification

_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainProgress:
    """How far a drain is.

    Attributes:
        waiting_for: The public ids of the sessions whose turns run, in order.
        left_s: How much of the time is left, in seconds.
    """

    waiting_for: tuple[str, ...]
    left_s: float

    @property
    def is_over(self) -> bool:
        """Whether nothing is waited for any more: no turn runs, or the time is up."""
        return not self.waiting_for or self.left_s <= 0

    @property
    def is_cut_short(self) -> bool:
        """Whether the time is up while turns still run."""
        return bool(self.waiting_for) and self.left_s <= 0

    def describe(self) -> str:
        """In words, for whoever has asked the relay to stop."""
        count = len(self.waiting_for)
        if not count:
            return "no turn runs any more"
        turns = f"{count} turn{'s' * (count != 1)}"
        named = ", ".join(self.waiting_for[:_MOST_NAMED])
        more = f" and {count - _MOST_NAMED} more" if count > _MOST_NAMED else ""
        if self.left_s <= 0:
            return f"the time is up: ending {turns}: {named}{more}"
        return f"waiting for {turns}: {named}{more}; {self.left_s:.0f} s left"


class Drain:
    """The drain of one relay.

    Args:
        grace_s: How long turns that run may go on once it has begun; 0 gives them no time.
    """

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._ends_at: float | None = None

    @property
    def has_begun(self) -> bool:
        """Whether nothing new is begun any more."""
        return self._ends_at is not None

    def begin(self, now: float) -> bool:
        """Begins it; tells whether this call did. The time is counted from the first one.

        Args:
            now: The time, in seconds.
        """
        if self._ends_at is not None:
            return False
        self._ends_at = now + self._grace_s
        return True

    def progress(self, turns: Sequence[str], *, now: float) -> DrainProgress:
        """Tells how far it is; before it has begun, all of the time is left.

        Args:
            turns: The public ids of the sessions whose turns run.
            now: The time.
        """
        left_s = self._grace_s if self._ends_at is None else self._ends_at - now
        return DrainProgress(waiting_for=tuple(sorted(turns)), left_s=max(left_s, 0.0))


def notice() -> bytes:
    """What every client of a relay that drains is told; it belongs to no session."""
    return notification(NOTICE, msgspec.json.encode(error_fields(RelayDraining())))
