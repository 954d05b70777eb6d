"""The memory store can be used by threads, keeps nothing of what left, and examines few values."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import ClassVar, TypeVar

import pytest

from acprelay.errors import Conflict, SessionExists
from acprelay.session import (
    MemoryStore,
    Session,
    SessionFilter,
    SessionKey,
    SessionSpec,
    SessionState,
    state_machine,
)

T = TypeVar("T")

THREADS = 8
CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState


def a_session(session_id: str, role: str = "main") -> Session:
    spec = SessionSpec(session_id=session_id, role=role, agent="coder", cwd="/repo")
    return state_machine.new_session(SessionKey(session_id, role), spec, run=1, now=1.0)


# --- threads


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let the interpreter switch threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(work: Callable[[int], Awaitable[T]]) -> list[T]:
    """Run the work in every thread at once, each with an event loop of its own."""
    start = Barrier(THREADS, timeout=30)

    async def once_all_are_there(number: int) -> T:
        start.wait()
        return await work(number)

    def run(number: int) -> T:
        return asyncio.run(once_all_are_there(number))

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS), timeout=60))


@pytest.mark.usefixtures("hasty_threads")
def test_no_update_of_a_thread_is_lost() -> None:
    store = MemoryStore()
    key = asyncio.run(store.insert(a_session("task"))).key

    async def count_up(_: int) -> None:
        for _ in range(200):
            while True:
                session = await store.get(key)
                assert session is not None
                busier = replace(session, messages_sent=session.messages_sent + 1)
                try:
                    await store.replace(busier, expected_revision=session.revision)
                except Conflict:
                    continue
                break

    in_threads(count_up)
    session = asyncio.run(store.get(key))
    assert session is not None
    assert session.messages_sent == THREADS * 200


@pytest.mark.usefixtures("hasty_threads")
def test_of_many_threads_that_insert_a_key_one_succeeds() -> None:
    store = MemoryStore()

    async def insert_all(_: int) -> int:
        inserted = 0
        for number in range(100):
            try:
                await store.insert(a_session(f"task-{number}"))
            except SessionExists:
                continue
            inserted += 1
        return inserted

    assert sum(in_threads(insert_all)) == 100
    assert asyncio.run(store.count()) == 100


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_come_and_go_leave_the_indexes_in_order() -> None:
    store = MemoryStore()

    async def come_and_go(number: int) -> None:
        for _ in range(50):
            session = await store.insert(a_session("group", f"role-{number}"))
            session = await store.replace(
                replace(session, state=SPAWNING), expected_revision=session.revision
            )
            listed = await store.list(SessionFilter(session_id="group"))
            assert session in listed
            assert len({other.key for other in listed}) == len(listed) <= THREADS
            assert sum((await store.state_counts()).values()) <= THREADS
            await store.remove(session, expected_revision=session.revision)

    in_threads(come_and_go)
    assert asyncio.run(store.list()) == []
    assert set(asyncio.run(store.state_counts()).values()) == {0}
    assert store._index == {}


# --- what it keeps, and what it looks at


async def test_nothing_is_kept_of_sessions_that_left() -> None:
    store = MemoryStore()
    for number in range(50):
        session = await store.insert(a_session(f"task-{number}"))
        await store.remove(session, expected_revision=session.revision)
    assert (store._sessions, store._index) == ({}, {})


class WatchedSession(Session):
    """A session that notes when anything of it is looked at."""

    __slots__ = ()
    watching: ClassVar[bool] = False
    examined: ClassVar[set[int]] = set()

    def __getattribute__(self, name: str) -> object:
        if WatchedSession.watching and name != "__class__":
            WatchedSession.examined.add(id(self))
        return super().__getattribute__(name)


def watched(session: Session) -> Session:
    fields = {name: getattr(session, name) for name in Session.__dataclass_fields__}
    return WatchedSession(**fields)


async def filled(stored: int) -> MemoryStore:
    """A store of groups of two, one of whose sessions is TERMINATING."""
    store = MemoryStore()
    for number in range(stored // 2):
        await store.insert(watched(a_session(f"task-{number}", "main")))
        await store.insert(watched(a_session(f"task-{number}", "db")))
    ending = replace(watched(a_session("ending")), state=TERMINATING)
    await store.insert(ending)
    return store


QUERIES: dict[str, tuple[Callable[[MemoryStore], Awaitable[object]], int]] = {
    "get": (lambda store: store.get(SessionKey("task-3", "db")), 0),
    "a group": (lambda store: store.list(SessionFilter(session_id="task-3")), 2),
    "no group": (lambda store: store.list(SessionFilter(session_id="nobody")), 0),
    "a state": (lambda store: store.list(SessionFilter(states=frozenset({TERMINATING}))), 1),
    "a role and a state": (
        lambda store: store.list(SessionFilter(role="main", states=frozenset({TERMINATING}))),
        1,
    ),
    "a group and a role": (
        lambda store: store.list(SessionFilter(session_id="task-3", role="db")),
        2,
    ),
    "count": (lambda store: store.count(), 0),
    "state counts": (lambda store: store.state_counts(), 0),
}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("stored", [10, 4_000])
async def test_the_values_examined_do_not_depend_on_how_many_are_stored(
    query: str, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, expected = QUERIES[query]
    store = await filled(stored)
    monkeypatch.setattr(WatchedSession, "examined", set())
    monkeypatch.setattr(WatchedSession, "watching", True)
    await ask(store)
    assert len(WatchedSession.examined) == expected


async def test_a_list_without_a_filter_examines_every_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = await filled(10)
    monkeypatch.setattr(WatchedSession, "examined", set())
    monkeypatch.setattr(WatchedSession, "watching", True)
    await store.list()
    assert len(WatchedSession.examined) == 11
