"""The lifecycle is a table, and pure functions that follow it."""

import re
from dataclasses import fields, replace
from functools import partial
from itertools import product

import pytest

from acprelay.errors import InvalidTransition
from acprelay.session import (
    TRANSITIONS,
    Event,
    Session,
    SessionKey,
    SessionSpec,
    SessionState,
    can_transition,
    legal_events,
    next_state,
    state_machine,
)

CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState
SPAWN, ACTIVATE, TERMINATE, CLEAN = Event

LEGAL = {
    (CREATED, SPAWN): SPAWNING,
    (CREATED, TERMINATE): TERMINATING,
    (SPAWNING, ACTIVATE): ACTIVE,
    (SPAWNING, TERMINATE): TERMINATING,
    (ACTIVE, TERMINATE): TERMINATING,
    (TERMINATING, TERMINATE): TERMINATING,
    (TERMINATING, CLEAN): CLEANED,
}
ILLEGAL = [pair for pair in product(SessionState, Event) if pair not in LEGAL]

KEY = SessionKey("task", "main")
SPEC = SessionSpec(session_id="task", agent="coder", cwd="/repo")

RULES: dict[Event, state_machine.Rule] = {
    SPAWN: state_machine.begin_spawn,
    ACTIVATE: state_machine.activate,
    TERMINATE: partial(state_machine.terminate, reason="asked"),
    CLEAN: state_machine.clean,
}


def session_in(state: SessionState) -> Session:
    return replace(state_machine.new_session(KEY, SPEC, run=1, now=1.0), state=state)


@pytest.mark.parametrize(("current", "event"), LEGAL)
def test_a_legal_event_leads_to_the_next_state(current: SessionState, event: Event) -> None:
    assert next_state(current, event) is LEGAL[current, event]
    assert can_transition(current, event)


@pytest.mark.parametrize(("current", "event"), ILLEGAL)
def test_an_illegal_event_is_refused(current: SessionState, event: Event) -> None:
    with pytest.raises(InvalidTransition) as refused:
        next_state(current, event)
    assert (refused.value.state, refused.value.event) == (str(current), str(event))
    assert not can_transition(current, event)


def test_the_cases_of_these_tables_are_all_there_are() -> None:
    assert len(LEGAL) + len(ILLEGAL) == len(SessionState) * len(Event)
    assert dict(TRANSITIONS) == LEGAL


def test_no_event_leads_back_to_created() -> None:
    assert CREATED not in TRANSITIONS.values()


def test_an_active_session_cannot_become_created_again() -> None:
    reachable = {next_state(ACTIVE, event) for event in legal_events(ACTIVE)}
    assert reachable == {TERMINATING}


def test_nothing_follows_cleaned() -> None:
    assert legal_events(CLEANED) == frozenset()


def test_every_state_but_the_last_can_be_terminated() -> None:
    assert all(TERMINATE in legal_events(state) for state in SessionState if state is not CLEANED)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[ACTIVE, SPAWN] = CREATED  # type: ignore[index]


def test_the_diagram_of_the_documentation_is_the_table() -> None:
    arrows = re.findall(r"^(\w+) +--(\w+)--> +(\w+)", state_machine.__doc__ or "", re.MULTILINE)
    drawn = {(SessionState(a), Event(event)): SessionState(b) for a, event, b in arrows}
    assert len(arrows) == len(drawn)
    assert drawn == LEGAL


def test_a_refusal_names_the_session_it_is_about() -> None:
    with pytest.raises(InvalidTransition, match="'task:main' in state CLEANED"):
        next_state(CLEANED, CLEAN, key=KEY)


@pytest.mark.parametrize(("current", "event"), LEGAL)
def test_a_rule_gives_a_new_value_and_leaves_the_old_one(
    current: SessionState, event: Event
) -> None:
    before = session_in(current)
    kept = replace(before)
    after = RULES[event](before, 9.0)
    assert after.state is LEGAL[current, event]
    assert before == kept


@pytest.mark.parametrize(("current", "event"), ILLEGAL)
def test_a_rule_refuses_what_the_table_refuses(current: SessionState, event: Event) -> None:
    with pytest.raises(InvalidTransition, match="'task:main'"):
        RULES[event](session_in(current), 9.0)


