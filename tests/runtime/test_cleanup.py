"""What is done to clean up a session, and how often it is tried."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import AgentError, RelayError
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.background import Background
from acprelay.runtime.cleanup import AgentCleaner, BackgroundCleanupScheduler, CleanerChain
from acprelay.session.models import Handle, Session, SessionKey, SessionSpec, SessionState
from acprelay.session.registry_memory import MemoryRegistry
from acprelay.testing.feed import memory_feed
from acprelay.testing.session import FakeCleaner

if TYPE_CHECKING:
    from tests.runtime.conftest import World

KEY = SessionKey("task", "main")
ATTEMPTS = 3


class FakeCleanup:
    """Fails as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.calls = 0
        self._errors = list(errors)

    async def __call__(self) -> None:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)


async def run(cleanup: FakeCleanup) -> None:
    async with Background() as background:
        scheduler = BackgroundCleanupScheduler(
            background=background, feed=memory_feed(), retry_after_s=(0,) * (ATTEMPTS - 1)
        )
        scheduler.schedule(KEY, cleanup)
        [task] = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait({task})


# --- when


async def test_a_cleanup_that_succeeds_runs_once() -> None:
    cleanup = FakeCleanup()
    await run(cleanup)
    assert cleanup.calls == 1


@pytest.mark.parametrize("error", [AgentError("cannot end it"), OSError("no processes to read")])
async def test_a_cleanup_that_failed_is_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cleanup = FakeCleanup(error, error)
    await run(cleanup)
    assert cleanup.calls == 3
    told = f"cannot clean up session task:main: {error}; trying again in 0 s"
    assert caplog.text.count(told) == 2
    assert ("Traceback" in caplog.text) is not isinstance(error, RelayError)


async def test_a_cleanup_that_always_fails_is_given_up_with_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cleanup = FakeCleanup(*[AgentError("cannot end it")] * 10)
    await run(cleanup)
    assert cleanup.calls == ATTEMPTS
    assert "cannot finish: cleanup of task:main" in caplog.text


async def test_waiting_for_the_next_attempt_ends_with_the_relay() -> None:
    cleanup = FakeCleanup(AgentError("cannot end it"))
    async with Background() as background:
        scheduler = BackgroundCleanupScheduler(background=background, feed=memory_feed())
        scheduler.schedule(KEY, cleanup)
        for _ in range(3):
            await asyncio.sleep(0)
    assert cleanup.calls == 1


# --- one after another


def ending_session() -> Session:
    spec = SessionSpec(agent="fake", cwd="/repo")
    return Session(key=KEY, run=1, state=SessionState.TERMINATING, spec=spec, created_at=0)


async def test_cleaners_run_in_their_order() -> None:
    order: list[str] = []

    class Cleaner:
        def __init__(self, name: str) -> None:
            self._name = name

        async def cleanup(self, session: Session) -> None:
            order.append(f"{self._name} {session.key}")

    await CleanerChain(cleaners=[Cleaner("agent"), Cleaner("files")]).cleanup(ending_session())
    assert order == ["agent task:main", "files task:main"]


async def test_a_cleaner_that_fails_keeps_the_later_ones_waiting_for_the_next_attempt() -> None:
    first, second = FakeCleaner(), FakeCleaner()
    first.fail_with(AgentError("cannot end it"))
    chain = CleanerChain(cleaners=[first, second])
    with pytest.raises(AgentError, match="cannot end it"):
        await chain.cleanup(ending_session())
    assert second.started == []
    await chain.cleanup(ending_session())
    assert len(first.cleaned) == len(second.cleaned) == 1


# --- what


async def test_a_session_without_a_handle_needs_no_cleaning(world: World) -> None:
    client = await world.greeted()
    await client.open_session()
    session = await world.store.get(KEY)
    assert session is not None
    await world.host.runs.end(KEY, reason="over")
    await AgentCleaner(registry=world.registry).cleanup(session)


async def test_a_session_whose_start_has_not_begun_needs_no_cleaning() -> None:
    registry: MemoryRegistry[AgentRun, object] = MemoryRegistry()
    registry.register(KEY, Handle())
    spec = SessionSpec(agent="fake", cwd="/repo")
    session = Session(key=KEY, run=1, state=SessionState.TERMINATING, spec=spec, created_at=0)
    await AgentCleaner(registry=registry).cleanup(session)


async def test_a_process_that_survives_is_ended_by_the_next_attempt(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.greeted()
    await client.open_session()
    world.agent.fail_to_end(AgentError("cannot end agent 'fake': 4711 survives"))
    await world.host.runs.terminate(KEY, reason="over")
    await world.gone()
    assert world.agent.exit is not None
    assert "4711 survives" in caplog.text


async def test_a_process_that_survives_for_good_leaves_the_session_with_the_error(
    world: World,
) -> None:
    client = await world.greeted()
    session_id = await client.open_session()
    error = AgentError("cannot end agent 'fake': 4711 survives")
    world.agent.fail_to_end(*[error] * 10)
    answer = await client.call("session/close", {"sessionId": session_id})
    assert answer["error"]["data"]["code"] == "agent_error"
    session = await world.store.get(KEY)
    assert session is not None
    assert session.state is SessionState.TERMINATING
    assert session.error == "AgentError: cannot end agent 'fake': 4711 survives"
    world.agent.fail_to_end()
    await world.host.runs.end(KEY, reason="once more")
    assert world.is_gone()
