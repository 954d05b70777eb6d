"""Whatever is asked of the manager, in whatever order, it agrees with a plain dictionary."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from acprelay.errors import InvalidTransition, SessionExists, SessionNotFound
from acprelay.session import (
    Event,
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
    Session,
    SessionFilter,
    SessionKey,
    SessionSpec,
    SessionState,
)
from acprelay.testing.session import (
    FakeCleaner,
    FakeClock,
    FakeIds,
    FakeScheduler,
    RecordingHooks,
)

T = TypeVar("T")
CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState

KEYS = st.sampled_from([SessionKey("a", "main"), SessionKey("a", "db"), SessionKey("b", "db")])
AGENTS = st.sampled_from(["coder", "tester"])


@dataclass
class Expected:
    """What the reference remembers of a session."""

    run: int
    agent: str
    state: SessionState = CREATED
    attached: str | None = None
    received: int = 0
    sent: int = 0
    reason: str | None = None
    error: str | None = None


class ManagerAgreesWithADictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.expected: dict[SessionKey, Expected] = {}
        self.told: list[tuple[str, SessionKey, int]] = []
        self.cleaned: Counter[tuple[SessionKey, int]] = Counter()
        self.store = MemoryStore()
        self.registry = MemoryRegistry[str, str]()
        self.hooks = RecordingHooks()
        self.scheduler = FakeScheduler()
        self.cleaner = FakeCleaner()
        self.manager = LifecycleManager(
            store=self.store,
            registry=self.registry,
            clock=FakeClock(),
            ids=FakeIds(),
            cleaner=self.cleaner,
            scheduler=self.scheduler,
            hooks=self.hooks,
        )

    def teardown(self) -> None:
        self.runner.close()

    def run_(self, call: Coroutine[object, object, T]) -> T:
        return self.runner.run(call)

    def refused(self, call: Coroutine[object, object, object], error: type[Exception]) -> None:
        with pytest.raises(error):
            self.run_(call)

    def in_state(
        self, key: SessionKey, call: Coroutine[object, object, object], *states: SessionState
    ) -> Expected | None:
        """Make a call that is legal in some states; give what it concerns where it was legal."""
        entry = self.expected.get(key)
        if entry is None:
            self.refused(call, SessionNotFound)
        elif entry.state not in states:
            self.refused(call, InvalidTransition)
        else:
            self.run_(call)
            return entry
        return None

    @rule(key=KEYS, agent=AGENTS, run=st.integers(1, 2))
    def create(self, key: SessionKey, agent: str, run: int) -> None:
        spec = SessionSpec(session_id=key.session_id, role=key.role, agent=agent, cwd="/")
        if key in self.expected:
            self.refused(self.manager.create(spec, run=run), SessionExists)
            return
        assert self.run_(self.manager.create(spec, run=run)).spec == spec
        self.expected[key] = Expected(run=run, agent=agent)

    @rule(key=KEYS)
    def begin_spawn(self, key: SessionKey) -> None:
        entry = self.in_state(key, self.manager.begin_spawn(key), CREATED)
        if entry is not None:
            entry.state = SPAWNING

    @rule(key=KEYS, agent=AGENTS)
    def attach_agent(self, key: SessionKey, agent: str) -> None:
        before = self.expected.get(key)
        attached = before is not None and before.attached is not None
        legal = [] if attached else [SPAWNING]
        entry = self.in_state(key, self.manager.attach_agent(key, agent), *legal)
        if entry is not None:
            entry.attached = agent

    @rule(key=KEYS)
    def activate(self, key: SessionKey) -> None:
        entry = self.in_state(key, self.manager.activate(key), SPAWNING)
        if entry is not None:
            entry.state = ACTIVE
            self.told.append(("on_activate", key, entry.run))

    @rule(key=KEYS, received=st.integers(0, 5), sent=st.integers(0, 5))
    def record_heartbeat(self, key: SessionKey, received: int, sent: int) -> None:
        self.run_(self.manager.record_heartbeat(key, received=received, sent=sent))
        entry = self.expected.get(key)
        if entry is not None and not entry.state.is_ending:
            entry.received += received
            entry.sent += sent

    @rule(key=KEYS, reason=st.sampled_from(["closed", "idle"]))
    def mark_terminating(self, key: SessionKey, reason: str) -> None:
        call = self.manager.mark_terminating(key, reason=reason)
        entry = self.in_state(key, call, CREATED, SPAWNING, ACTIVE, TERMINATING)
        if entry is not None and entry.state is not TERMINATING:
            entry.state, entry.reason = TERMINATING, reason
            self.told.append(("on_terminate", key, entry.run))

    @rule(key=KEYS, calls=st.integers(1, 3))
    def complete_cleanup(self, key: SessionKey, calls: int) -> None:
        async def at_once() -> None:
            await asyncio.gather(*(self.manager.complete_cleanup(key) for _ in range(calls)))

        entry = self.expected.get(key)
        if entry is not None and entry.state is not TERMINATING:
            self.refused(self.manager.complete_cleanup(key), InvalidTransition)
            return
        self.run_(at_once())
        if entry is not None:
            self.cleaned[key, entry.run] += 1
            del self.expected[key]

    @rule(key=KEYS)
    def fail_to_clean_up(self, key: SessionKey) -> None:
        entry = self.expected.get(key)
        if entry is not None and entry.state is TERMINATING:
            self.cleaner.fail_with(OSError("busy"))
            self.refused(self.manager.complete_cleanup(key), OSError)
            entry.error = "OSError: busy"

    @rule(key=KEYS, agent=AGENTS)
    def live_in_short(self, key: SessionKey, agent: str) -> None:
        self.create(key, agent, 1)
        self.mark_terminating(key, "idle")
        self.complete_cleanup(key, 1)

    @rule()
    def run_what_is_scheduled(self) -> None:
        self.run_(self.scheduler.run())
        for key, entry in list(self.expected.items()):
            if entry.state is TERMINATING:
                self.cleaned[key, entry.run] += 1
                del self.expected[key]

    @invariant()
    def every_lookup_agrees(self) -> None:
        for session in self.run_(self.manager.list()):
            assert self.run_(self.manager.get(session.key)) == session
            assert self.run_(self.manager.get_by_role(session.session_id, session.role)) == session
        found = {session.key: _told_of(session) for session in self.run_(self.manager.list())}
        assert found == {key: _told_by(entry) for key, entry in self.expected.items()}

    @invariant()
    def every_list_agrees(self) -> None:
        for wanted in (
            SessionFilter(session_id="a"),
            SessionFilter(role="db", agent="coder"),
            SessionFilter(states=frozenset({CREATED, TERMINATING})),
        ):
            listed = self.run_(self.manager.list(wanted))
            everything = self.run_(self.manager.list())
            matching = {session.key for session in everything if wanted.matches(session)}
            assert {session.key for session in listed} == matching

    @invariant()
    def the_counts_agree(self) -> None:
        states = [entry.state for entry in self.expected.values()]
        assert self.run_(self.manager.count()) == len(states)
        counts = self.run_(self.manager.state_counts())
        assert counts == {state: states.count(state) for state in SessionState}

    @invariant()
    def the_handles_agree(self) -> None:
        held = {}
        for key in self.registry:
            handle = self.registry.get(key)
            assert handle is not None
            held[key] = handle.agent
        assert held == {key: entry.attached for key, entry in self.expected.items()}

    @invariant()
    def the_collaborators_were_told_once(self) -> None:
        calls = [(name, session.key, session.run) for name, session in self.hooks.calls]
        assert calls == self.told
        ended = [(key, run) for name, key, run in self.told if name == "on_terminate"]
        assert [entry.key for entry in self.scheduler.scheduled] == [key for key, _ in ended]
        cleaned = Counter((session.key, session.run) for session in self.cleaner.cleaned)
        assert cleaned == self.cleaned


def _told_of(session: Session) -> tuple[object, ...]:
    return (
        session.run,
        session.spec.agent,
        session.state,
        session.attached_at is not None,
        session.messages_received,
        session.messages_sent,
        session.reason,
        session.error,
    )


def _told_by(entry: Expected) -> tuple[object, ...]:
    return (
        entry.run,
        entry.agent,
        entry.state,
        entry.attached is not None,
        entry.received,
        entry.sent,
        entry.reason,
        entry.error,
    )


TestManagerAgreesWithADictionary = ManagerAgreesWithADictionary.TestCase
TestManagerAgreesWithADictionary.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)


def test_every_event_has_a_rule() -> None:
    rules = {
        Event.SPAWN: ManagerAgreesWithADictionary.begin_spawn,
        Event.ACTIVATE: ManagerAgreesWithADictionary.activate,
        Event.TERMINATE: ManagerAgreesWithADictionary.mark_terminating,
        Event.CLEAN: ManagerAgreesWithADictionary.complete_cleanup,
    }
    assert set(rules) == set(Event)
