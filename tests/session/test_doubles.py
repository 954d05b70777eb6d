"""The doubles that users build their tests from do what they say."""

import asyncio
from random import Random

import pytest

from acprelay.session import (
    Cleaner,
    CleanupScheduler,
    Clock,
    IdGenerator,
    LifecycleHooks,
    MemoryStore,
    NoOpCleaner,
    NoOpScheduler,
    Session,
    SessionKey,
    SessionSpec,
    SessionStore,
    state_machine,
)
from acprelay.testing.session import (
    FakeCleaner,
    FakeClock,
    FakeIds,
    FakeScheduler,
    RecordingHooks,
    YieldingStore,
)

KEY = SessionKey("task", "main")
SESSION: Session = state_machine.new_session(
    KEY, SessionSpec(session_id="task", agent="coder", cwd="/repo"), run=1, now=1.0
)


async def test_the_doubles_are_what_the_ports_ask_for() -> None:
    clock: Clock = FakeClock()
    ids: IdGenerator = FakeIds()
    cleaners: list[Cleaner] = [FakeCleaner(), NoOpCleaner()]
    schedulers: list[CleanupScheduler] = [FakeScheduler(), NoOpScheduler()]
    hooks: LifecycleHooks = RecordingHooks()
    store: SessionStore = YieldingStore(MemoryStore(), random=Random(1))
    assert all((clock, ids, cleaners, schedulers, hooks, store))


def test_a_fake_clock_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock(5.0)
    assert (clock.now(), clock.now()) == (5.0, 5.0)
    assert clock.advance(2.5) == clock.now() == 7.5


def test_fake_ids_are_those_it_was_given_and_then_counted() -> None:
    ids = FakeIds("first")
    assert [ids.mint() for _ in range(3)] == ["first", "id-1", "id-2"] == ids.minted


async def test_a_fake_cleaner_fails_as_often_as_it_was_told() -> None:
    cleaner = FakeCleaner()
    cleaner.fail_with(OSError("busy"))
    with pytest.raises(OSError, match="busy"):
        await cleaner.cleanup(SESSION)
    await cleaner.cleanup(SESSION)
    assert (cleaner.started, cleaner.cleaned) == ([SESSION, SESSION], [SESSION])


async def test_a_fake_cleaner_waits_while_it_is_held() -> None:
    cleaner = FakeCleaner()
    cleaner.hold()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        cleanup = tasks.create_task(cleaner.cleanup(SESSION))
        await cleaner.arrived()
        assert not cleanup.done()
        cleaner.release()
    assert cleaner.cleaned == [SESSION]


async def test_a_fake_scheduler_runs_nothing_by_itself_and_everything_once() -> None:
    scheduler, ran = FakeScheduler(), []

    async def cleanup() -> None:
        ran.append(KEY)

    scheduler.schedule(KEY, cleanup)
    assert ran == []
    await scheduler.run()
    await scheduler.run()
    assert ran == [KEY]
    assert scheduler.scheduled == [(KEY, cleanup)]


async def test_a_fake_scheduler_keeps_a_cleanup_that_failed() -> None:
    scheduler, cleaner = FakeScheduler(), FakeCleaner()
    cleaner.fail_with(OSError("busy"))
    scheduler.schedule(KEY, lambda: cleaner.cleanup(SESSION))
    with pytest.raises(OSError, match="busy"):
        await scheduler.run()
    await scheduler.run()
    assert cleaner.cleaned == [SESSION]


def test_recording_hooks_remember_the_calls_and_fail_when_told() -> None:
    hooks = RecordingHooks()
    hooks.on_activate(SESSION)
    hooks.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        hooks.on_terminate(SESSION)
    assert hooks.calls == [("on_activate", SESSION), ("on_terminate", SESSION)]


async def test_a_yielding_store_lets_others_run_before_it_answers() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        busybody = tasks.create_task(other())
        store = YieldingStore(MemoryStore(), random=Random(3), most=5)
        for _ in range(10):
            await store.count()
        busybody.cancel()
    assert turns > 10


async def test_a_yielding_store_yields_as_its_seed_says() -> None:
    async def yields(seed: int) -> list[int]:
        random = Random(seed)
        store = YieldingStore(MemoryStore(), random=random)
        return [await store.count() + random.randint(0, 99) for _ in range(10)]

    assert await yields(1) == await yields(1) != await yields(2)
