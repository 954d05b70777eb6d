"""What `_acprelay/run` answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from acprelay.routing.health import Condition
from acprelay.routing.run_report import RunFacts, Standing, run_result
from acprelay.routing.turns import TurnList

IDLE: TurnList = {"running": None, "queued": []}
BUSY: TurnList = {
    "running": {"turn": "t-1", "mine": False, "cancelling": False},
    "queued": [{"turn": "t-2", "mine": False}],
}
STANDING = Standing(turns=IDLE, open_asks=0, clients=1, health=(), restart_in_s=None)
FACTS = RunFacts(
    state="active", run=3, started_at=0.0, heard_at=90.04, pid=4711, usage=(1.5, 1024, 2)
)


def result(standing: Standing, facts: RunFacts | None) -> dict[str, Any]:
    return run_result(
        session_id="s:main",
        agent="coder",
        latest_run=3,
        standing=standing,
        facts=facts,
        now=100.0,
    )


@pytest.mark.requirement("supervision.runs-are-described")
def test_a_run_that_is_idle() -> None:
    assert result(STANDING, FACTS) == {
        "sessionId": "s:main",
        "agent": "coder",
        "state": "active",
        "run": 3,
        "pid": 4711,
        "startedAt": "1970-01-01T00:00:00.000Z",
        "idleS": 10.0,
        "usage": {"cpuS": 1.5, "memoryBytes": 1024, "processes": 2},
        "turn": None,
        "queued": 0,
        "asks": 0,
        "clients": 1,
        "health": [],
    }


def test_a_run_in_a_turn_is_not_idle() -> None:
    told = result(replace(STANDING, turns=BUSY, health=(Condition.SILENT_IN_TURN,)), FACTS)
    assert "idleS" not in told
    assert (told["turn"], told["queued"], told["health"]) == ("t-1", 1, ["silent-in-turn"])
    assert "idleS" not in result(replace(STANDING, open_asks=1), FACTS)


def test_a_run_on_another_machine_has_neither_pid_nor_usage() -> None:
    told = result(STANDING, replace(FACTS, pid=None, usage=None))
    assert {"pid", "usage"}.isdisjoint(told)


@pytest.mark.requirement("supervision.runs-are-described")
@pytest.mark.parametrize(("due_in_s", "told_s"), [(1.96, 2.0), (-0.1, 0.0)])
def test_a_conversation_without_a_run_is_dormant_and_may_wait_for_one(
    due_in_s: float, told_s: float
) -> None:
    assert result(replace(STANDING, restart_in_s=due_in_s), None) == {
        "sessionId": "s:main",
        "agent": "coder",
        "state": "dormant",
        "run": 3,
        "turn": None,
        "queued": 0,
        "asks": 0,
        "clients": 1,
        "health": [],
        "restartInS": told_s,
    }
