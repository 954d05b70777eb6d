"""Processes of agents that are ready before anybody asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from acprelay.agents.process_limit import LimitedLauncher
from acprelay.errors import AgentError, LimitReached, SpawnFailed
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.background import Background
from acprelay.runtime.prewarming import Prewarming
from acprelay.testing.agents import FakeAgent
from acprelay.testing.launcher import FakeLauncher

if TYPE_CHECKING:
    from tests.runtime.conftest import World

T = TypeVar("T")

PATIENCE_S = 30.0
CREDENTIALS = b'{"methodId":"key"}'

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""


class FakeTime:
    """A clock that stands still, and sleeps that last until a test ends them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._awake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._awake.clear()
        await self._awake.wait()

    async def wake(self) -> None:
        """Ends the present sleep, and lets everything that follows come."""
        self._awake.set()
        await settle()


class Site:
    """A pool whose processes are kept ready."""

    def __init__(
        self, inner: FakeLauncher, launcher: LimitedLauncher, pool: AgentPool, time: FakeTime
    ) -> None:
        self.inner = inner
        self.launcher = launcher
        self.pool = pool
        self.time = time

    @property
    def ready(self) -> int:
        return sum(self.pool.ready.count(name) for name in self.inner.names)


async def settle() -> None:
    for _ in range(AFTERWARDS):
        await asyncio.sleep(0)


