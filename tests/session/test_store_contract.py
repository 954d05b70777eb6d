"""What every session store promises, checked against each of them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest

from acprelay.errors import Conflict, SessionExists
from acprelay.session import (
    MemoryStore,
    Session,
    SessionFilter,
    SessionKey,
    SessionSpec,
    SessionState,
    SessionStore,
)
from acprelay.session.state_machine import new_session
from acprelay.testing.session import YieldingStore

CREATED, SPAWNING, ACTIVE, TERMINATING, CLEANED = SessionState

STORES: dict[str, Callable[[], SessionStore]] = {
    "memory": MemoryStore,
    "yielding": lambda: YieldingStore(MemoryStore(), random=Random(1)),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> SessionStore:
    return STORES[str(request.param)]()


def a_session(
    session_id: str = "task", role: str = "main", agent: str = "coder", *, run: int = 1
) -> Session:
    spec = SessionSpec(session_id=session_id, role=role, agent=agent, cwd="/repo")
    return new_session(SessionKey(session_id, role), spec, run=run, now=1.0)


async def test_an_inserted_value_is_stored_with_a_revision(store: SessionStore) -> None:
    session = a_session()
    stored = await store.insert(session)
    assert stored == replace(session, revision=stored.revision)
    assert await store.get(session.key) == stored


async def test_a_key_without_a_value_gives_none(store: SessionStore) -> None:
    await store.insert(a_session())
    assert await store.get(SessionKey("task", "db")) is None


async def test_a_key_holds_one_value(store: SessionStore) -> None:
    first = await store.insert(a_session())
    with pytest.raises(SessionExists, match="'task:main'"):
        await store.insert(a_session(agent="tester"))
    assert await store.list() == [first]


async def test_a_value_is_replaced_where_it_is_the_one_that_was_read(store: SessionStore) -> None:
    first = await store.insert(a_session())
    changed = replace(first, state=SPAWNING)
    stored = await store.replace(changed, expected_revision=first.revision)
    assert stored == replace(changed, revision=stored.revision)
    assert stored.revision != first.revision
    assert await store.get(first.key) == stored


async def test_a_value_that_was_replaced_meanwhile_is_not_replaced_again(
    store: SessionStore,
) -> None:
    first = await store.insert(a_session())
    winner = await store.replace(replace(first, state=SPAWNING), expected_revision=first.revision)
    with pytest.raises(Conflict) as lost:
        await store.replace(replace(first, state=TERMINATING), expected_revision=first.revision)
    assert lost.value.fields == {
        "key": "task:main",
        "expected": first.revision,
        "found": winner.revision,
    }
    assert await store.get(first.key) == winner


async def test_what_is_not_there_cannot_be_replaced(store: SessionStore) -> None:
    with pytest.raises(Conflict) as lost:
        await store.replace(a_session(), expected_revision=1)
    assert lost.value.fields["found"] is None
    assert await store.count() == 0


async def test_a_removed_value_is_gone(store: SessionStore) -> None:
    first = await store.insert(a_session())
    last = await store.remove(replace(first, state=CLEANED), expected_revision=first.revision)
    assert last.state is CLEANED
    assert last.revision != first.revision
    assert await store.get(first.key) is None
    assert await store.list() == []


async def test_a_value_that_was_replaced_meanwhile_is_not_removed(store: SessionStore) -> None:
    first = await store.insert(a_session())
    winner = await store.replace(replace(first, state=SPAWNING), expected_revision=first.revision)
    with pytest.raises(Conflict):
        await store.remove(first, expected_revision=first.revision)
    assert await store.list() == [winner]


async def test_what_is_not_there_cannot_be_removed(store: SessionStore) -> None:
    with pytest.raises(Conflict):
        await store.remove(a_session(), expected_revision=1)


async def test_no_revision_of_a_key_ever_comes_back(store: SessionStore) -> None:
    seen: list[int] = []
    for run in (1, 2, 3):
        session = await store.insert(a_session(run=run))
        seen.append(session.revision)
        for _ in range(3):
            session = await store.replace(session, expected_revision=session.revision)
            seen.append(session.revision)
        seen.append((await store.remove(session, expected_revision=session.revision)).revision)
    assert len(seen) == len(set(seen)) == 15


async def test_a_reader_of_an_earlier_run_cannot_overwrite_the_next(store: SessionStore) -> None:
    first = await store.insert(a_session(run=1))
    await store.remove(first, expected_revision=first.revision)
    second = await store.insert(a_session(run=2))
    with pytest.raises(Conflict):
        await store.replace(first, expected_revision=first.revision)
    assert await store.get(first.key) == second


GROUP = [
    a_session("one", "main", "coder"),
    a_session("one", "db", "tester"),
    a_session("two", "main", "coder"),
    a_session("two", "auth", "coder"),
    a_session("three", "main", "tester"),
]
FILTERS = [
    None,
    SessionFilter(),
    SessionFilter(session_id="one"),
    SessionFilter(session_id="nobody"),
    SessionFilter(role="main"),
    SessionFilter(role="nobody"),
    SessionFilter(agent="tester"),
    SessionFilter(agent="nobody"),
    SessionFilter(states=frozenset({SPAWNING})),
    SessionFilter(states=frozenset({CREATED, SPAWNING})),
    SessionFilter(states=frozenset({ACTIVE})),
    SessionFilter(states=frozenset()),
    SessionFilter(session_id="one", role="db"),
    SessionFilter(session_id="two", agent="coder", states=frozenset({SPAWNING})),
    SessionFilter(session_id="one", role="main", agent="tester"),
]


@pytest.mark.parametrize("wanted", FILTERS)
async def test_a_list_is_what_the_filter_matches(
    store: SessionStore, wanted: SessionFilter | None
) -> None:
    stored = [await store.insert(session) for session in GROUP]
    for index in (0, 3):
        changed = replace(stored[index], state=SPAWNING)
        stored[index] = await store.replace(changed, expected_revision=changed.revision)
    listed = await store.list(wanted)
    matching = [session for session in stored if wanted is None or wanted.matches(session)]
    assert sorted(listed, key=_key) == sorted(matching, key=_key)


def _key(session: Session) -> SessionKey:
    return session.key


async def test_a_list_follows_what_is_replaced_and_removed(store: SessionStore) -> None:
    session = await store.insert(a_session())
    group, created = SessionFilter(session_id="task"), SessionFilter(states=frozenset({CREATED}))
    session = await store.replace(
        replace(session, state=ACTIVE), expected_revision=session.revision
    )
    assert (await store.list(group), await store.list(created)) == ([session], [])
    await store.remove(session, expected_revision=session.revision)
    assert await store.list(group) == []


async def test_a_list_that_was_given_does_not_change(store: SessionStore) -> None:
    session = await store.insert(a_session())
    listed = await store.list()
    await store.remove(session, expected_revision=session.revision)
    assert listed == [session]


async def test_counts_are_of_what_is_stored(store: SessionStore) -> None:
    nothing = dict.fromkeys(SessionState, 0)
    assert (await store.count(), await store.state_counts()) == (0, nothing)
    stored = [await store.insert(session) for session in GROUP]
    first = await store.replace(
        replace(stored[0], state=ACTIVE), expected_revision=stored[0].revision
    )
    assert await store.count() == 5
    assert await store.state_counts() == nothing | {CREATED: 4, ACTIVE: 1}
    await store.remove(first, expected_revision=first.revision)
    assert await store.count() == 4
    assert await store.state_counts() == nothing | {CREATED: 4}


@pytest.mark.parametrize(
    "refused",
    [
        lambda store: store.insert(a_session()),
        lambda store: store.replace(a_session(), expected_revision=-1),
        lambda store: store.remove(a_session(), expected_revision=-1),
    ],
    ids=["insert", "replace", "remove"],
)
async def test_a_write_that_is_refused_changes_nothing(
    store: SessionStore, refused: Callable[[SessionStore], Awaitable[Session]]
) -> None:
    session = await store.insert(a_session())
    with pytest.raises((SessionExists, Conflict)):
        await refused(store)
    assert await store.get(session.key) == session
    assert await store.list(SessionFilter(session_id="task")) == [session]
    assert (await store.state_counts())[CREATED] == 1
