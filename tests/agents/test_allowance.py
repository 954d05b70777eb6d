"""How much may wait for an agent that does not read."""

from __future__ import annotations

import pytest

from acprelay.agents.allowance import Allowance
from acprelay.errors import AgentBackedUp


@pytest.fixture
def allowance() -> Allowance:
    return Allowance(agent="test", limit=100)


def test_while_nothing_waits_anything_may_be_sent(allowance: Allowance) -> None:
    for is_owed in (False, True):
        allowance.check(1000, waiting=0, is_owed=is_owed)


def test_up_to_the_limit_anything_is_taken_and_then_only_what_is_owed(allowance: Allowance) -> None:
    allowance.check(50, waiting=50, is_owed=False)
    with pytest.raises(AgentBackedUp, match="100 bytes wait"):
        allowance.check(1, waiting=100, is_owed=False)
    allowance.check(1, waiting=100, is_owed=True)


@pytest.mark.requirement("processes.asking-without-reading-ends")
def test_what_is_owed_has_a_limit_of_its_own(allowance: Allowance) -> None:
    allowance.check(60, waiting=1000, is_owed=True)
    allowance.check(40, waiting=1060, is_owed=True)
    with pytest.raises(AgentBackedUp):
        allowance.check(1, waiting=1100, is_owed=True)


def test_an_answer_over_the_limit_is_not_held_against_an_agent_that_was_owed_less(
    allowance: Allowance,
) -> None:
    allowance.check(10, waiting=0, is_owed=False)
    allowance.check(90, waiting=10, is_owed=True)
    allowance.check(1000, waiting=100, is_owed=True)
    with pytest.raises(AgentBackedUp):
        allowance.check(1, waiting=1100, is_owed=True)


def test_an_agent_that_reads_is_owed_as_much_again(allowance: Allowance) -> None:
    allowance.check(100, waiting=1000, is_owed=True)
    allowance.check(75, waiting=25, is_owed=True)  # of the 100, no more than 25 can wait
    with pytest.raises(AgentBackedUp):
        allowance.check(1, waiting=100, is_owed=True)


def test_what_was_owed_to_one_that_reads_all_the_time_is_forgotten(allowance: Allowance) -> None:
    for _ in range(50):
        allowance.check(90, waiting=5, is_owed=True)
    allowance.check(5, waiting=1000, is_owed=True)
