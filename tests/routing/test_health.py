"""What can be the matter with a run, and when that is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.health import Condition, HealthWatch, Observation

STALLED, SILENT = Condition.STDIN_STALLED, Condition.SILENT_IN_TURN


@pytest.fixture
def watch() -> HealthWatch:
    return HealthWatch(stall_s=30, silence_s=300)


def seen(
    now: float, *, output: float = 0.0, waits_since: float | None = None, expected: bool = True
) -> Observation:
    return Observation(
        now=now, last_output_at=output, input_waits_since=waits_since, is_expected=expected
    )


def told(watch: HealthWatch, *observations: Observation) -> list[tuple[float, str, bool]]:
    """When what was told: the moment, the condition, and whether it began."""
    return [
        (each.now, str(change.condition), change.began)
        for each in observations
        for change in watch.observe(each)
    ]


@pytest.mark.requirement("supervision.stalled-input-is-told")
def test_input_that_waits_untouched_is_told_once_and_once_when_it_is_read(
    watch: HealthWatch,
) -> None:
    quiet = {"expected": False}
    assert told(
        watch,
        seen(10, waits_since=5, **quiet),
        seen(34.9, waits_since=5, **quiet),
        seen(35, waits_since=5, **quiet),
        seen(36, waits_since=5, **quiet),
        seen(37, waits_since=36.5, **quiet),  # it has read some of it
        seen(66.4, waits_since=36.5, **quiet),
        seen(66.5, waits_since=36.5, **quiet),
        seen(67, **quiet),
        seen(68, **quiet),
    ) == [
        (35, "stdin-stalled", True),
        (37, "stdin-stalled", False),
        (66.5, "stdin-stalled", True),
        (67, "stdin-stalled", False),
    ]


@pytest.mark.requirement("supervision.silence-is-told")
def test_silence_in_a_turn_is_told_once_and_once_when_it_ends(watch: HealthWatch) -> None:
    assert told(
        watch,
        seen(1000, output=1, expected=False),  # silent, and nothing is expected of it
        seen(2000, output=1),  # the turn begins
        seen(2299.9, output=1),
        seen(2300, output=1),
        seen(2301, output=1),
        seen(2302, output=2301.5),
        seen(2303, output=2301.5),
    ) == [(2300, "silent-in-turn", True), (2302, "silent-in-turn", False)]


def test_an_agent_that_waits_for_an_answer_is_not_silent_and_its_time_begins_with_it(
    watch: HealthWatch,
) -> None:
    assert told(
        watch,
        seen(0),
        seen(200, output=100),
        seen(300, output=100, expected=False),  # it asks
        seen(5000, output=100, expected=False),
        seen(5001, output=100),  # it is answered
        seen(5300, output=100),
        seen(5301, output=100),
        seen(5302, output=100, expected=False),  # the turn ends
    ) == [(5301, "silent-in-turn", True), (5302, "silent-in-turn", False)]


def test_conditions_are_listed_in_the_order_in_which_they_began(watch: HealthWatch) -> None:
    assert list(watch.conditions) == []
    watch.observe(seen(0))
    watch.observe(seen(300))
    watch.observe(seen(330, waits_since=300))
    assert list(watch.conditions) == [SILENT, STALLED]


def test_every_condition_ends_with_the_run(watch: HealthWatch) -> None:
    watch.observe(seen(0))
    watch.observe(seen(300, waits_since=0))
    ended = watch.run_over(305)
    assert {(change.condition, change.began, change.lasted_s) for change in ended} == {
        (STALLED, False, 305),
        (SILENT, False, 305),
    }
    assert watch.conditions == ()
    assert watch.run_over(306) == []
    assert watch.observe(seen(310)) == []  # the next run's time begins now


@pytest.mark.parametrize(
    ("condition", "words"),
    [(STALLED, "cannot get through to agent 'coder'"), (SILENT, "cannot hear agent 'coder'")],
)
def test_a_notice_says_what_it_is_for_people_and_for_programs(
    watch: HealthWatch, condition: Condition, words: str
) -> None:
    watch.observe(seen(0, waits_since=0))
    begun = {change.condition: change for change in watch.observe(seen(300, waits_since=0))}
    fields = begun[condition].fields("coder")
    message = str(fields.pop("message"))
    assert words in message
    assert "300 s" in message
    assert not message.endswith(".")
    assert fields == {
        "code": "agent_health",
        "retryable": False,
        "hint": "wait, or cancel the turn; nothing is ended because of this",
        "agent": "coder",
        "condition": str(condition),
        "state": "began",
        "lastedS": 300.0,
    }
    over = {change.condition: change for change in watch.run_over(312.34)}
    fields = over[condition].fields("coder")
    assert (fields["state"], fields["lastedS"], fields["hint"]) == ("ended", 312.3, "")
    assert "agent 'coder'" in str(fields["message"])


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 200),
            st.booleans(),
            st.booleans(),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_is_seen_beginnings_and_ends_take_turns(
    steps: list[tuple[float, bool, bool, bool]],
) -> None:
    watch = HealthWatch(stall_s=30, silence_s=300)
    now, output, waits_since, holding = 0.0, 0.0, None, set[Condition]()
    for seconds, speaks, waits, expected in steps:
        now += seconds
        output = now if speaks else output
        waits_since = (now if waits_since is None else waits_since) if waits else None
        changes = watch.observe(
            seen(now, output=output, waits_since=waits_since, expected=expected)
        )
        for change in changes:
            assert (change.condition in holding) is not change.began
            holding ^= {change.condition}
        assert set(watch.conditions) == holding
