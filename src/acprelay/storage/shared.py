"""What all logs of a relay share: the writer's ear, and what they may take together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acprelay.storage.budgets import Backlog, RunBudget
from acprelay.storage.disk import OpenFiles
from acprelay.storage.limits import StorageLimits
from acprelay.storage.outgoing import Outgoing

if TYPE_CHECKING:
    from acprelay.storage.log_files import FileLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """One for each relay; for the event loop's thread.

    Attributes:
        outgoing: Takes commands for the writer.
        call_soon: Calls back on the event loop, after what runs there now.
        limits: Bounds.
        files: Segments that are open to be read.
        window: What is written and still in memory.
        unstored: What is in memory because it cannot be written.
        backlog: What waits to be written.
        on_relief: Told when the backlog is no longer too long.
    """

    outgoing: Outgoing
    call_soon: Callable[[Callable[[], None]], object]
    limits: StorageLimits
    files: OpenFiles
    window: RunBudget[FileLog]
    unstored: RunBudget[FileLog]
    backlog: Backlog
    on_relief: Callable[[], None]

    def no_longer_waits(self, size: int) -> None:
        """Takes bytes off the backlog."""
        if self.backlog.done(size):
            self.on_relief()
