"""When a run that was lost is begun again unasked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acprelay.errors import (
    AgentExited,
    AgentRefused,
    LimitReached,
    NotRestorable,
    RelayError,
    SessionEnded,
    SpawnFailed,
)
from acprelay.routing.restarting import Loss, Restarts, Row, backoff_s, calls_for_a_run

EXITED = AgentExited(agent="coder", status="exit status 3")
ENDED = SessionEnded(key="s:main", reason="a client closed it")
NO_PROGRAM = SpawnFailed("cannot start agent 'coder'")
FULL = LimitReached(limit="agents' processes", most=3)
REFUSED = AgentRefused(agent="coder", method="initialize", reason="no licence")
NOT_RESTORABLE = NotRestorable(key="s:main", reason="it has forgotten")

CRASH = Loss(error=EXITED, served=True, unasked=False, restorable=True, idle=True, attended=True)
"""The process of an agent has ended by itself, between turns, in front of a client."""

FAILED = replace(CRASH, served=False, unasked=True, restorable=False)
"""A restart has failed before the run served anybody."""


@pytest.mark.parametrize(
    ("losses", "seconds"),
    [(0, 0.5), (1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0), (6, 30.0), (7, 30.0), (9999, 30)],
)
@pytest.mark.requirement("supervision.restarts-back-off")
def test_each_loss_in_a_row_doubles_the_wait_up_to_half_a_minute(
    losses: int, seconds: float
) -> None:
    assert backoff_s(losses) == seconds


def test_what_has_lived_for_a_minute_begins_a_new_row() -> None:
    row = Row()
    assert [row.lost(lived_s=lived_s) for lived_s in (0, 59.9, 60, 1)] == [0.5, 1.0, 0.5, 1.0]
    row.reset()
    assert row.lost(lived_s=0) == 0.5


@pytest.mark.requirement("supervision.idle-crashes-are-restarted")
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        pytest.param(CRASH, True, id="idle crash"),
        pytest.param(replace(CRASH, idle=False), False, id="crash in a turn"),
        pytest.param(replace(CRASH, attended=False), False, id="nobody is there"),
        pytest.param(replace(CRASH, restorable=False), False, id="cannot restore"),
        pytest.param(replace(CRASH, error=ENDED), False, id="ended on purpose"),
        pytest.param(replace(CRASH, error=RelayError("cannot go on")), False, id="defect"),
        pytest.param(replace(CRASH, unasked=True), True, id="a restarted run crashes"),
        pytest.param(FAILED, True, id="a restart crashes"),
        pytest.param(replace(FAILED, error=NO_PROGRAM), True, id="a restart finds no program"),
        pytest.param(replace(FAILED, error=FULL), True, id="a restart finds no place"),
        pytest.param(replace(FAILED, error=REFUSED), False, id="a restart is refused"),
        pytest.param(replace(FAILED, error=NOT_RESTORABLE), False, id="a restart cannot restore"),
        pytest.param(replace(FAILED, error=ENDED), False, id="a restart is ended on purpose"),
        pytest.param(replace(FAILED, unasked=False), False, id="a run that was asked for fails"),
        pytest.param(replace(FAILED, idle=False), False, id="a prompt waits for the restart"),
        pytest.param(replace(FAILED, attended=False), False, id="nobody is there any more"),
    ],
)
def test_which_losses_call_for_a_run(loss: Loss, expected: bool) -> None:
    assert calls_for_a_run(loss) is expected


@pytest.mark.requirement("supervision.restarts-are-limited")
def test_so_many_restarts_in_a_row_and_no_more() -> None:
    restarts = Restarts(most=3)
    now, waits = 100.0, []
    for _ in range(3):
        restarts.run_began(now)
        due_at = restarts.run_lost(now + 1)
        assert due_at is not None
        waits.append(due_at - now - 1)
        now = due_at
    restarts.run_began(now)
    assert restarts.run_lost(now + 59) is None
    assert waits == [0.5, 1.0, 2.0]
    assert restarts.in_a_row == 3


@pytest.mark.requirement("supervision.restarts-back-off")
def test_a_run_that_lived_for_a_minute_is_the_first_of_a_row() -> None:
    restarts = Restarts(most=1)
    restarts.run_began(0)
    assert restarts.run_lost(1) == 1.5
    restarts.run_began(2)
    assert restarts.run_lost(61.9) is None
    restarts.run_began(70)
    assert restarts.run_lost(130) == 130.5


@pytest.mark.requirement("supervision.restarts-back-off")
def test_a_run_that_lived_for_a_minute_ends_the_row_however_it_ended() -> None:
    restarts = Restarts(most=1)
    restarts.run_began(0)
    assert restarts.run_lost(1) == 1.5
    restarts.run_began(2)
    restarts.run_over(61.9)
    assert restarts.in_a_row == 1
    restarts.run_began(70)
    restarts.run_over(130)  # in a turn, or as nobody used it
    assert restarts.in_a_row == 0
    restarts.run_began(140)
    assert restarts.run_lost(141) == 141.5


def test_a_run_that_never_served_has_lived_for_no_time() -> None:
    restarts = Restarts(most=2)
    restarts.run_began(0)
    assert restarts.run_lost(1) == 1.5
    assert restarts.run_lost(1000) == 1001
    assert restarts.run_lost(2000) is None


def test_without_restarts_not_even_a_run_that_lived_long_is_restarted() -> None:
    restarts = Restarts(most=0)
    restarts.run_began(0)
    assert restarts.run_lost(1000) is None
