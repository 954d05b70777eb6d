"""What whoever sends to an agent is refused with, whatever kind of connection it is."""

from __future__ import annotations

from acprelay.errors import AgentError, LocalProtocolError


def check_whole(agent: str, data: bytes) -> None:
    """Refuses what is not whole lines.

    Raises:
        LocalProtocolError: The last line has no newline.
    """
    if not data.endswith(b"\n"):
        raise LocalProtocolError(
            f"cannot send part of a line to agent {agent!r}", hint="end it with a newline"
        )


def being_ended(agent: str) -> AgentError:
    """What whoever sends to an agent is told while it is being ended."""
    return AgentError(
        f"cannot send to agent {agent!r}: it is being ended",
        hint="open a new session",
        agent=agent,
    )