def begin(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(work)


async def no_lull() -> None:
    pass


@asynccontextmanager
async def open_site(
    wanted: Mapping[str, int],
    *,
    most: int = 100,
    make: Callable[[str], FakeAgent] = lambda name: FakeAgent(name=name),
    prepare: Callable[[FakeLauncher], object] = lambda _: None,
    lull: Callable[[], Awaitable[None]] = no_lull,
) -> AsyncIterator[Site]:
    """Begins to keep processes ready; leaving it checks that none is left."""
    inner = FakeLauncher("fake", "other", "third", make=make)
    prepare(inner)
    launcher = LimitedLauncher(launcher=inner, most=most)
    pool = AgentPool(launcher=launcher, deadline_s=PATIENCE_S)
    time = FakeTime()
    async with Background() as background:
        prewarming = Prewarming(
            wanted=wanted,
            ready=pool.ready,
            start=pool.start,
            has_room=lambda: launcher.has_room_to_spare,
            background=background,
            sleep=time.sleep,
            lull=lull,
            now=lambda: time.now,
        )
        async with prewarming:
            await settle()
            yield Site(inner, launcher, pool, time)
        await pool.aclose()
        assert inner.living == []


# --- what is ready


@pytest.mark.requirement("supervision.ready-processes-hide-the-start")
async def test_a_session_gets_a_process_that_is_ready_and_waits_for_no_start() -> None:
    async with open_site({"fake": 2}) as site:
        assert len(site.inner.launched) == 2
        assert [len(agent.requests("initialize")) for agent in site.inner.launched] == [1, 1]
        site.inner.hold()  # from now on no start comes to its end
        first = await site.pool.take("fake", credentials=None)
        second = await site.pool.take("fake", credentials=None)
        assert [first.agent, second.agent] == site.inner.launched
        await first.abandon()
        await second.abandon()


async def test_only_what_is_wanted_is_started() -> None:
    async with open_site({"fake": 1, "other": 0}) as site:
        assert [agent.name for agent in site.inner.launched] == ["fake"]
    async with open_site({}) as site:
        assert site.inner.launched == []
        assert await site.pool.describe("fake")  # goes its way without


@pytest.mark.requirement("supervision.ready-processes-hide-the-start")
async def test_greeting_and_authenticating_wait_for_no_start_either() -> None:
    async with open_site({"fake": 2}) as site:
        site.inner.hold()
        async with asyncio.timeout(PATIENCE_S), site.pool.hold("fake"):
            assert await site.pool.describe("fake")
            assert not (await site.pool.authenticate("fake", CREDENTIALS)).is_error
            own = await site.pool.take("fake", credentials=CREDENTIALS)
            assert own.credentials == CREDENTIALS
            other = await site.pool.take("fake", credentials=None)
            assert [own.agent, other.agent] == site.inner.launched
            await own.abandon()
            await other.abandon()


async def test_with_credentials_a_ready_process_is_authenticated_before_it_is_given() -> None:
    async with open_site({"fake": 1}) as site:
        taken = await site.pool.take("fake", credentials=CREDENTIALS)
        assert taken.agent is site.inner.launched[0]
        assert len(site.inner.launched[0].requests("authenticate")) == 1
        await taken.abandon()


# --- what is replaced


@pytest.mark.requirement("supervision.ready-processes-are-replaced")
async def test_what_is_taken_is_replaced() -> None:
    async with open_site({"fake": 2}) as site:
        taken = await site.pool.take("fake", credentials=None)
        await settle()
        assert (site.ready, len(site.inner.launched)) == (2, 3)
        assert site.time.slept == []
        await taken.abandon()


@pytest.mark.requirement("supervision.ready-processes-are-replaced")
async def test_nothing_is_started_while_whoever_took_a_process_begins_to_use_it() -> None:
    quiet = asyncio.Event()

    async def lull() -> None:
        await quiet.wait()

    async with open_site({"fake": 2}, lull=lull) as site:
        taken = [await site.pool.take("fake", credentials=None) for _ in range(2)]
        await settle()
        assert len(site.inner.launched) == 2
        quiet.set()
        await settle()
        assert (site.ready, len(site.inner.launched)) == (2, 4)
        for each in taken:
            await each.abandon()


async def test_the_first_processes_wait_for_nothing() -> None:
    async def lull() -> None:
        await asyncio.Event().wait()

    async with open_site({"fake": 2}, lull=lull) as site:
        assert site.ready == 2


@pytest.mark.requirement("supervision.ready-processes-are-replaced")
async def test_what_dies_while_it_waits_is_ended_replaced_and_never_given_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_site({"fake": 2}) as site:
        dead = site.inner.launched[0]
        dead.die()
        await settle()
        assert dead.end_calls == 1  # what it has left behind is ended, too
        assert (site.ready, site.time.slept) == (1, [0.5])
        await site.time.wake()
        assert (site.ready, len(site.inner.launched)) == (2, 3)
    assert "a process ended while it waited, with exit status 3" in caplog.text


async def test_what_has_just_died_is_not_given_away() -> None:
    async with open_site({"fake": 1}) as site:
        site.inner.launched[0].pause_reading()  # its end is not told yet
        site.inner.launched[0].die()
        taken = await site.pool.take("fake", credentials=None)
        assert taken.agent is site.inner.launched[1]
        assert site.pool.ready.take_any() is None
        site.inner.launched[0].resume_reading()
        await taken.abandon()


# --- what cannot be kept ready


@pytest.mark.requirement("supervision.ready-processes-back-off")
async def test_starts_that_fail_are_tried_again_ever_later_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = [SpawnFailed("cannot start agent 'fake'") for _ in range(9)]
    with caplog.at_level(logging.WARNING):
        async with open_site({"fake": 1}, prepare=lambda inner: inner.fail_with(*failures)) as site:
            for _ in failures:
                await site.time.wake()
            assert site.time.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
            assert site.ready == 1
    assert [record.getMessage() for record in caplog.records] == [
        "cannot keep agent fake ready: cannot start agent 'fake'; trying again in 0.5 s"
    ]


@pytest.mark.requirement("supervision.ready-processes-back-off")
async def test_an_agent_that_dies_as_soon_as_it_is_ready_is_not_started_over_and_over() -> None:
    def die_early(name: str) -> FakeAgent:
        agent = FakeAgent(name=name)

        def answer_and_die(agent: FakeAgent, asked: dict[str, object]) -> None:
            agent.answer(asked, {"protocolVersion": 1})
            agent.die()

        agent.react("initialize", answer_and_die)
        return agent

    async with open_site({"fake": 1}, make=die_early) as site:
        await site.time.wake()
        await site.time.wake()
        assert site.time.slept == [0.5, 1.0, 2.0]
        assert len(site.inner.launched) == 3
        assert all(agent.end_calls for agent in site.inner.launched)


async def test_a_process_that_was_of_use_or_lived_long_ends_the_row_of_losses() -> None:
    async with open_site({"fake": 1}) as site:
        site.inner.launched[-1].die()
        await settle()
        await site.time.wake()
        taken = await site.pool.take("fake", credentials=None)
        await settle()
        assert (site.ready, site.time.slept) == (1, [0.5])
        for lived_s in (1.0, 59.0, 60.0):
            site.time.now += lived_s
            site.inner.launched[-1].die()
            await settle()
            await site.time.wake()
        assert site.time.slept == [0.5, 0.5, 1.0, 0.5]
        await taken.abandon()


@pytest.mark.requirement("supervision.ready-processes-back-off")
async def test_a_start_that_fails_in_no_foreseen_way_is_told_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: list[str] = []

    def defective_once(name: str) -> FakeAgent:
        made.append(name)
        if len(made) == 1:
            raise RuntimeError("out of its depth")
        return FakeAgent(name=name)

    async with open_site({"fake": 1}, make=defective_once) as site:
        assert (site.ready, site.time.slept) == (0, [0.5])
        await site.time.wake()
        assert site.ready == 1
    assert "out of its depth" in caplog.text


@pytest.mark.requirement("supervision.ready-processes-start-a-few-at-once")
async def test_few_start_at_once_however_many_are_wanted() -> None:
    wanted = {"fake": 5, "other": 5, "third": 5}
    async with open_site(wanted, make=silent) as site:
        assert len(site.inner.launched) == 2
        for count in range(3, 16):
            agent = site.inner.launched[count - 3]
            agent.answer(agent.requests("initialize")[0], {"protocolVersion": 1})
            await settle()
            assert len(site.inner.launched) == count


def silent(name: str) -> FakeAgent:
    agent = FakeAgent(name=name)
    agent.ignore("initialize")
    return agent


# --- places


@pytest.mark.requirement("supervision.ready-processes-give-way")
async def test_the_last_places_are_left_to_sessions() -> None:
    async with open_site({"fake": 10}, most=4) as site:
        assert len(site.inner.launched) == 3
        assert site.time.slept == [0.5]
        taken = await site.pool.take("other", credentials=None)
        await site.time.wake()
        assert [agent.name for agent in site.inner.launched[3:]] == ["other"]
        await taken.abandon()
        await site.time.wake()
        assert len(site.inner.living) == 3


async def test_that_there_is_no_room_is_news_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with open_site({"fake": 3}, most=4) as site:
            assert site.ready == 3
            for _ in range(3):
                taken = await site.pool.take("fake", credentials=None)
                await settle()
                assert site.ready == 2
                await taken.abandon()
                await site.time.wake()
                assert site.ready == 3
    said = [record for record in caplog.records if "are left to sessions" in record.getMessage()]
    assert [record.levelname for record in said] == ["WARNING", "INFO", "INFO"]


async def test_what_gives_way_is_of_no_use_and_ends_no_row_of_losses() -> None:
    async with open_site({}) as site:
        told: list[str] = []
        site.pool.ready.on_taken = told.append
        for _ in range(2):
            site.pool.ready.put("fake", await site.pool.start("fake"))
        given = [site.pool.ready.take_any(), site.pool.ready.take("fake")]
        assert told == ["fake"]
        for each in given:
            assert each is not None
            await each.abandon()


@pytest.mark.requirement("supervision.ready-processes-give-way")
async def test_what_is_ready_gives_way_where_a_session_needs_its_place() -> None:
    async with open_site({"fake": 1, "other": 2}, most=5) as site:
        assert len(site.inner.living) == 3
        taken = [await site.pool.take("third", credentials=None) for _ in range(5)]
        assert {each.agent.name for each in taken} == {"third"}
        assert site.ready == 0
        with pytest.raises(LimitReached):
            await site.pool.take("third", credentials=None)
        for each in taken:
            await each.abandon()


async def test_a_ready_process_that_survives_its_end_gives_no_place() -> None:
    async with open_site({"fake": 1}, most=3) as site:
        first, second = [await site.pool.take("third", credentials=None) for _ in range(2)]
        site.inner.launched[0].fail_to_end(AgentError("cannot end agent"))
        with pytest.raises(LimitReached):
            await site.pool.take("third", credentials=None)
        await site.inner.launched[0].end()
        await first.abandon()
        await second.abandon()


@pytest.mark.requirement("supervision.limits-survive-failed-starts")
async def test_takers_that_are_cancelled_at_any_instant_cost_no_place_and_leave_nothing() -> None:
    for instant in range(30):
        async with open_site({"fake": 2}, most=4) as site:
            takers = [begin(site.pool.take("other", credentials=None)) for _ in range(4)]
            for _ in range(instant):
                await asyncio.sleep(0)
            for taker in takers:
                taker.cancel()
            await asyncio.wait(takers)
            for taker in takers:
                if not taker.cancelled():
                    await taker.result().abandon()
            again = [await site.pool.take("other", credentials=None) for _ in range(4)]
            for each in again:
                await each.abandon()


# --- the end


@pytest.mark.requirement("supervision.ready-processes-are-nobodys")
async def test_nothing_is_left_whenever_the_relay_ends() -> None:
    for instant in range(40):
        inner = FakeLauncher("fake", "other")
        pool = AgentPool(launcher=inner, deadline_s=PATIENCE_S)
        async with Background() as background:
            async with Prewarming(
                wanted={"fake": 2, "other": 1},
                ready=pool.ready,
                start=pool.start,
                has_room=lambda: True,
                background=background,
                sleep=asyncio.sleep,
                lull=no_lull,
                now=asyncio.get_running_loop().time,
            ):
                for _ in range(instant):
                    await asyncio.sleep(0)
            assert inner.living == [], instant
            assert pool.ready.take_all() == []


@pytest.mark.requirement("supervision.ready-processes-are-nobodys")
async def test_what_is_ready_ends_with_the_pool_at_the_latest() -> None:
    async with open_site({}) as site:
        site.pool.ready.put("fake", await site.pool.start("fake"))
        await site.pool.aclose()
        assert site.inner.living == []


@pytest.mark.requirement("supervision.ready-processes-are-nobodys")
async def test_what_is_ready_is_no_session(world: World) -> None:
    async with Prewarming(
        wanted={"fake": 2},
        ready=world.pool.ready,
        start=world.pool.start,
        has_room=lambda: True,
        background=world.background,
        sleep=asyncio.sleep,
        lull=no_lull,
        now=asyncio.get_running_loop().time,
    ):
        await settle()
        assert len(world.launcher.living) == 2
        assert await world.manager.count() == 0
        client = await world.greeted()
        world.launcher.hold()
        await client.open_session()  # waits for no start
        world.launcher.release()
        assert await world.manager.count() == 1
        await settle()
        assert world.pool.ready.count("fake") == 2
