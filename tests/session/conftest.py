"""A manager over real memory and programmable collaborators, for all tests of the package."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from acprelay.session import (
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
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


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def registry() -> MemoryRegistry[str, str]:
    return MemoryRegistry()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ids() -> FakeIds:
    return FakeIds()


@pytest.fixture
async def cleaner() -> FakeCleaner:
    return FakeCleaner()


@pytest.fixture
def scheduler() -> FakeScheduler:
    return FakeScheduler()


@pytest.fixture
def hooks() -> RecordingHooks:
    return RecordingHooks()


@pytest.fixture(params=[True, False], ids=["store-may-wait", "store-never-waits"])
def store_waits(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def manager(  # noqa: PLR0917 - pytest passes fixtures by name
    store: MemoryStore,
    registry: MemoryRegistry[str, str],
    clock: FakeClock,
    ids: FakeIds,
    cleaner: FakeCleaner,
    scheduler: FakeScheduler,
    hooks: RecordingHooks,
    store_waits: bool,
) -> AsyncIterator[LifecycleManager[str, str]]:
    async with LifecycleManager(
        store=store,
        registry=registry,
        clock=clock,
        ids=ids,
        cleaner=cleaner,
        scheduler=scheduler,
        hooks=hooks,
        store_waits=store_waits,
    ) as manager:
        yield manager


@pytest.fixture
def spec() -> SessionSpec:
    return SessionSpec(session_id="task", role="main", agent="coder", cwd="/repo")


@pytest.fixture
def drive(
    manager: LifecycleManager[str, str], spec: SessionSpec
) -> Callable[[SessionState], Awaitable[SessionKey]]:
    """Create the session and bring it to a state; the agent is attached on the way to ACTIVE."""

    async def to(state: SessionState) -> SessionKey:
        key = (await manager.create(spec)).key
        if state in (SessionState.SPAWNING, SessionState.ACTIVE):
            await manager.begin_spawn(key)
        if state is SessionState.ACTIVE:
            await manager.attach_agent(key, "agent")
            await manager.activate(key)
        if state.is_ending:
            await manager.mark_terminating(key, reason="driven there")
        if state.is_terminal:
            await manager.complete_cleanup(key)
        return key

    return to
