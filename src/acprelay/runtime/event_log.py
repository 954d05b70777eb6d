"""Says in the log what happens in conversations; a line for each, with where it was as fields.

It knows no format: whoever runs the relay chooses how lines look, and which are shown.
"""

from __future__ import annotations

import logging

from acprelay.errors import RelayError
from acprelay.routing.audit import Decision
from acprelay.routing.events import TurnEnded, TurnStarted
from acprelay.runtime.log_context import also
from acprelay.runtime.observation import Observer, Scene

logger = logging.getLogger(__name__)


class EventLog(Observer):
    """Writes the log."""

    def __init__(self) -> None:
        self._traces: dict[str, str] = {}

    def turn_started(self, scene: Scene, turn: TurnStarted) -> None:
        """A turn has begun; its lines name the trace that its prompt belongs to."""
        if turn.traceparent is not None:
            self._traces[turn.turn] = turn.traceparent
        if not logger.isEnabledFor(logging.INFO):
            return
        fields = {"attachment": turn.owner, **_turn(turn.turn, turn.traceparent)}
        logger.info("session %s: turn started", scene.key, extra=_at(scene, **fields))

    def turn_ended(self, scene: Scene, turn: TurnEnded, *, lasted_s: float) -> None:
        """A turn has ended."""
        trace = self._traces.pop(turn.turn, None)
        if not logger.isEnabledFor(logging.INFO):
            return
        fields = {"outcome": str(turn.outcome), "lasted_s": round(lasted_s, 3)}
        fields |= _turn(turn.turn, trace)
        logger.info("session %s: turn %s", scene.key, turn.outcome, extra=_at(scene, **fields))

    def permission_decided(self, scene: Scene, decision: Decision) -> None:
        """A permission was decided; what for stands in the audit log."""
        if not logger.isEnabledFor(logging.INFO):
            return
        fields = {"ask": decision.ask, "by": str(decision.by)}
        logger.info(
            "session %s: permission decided by %s",
            scene.key,
            decision.by,
            extra=_at(scene, **fields),
        )

    def restarted(self, scene: Scene) -> None:
        """An agent was restarted."""
        logger.warning(
            "session %s: restarted its agent, as run %d", scene.key, scene.run, extra=_at(scene)
        )

    def storage_failed(self, scene: Scene, error: RelayError) -> None:
        """A conversation cannot be stored as it should be."""
        logger.warning("session %s: %s", scene.key, error.message, extra=_at(scene))


def _turn(turn: str, trace: str | None) -> dict[str, object]:
    return {"turn": turn} if trace is None else {"turn": turn, "traceparent": trace}


def _at(scene: Scene, **fields: object) -> dict[str, object]:
    return also(
        session=str(scene.key), role=scene.key.role, agent=scene.agent, run=scene.run, **fields
    )
