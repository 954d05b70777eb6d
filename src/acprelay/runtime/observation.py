"""What happens in conversations, told to whoever keeps account of it: logs, measurements, a drain.

Each is told once, when it has happened, on the event loop. An observer decides nothing, and must
not raise. Nothing is told of single messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acprelay.errors import RelayError
from acprelay.routing.audit import Decision
from acprelay.routing.events import TurnEnded, TurnStarted
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where something happens.

    Attributes:
        key: The session.
        agent: Its agent's name.
        run: The number of its latest run.
    """

    key: SessionKey
    agent: str
    run: int

    @classmethod
    def of(cls, record: ConversationRecord) -> Scene:
        """The conversation that a record is of, as it stands."""
        return cls(key=record.key, agent=record.agent, run=record.run)


class Observer:
    """Is told what happens. A subclass takes what it is for, and lets the rest pass."""

    def turn_started(self, scene: Scene, turn: TurnStarted) -> None:
        """A turn has begun."""

    def turn_ended(self, scene: Scene, turn: TurnEnded, *, lasted_s: float) -> None:
        """A turn has ended, after so many seconds."""

    def permission_decided(self, scene: Scene, decision: Decision) -> None:
        """A permission was decided."""

    def restarted(self, scene: Scene) -> None:
        """An agent that had ended by itself was restarted."""

    def storage_failed(self, scene: Scene, error: RelayError) -> None:
        """A conversation cannot be stored as it should be."""


class Observers(Observer):
    """Several observers as one; each is told, in their order.

    Args:
        observers: They.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)
        self._of_starts = _who_overrides("turn_started", observers)
        self._of_ends = _who_overrides("turn_ended", observers)

    def turn_started(self, scene: Scene, turn: TurnStarted) -> None:
        """Passes it on."""
        for observer in self._of_starts:
            observer.turn_started(scene, turn)

    def turn_ended(self, scene: Scene, turn: TurnEnded, *, lasted_s: float) -> None:
        """Passes it on."""
        for observer in self._of_ends:
            observer.turn_ended(scene, turn, lasted_s=lasted_s)

    def permission_decided(self, scene: Scene, decision: Decision) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.permission_decided(scene, decision)

    def restarted(self, scene: Scene) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.restarted(scene)

    def storage_failed(self, scene: Scene, error: RelayError) -> None:
        """Passes it on."""
        for observer in self._observers:
            observer.storage_failed(scene, error)


def _who_overrides(method: str, observers: Sequence[Observer]) -> list[Observer]:
    """Leaves out those who let pass what the method tells, as turns are many."""
    base = getattr(Observer, method)
    return [each for each in observers if getattr(type(each), method) is not base]
