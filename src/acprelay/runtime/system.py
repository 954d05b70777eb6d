"""The machine's clock, its randomness and its log, for those that are given them."""

from __future__ import annotations

import logging
import os
import time

from acprelay.runtime.log_context import also
from acprelay.session.models import Session

logger = logging.getLogger(__name__)


class SystemClock:
    """Wall-clock time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class MonotonicClock:
    """Time that never goes back and means nothing to anybody else."""

    def now(self) -> float:
        """Seconds since some instant."""
        return time.monotonic()


class RandomIds:
    """Ids that nobody has used before and nobody can guess."""

    def mint(self) -> str:
        """Gives 26 characters of lower-case hexadecimal: 104 bits."""
        return os.urandom(13).hex()


class LoggingHooks:
    """Says in the log what becomes of sessions."""

    def on_activate(self, session: Session) -> None:
        """The session serves its client."""
        logger.info(
            "session %s is active (agent %s)",
            session.key,
            session.spec.agent,
            extra=_at(session),
        )

    def on_terminate(self, session: Session) -> None:
        """The session ends."""
        logger.info("session %s ends: %s", session.key, session.reason, extra=_at(session))


def _at(session: Session) -> dict[str, object]:
    return also(
        session=str(session.key),
        role=session.key.role,
        agent=session.spec.agent,
        run=session.run,
    )
