"""Which run serves a conversation, or is on its way to it.

A run is known by its object: what is told of one that the conversation has let go of concerns it no
longer. When runs begin and end is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence

from acprelay.routing.events import ServiceAsked, ServiceWithdrawn
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.service_desk import Settle


class RunSlot:
    """The place that one run at a time can have in a conversation.

    Attributes:
        serving: The run that serves the conversation.
        coming: The one that is on its way.
        is_paused: Whether the agent is made to wait with what it says.
    """

    def __init__(self) -> None:
        self.serving: AgentRun | None = None
        self.coming: AgentRun | None = None
        self.is_paused = False
        self._unused_since: float | None = None

    @property
    def latest(self) -> AgentRun | None:
        """The run that serves, or else the one that is on its way."""
        return self.serving or self.coming

    def seat(self, run: AgentRun) -> None:
        """Lets a run serve from now on."""
        self.vacate()
        self.serving = run

    def vacate(self) -> None:
        """Lets go of the run, whichever it is. Idempotent."""
        self.serving = self.coming = None
        self.is_paused = False
        self._unused_since = None

    def pause(self) -> None:
        """Has the agent wait with what it says. Idempotent."""
        if self.serving is not None and not self.is_paused:
            self.is_paused = True
            self.serving.pause_reading()

    def resume(self) -> None:
        """Takes `pause` back. Idempotent."""
        if self.serving is not None and self.is_paused:
            self.is_paused = False
            self.serving.resume_reading()

    def heed(
        self, event: ServiceAsked | ServiceWithdrawn, *, roots: Sequence[str], settle: Settle
    ) -> None:
        """Has the run serve its agent with a file or a terminal; nothing if it is gone.

        Args:
            event: What the agent has asked, or no longer wants.
            roots: The directories of its session.
            settle: Takes the outcome.
        """
        if self.serving is not None:
            self.serving.desk.heed(event, roots=roots, settle=settle)

    def unused_s(self, now: float, *, is_used: bool) -> float:
        """Tells for how long the run has been of no use, as far as this was asked.

        Args:
            now: The time.
            is_used: Whether it is of use now.
        """
        if is_used:
            self._unused_since = None
            return 0.0
        if self._unused_since is None:
            self._unused_since = now
        return now - self._unused_since