@pytest.mark.parametrize(
    ("current", "event", "field"),
    [
        (CREATED, SPAWN, "spawning_at"),
        (SPAWNING, ACTIVATE, "activated_at"),
        (ACTIVE, TERMINATE, "terminating_at"),
        (TERMINATING, CLEAN, "cleaned_at"),
    ],
)
def test_a_rule_notes_the_time_it_is_given_and_changes_nothing_else(
    current: SessionState, event: Event, field: str
) -> None:
    before = session_in(current)
    after = RULES[event](before, 9.0)
    assert getattr(after, field) == 9.0
    names = {each.name for each in fields(Session)}
    changed = {name for name in names if getattr(after, name) != getattr(before, name)}
    assert changed == {"state", field} | ({"reason"} if event is TERMINATE else set())


def test_a_new_session_is_created_and_has_met_nothing() -> None:
    session = state_machine.new_session(KEY, SPEC, run=3, now=5.0)
    assert session == Session(key=KEY, run=3, state=CREATED, spec=SPEC, created_at=5.0)


@pytest.mark.parametrize("run", [0, -1])
def test_runs_are_counted_from_one(run: int) -> None:
    with pytest.raises(ValueError, match="cannot number a run"):
        state_machine.new_session(KEY, SPEC, run=run, now=5.0)


def test_an_agent_is_attached_while_spawning() -> None:
    spawning = session_in(SPAWNING)
    assert state_machine.attach_agent(spawning, 9.0) == replace(spawning, attached_at=9.0)


@pytest.mark.parametrize("state", [state for state in SessionState if state is not SPAWNING])
def test_an_agent_is_attached_in_no_other_state(state: SessionState) -> None:
    with pytest.raises(InvalidTransition, match="ATTACH_AGENT"):
        state_machine.attach_agent(session_in(state), 9.0)


def test_a_second_agent_is_refused() -> None:
    attached = state_machine.attach_agent(session_in(SPAWNING), 9.0)
    with pytest.raises(InvalidTransition, match="ATTACH_AGENT"):
        state_machine.attach_agent(attached, 10.0)


@pytest.mark.parametrize("state", [CREATED, SPAWNING, ACTIVE])
def test_heartbeats_add_up(state: SessionState) -> None:
    once = state_machine.heartbeat(session_in(state), 9.0, received=2, sent=1)
    twice = state_machine.heartbeat(once, 10.0, received=3, sent=0)
    assert (twice.messages_received, twice.messages_sent) == (5, 1)
    assert twice.last_heartbeat_at == 10.0
    assert twice.state is state


@pytest.mark.parametrize("state", [TERMINATING, CLEANED])
def test_a_heartbeat_of_an_ending_session_changes_nothing(state: SessionState) -> None:
    ending = session_in(state)
    assert state_machine.heartbeat(ending, 9.0, received=2, sent=1) is ending


@pytest.mark.parametrize(("received", "sent"), [(-1, 0), (0, -1)])
def test_messages_cannot_be_taken_back(received: int, sent: int) -> None:
    with pytest.raises(ValueError, match="cannot count"):
        state_machine.heartbeat(session_in(ACTIVE), 9.0, received=received, sent=sent)


def test_the_first_reason_to_terminate_stays() -> None:
    first = state_machine.terminate(session_in(ACTIVE), 9.0, reason="closed")
    assert state_machine.terminate(first, 10.0, reason="shut down") is first
    assert (first.reason, first.terminating_at) == ("closed", 9.0)


def test_a_failed_cleanup_leaves_the_session_terminating_with_the_error_on_it() -> None:
    terminating = session_in(TERMINATING)
    failed = state_machine.cleanup_failed(terminating, 9.0, error="busy")
    assert failed == replace(terminating, cleanup_failed_at=9.0, error="busy")


@pytest.mark.parametrize("state", [state for state in SessionState if state is not TERMINATING])
def test_a_cleanup_fails_in_no_other_state(state: SessionState) -> None:
    with pytest.raises(InvalidTransition):
        state_machine.cleanup_failed(session_in(state), 9.0, error="busy")
