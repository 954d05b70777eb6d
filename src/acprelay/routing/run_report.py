"""What `_acprelay/run` answers: how a conversation's run does. Values in, a result out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from acprelay.routing.health import Condition
from acprelay.routing.listing import timestamp
from acprelay.routing.turns import TurnList

DORMANT = "dormant"
"""The state of a conversation without a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a conversation knows of its run at one moment.

    Attributes:
        turns: The turn that runs, and those that wait.
        open_asks: How many requests of the agent wait for clients.
        clients: How many clients are there.
        health: The conditions that hold.
        restart_in_s: When a run begins that nobody has asked for, in seconds; None if none will.
    """

    turns: TurnList
    open_asks: int
    clients: int
    health: Sequence[Condition]
    restart_in_s: float | None

    def result(self) -> dict[str, Any]:
        """The members of the answer that it makes."""
        running = self.turns["running"]
        members: dict[str, Any] = {
            "turn": None if running is None else running["turn"],
            "queued": len(self.turns["queued"]),
            "asks": self.open_asks,
            "clients": self.clients,
            "health": [str(condition) for condition in self.health],
        }
        if self.restart_in_s is not None:
            members["restartInS"] = round(max(0.0, self.restart_in_s), 1)
        return members


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of a run by those who keep it; times are seconds since the epoch.

    Attributes:
        state: Where it is in its life.
        run: Its number.
        started_at: When it began.
        heard_at: When something was last said, by its agent or to it.
        pid: The number of its agent's process, if that is on this machine.
        usage: What its agent's processes use, likewise.
    """

    state: str
    run: int
    started_at: float
    heard_at: float
    pid: int | None
    usage: tuple[float, int, int] | None

    def result(self, *, now: float, is_busy: bool) -> dict[str, Any]:
        """The members of the answer that it makes."""
        members: dict[str, Any] = {"state": self.state, "run": self.run}
        if self.pid is not None:
            members["pid"] = self.pid
        members["startedAt"] = timestamp(self.started_at)
        if not is_busy:
            members["idleS"] = round(max(0.0, now - self.heard_at), 1)
        if self.usage is not None:
            names = ("cpuS", "memoryBytes", "processes")
            members["usage"] = dict(zip(names, self.usage, strict=True))
        return members


def run_result(
    *,
    session_id: str,
    agent: str,
    latest_run: int,
    standing: Standing,
    facts: RunFacts | None,
    now: float,
) -> dict[str, Any]:
    """Makes the whole answer.

    Args:
        session_id: The conversation, as clients know it.
        agent: The agent's name in the catalog.
        latest_run: The number of its latest run.
        standing: What the conversation knows.
        facts: What is known of its run; None where it has none.
        now: Seconds since the epoch.
    """
    shown = standing.result()
    is_busy = shown["turn"] is not None or bool(standing.open_asks)
    if facts is None:
        run: dict[str, Any] = {"state": DORMANT, "run": latest_run}
    else:
        run = facts.result(now=now, is_busy=is_busy)
    return {"sessionId": session_id, "agent": agent, **run, **shown}
