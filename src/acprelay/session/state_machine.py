"""The lifecycle of a session: a table, and pure functions that apply it to a value.

A session only moves forward, along one road with two early exits:

```
CREATED      --SPAWN-->      SPAWNING
CREATED      --TERMINATE-->  TERMINATING    an early cancel: nothing was started
SPAWNING     --ACTIVATE-->   ACTIVE
SPAWNING     --TERMINATE-->  TERMINATING    the spawn failed, or was cancelled
ACTIVE       --TERMINATE-->  TERMINATING
TERMINATING  --TERMINATE-->  TERMINATING    no change: whoever comes second finds it done
TERMINATING  --CLEAN-->      CLEANED        terminal: the session leaves the store
```

Everything else is an `InvalidTransition`. Three facts follow from the table, and the rest of the
package leans on them: from every state but the last, one TERMINATE leads to TERMINATING, so an end
can be asked for at any instant; nothing leads out of TERMINATING but CLEAN, so what a cleaner sees
there cannot come alive again; and the only event that may be repeated is TERMINATE, because ends
are asked for by many (a client, an exit, a timer, a shutdown) who do not know of each other.

Two things happen to a session without moving it: its agent is attached, which only SPAWNING
permits and only once, and a heartbeat is recorded, which an ending session ignores.

The table and the functions are the state machine: it has no state of its own, hence no object. A
function takes a `Session` and the time and gives a new `Session`, or the very same one where
nothing changes. This module does not know of stores, revisions, hooks or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from acprelay.errors import InvalidTransition
from acprelay.session.models import Session, SessionKey, SessionSpec, SessionState

Rule: TypeAlias = Callable[[Session, float], Session]
"""Takes a session and the time, and gives the session that follows."""

_ATTACH_AGENT: Final = "ATTACH_AGENT"


class Event(StrEnum):
    """What moves a session."""

    SPAWN = "SPAWN"
    ACTIVATE = "ACTIVATE"
    TERMINATE = "TERMINATE"
    CLEAN = "CLEAN"


TRANSITIONS: Final[Mapping[tuple[SessionState, Event], SessionState]] = MappingProxyType(
    {
        (SessionState.CREATED, Event.SPAWN): SessionState.SPAWNING,
        (SessionState.CREATED, Event.TERMINATE): SessionState.TERMINATING,
        (SessionState.SPAWNING, Event.ACTIVATE): SessionState.ACTIVE,
        (SessionState.SPAWNING, Event.TERMINATE): SessionState.TERMINATING,
        (SessionState.ACTIVE, Event.TERMINATE): SessionState.TERMINATING,
        (SessionState.TERMINATING, Event.TERMINATE): SessionState.TERMINATING,
        (SessionState.TERMINATING, Event.CLEAN): SessionState.CLEANED,
    }
)


def next_state(
    current: SessionState, event: Event, *, key: SessionKey | None = None
) -> SessionState:
    """Tell the state that follows.

    Args:
        current: The state now.
        event: What happens.
        key: Whose state it is, for the error's message.

    Raises:
        InvalidTransition: The lifecycle has no such step.
    """
    try:
        return TRANSITIONS[current, event]
    except KeyError:
        raise _refusal(current, event, key) from None


def can_transition(current: SessionState, event: Event) -> bool:
    """Whether the lifecycle has a step for the event."""
    return (current, event) in TRANSITIONS


def legal_events(current: SessionState) -> frozenset[Event]:
    """Tell the events that the lifecycle has a step for."""
    return frozenset(event for event in Event if can_transition(current, event))


def new_session(key: SessionKey, spec: SessionSpec, *, run: int, now: float) -> Session:
    """Make a session at the start of its life.

    Raises:
        ValueError: The run is not counted from 1.
    """
    if run < 1:
        raise ValueError(f"cannot number a run {run}: runs are counted from 1")
    return Session(key=key, run=run, state=SessionState.CREATED, spec=spec, created_at=now)


def begin_spawn(session: Session, now: float) -> Session:
    """CREATED → SPAWNING."""
    return replace(session, state=_after(session, Event.SPAWN), spawning_at=now)


def attach_agent(session: Session, now: float) -> Session:
    """Record that the agent is attached: while SPAWNING, and once.

    It leaves a trace in the value so that it is ordered among the changes of the session: either it
    comes before TERMINATE, and the cleaner finds the agent, or it comes after and is refused.
    """
    if session.state is not SessionState.SPAWNING or session.attached_at is not None:
        raise _refusal(session.state, _ATTACH_AGENT, session.key)
    return replace(session, attached_at=now)


def activate(session: Session, now: float) -> Session:
    """SPAWNING → ACTIVE."""
    return replace(session, state=_after(session, Event.ACTIVATE), activated_at=now)


def heartbeat(session: Session, now: float, *, received: int, sent: int) -> Session:
    """Count messages and note that the session was heard of; an ending session stays as it is.

    Args:
        session: The session.
        now: The time.
        received: Messages from the agent since the last heartbeat.
        sent: Messages to the agent since the last heartbeat.

    Raises:
        ValueError: A count is negative.
    """
    if received < 0 or sent < 0:
        raise ValueError(f"cannot count {received} received and {sent} sent messages")
    if session.state.is_ending:
        return session
    return replace(
        session,
        messages_received=session.messages_received + received,
        messages_sent=session.messages_sent + sent,
        last_heartbeat_at=now,
    )


def terminate(session: Session, now: float, *, reason: str) -> Session:
    """Any state but CLEANED → TERMINATING; the first reason stays."""
    state = _after(session, Event.TERMINATE)
    if state is session.state:
        return session
    return replace(session, state=state, terminating_at=now, reason=reason)


def cleanup_failed(session: Session, now: float, *, error: str) -> Session:
    """Note what a cleaner said; the session stays TERMINATING, for the next cleaner to try."""
    _after(session, Event.CLEAN)
    return replace(session, cleanup_failed_at=now, error=error)


def clean(session: Session, now: float) -> Session:
    """TERMINATING → CLEANED."""
    return replace(session, state=_after(session, Event.CLEAN), cleaned_at=now)


def _after(session: Session, event: Event) -> SessionState:
    return next_state(session.state, event, key=session.key)


def _refusal(state: SessionState, event: str, key: SessionKey | None) -> InvalidTransition:
    return InvalidTransition(
        state=str(state), event=str(event), key=None if key is None else str(key)
    )
