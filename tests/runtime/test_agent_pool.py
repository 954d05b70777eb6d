"""Agents that are started before there is a session, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest

from acprelay.errors import AgentError, AgentExited, AgentRefused, AgentUnresponsive, SpawnFailed
from acprelay.runtime.agent_pool import AgentPool
from acprelay.testing.agents import FakeAgent
from acprelay.testing.launcher import FakeLauncher

T = TypeVar("T")

PATIENCE_S = 30.0
CREDENTIALS = b'{"methodId":"key"}'


@pytest.fixture
async def launcher() -> FakeLauncher:
    return FakeLauncher("fake", "other")


@pytest.fixture
async def pool(launcher: FakeLauncher) -> AsyncIterator[AgentPool]:
    pool = AgentPool(launcher=launcher, deadline_s=PATIENCE_S)
    yield pool
    await pool.aclose()
    assert launcher.living == []


def begin(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(work)


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_pool_offers_what_the_launcher_does() -> None:
    launcher = FakeLauncher("b", "a")
    assert AgentPool(launcher=launcher, deadline_s=0).names == ("b", "a")


# --- one process for the description and the first session


@pytest.mark.requirement("handshake.once-per-agent")
async def test_the_process_that_describes_an_agent_serves_the_first_session(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        described = await pool.describe("fake")
        taken = await pool.take("fake", credentials=None)
        assert [taken.agent] == launcher.launched
        assert taken.initialize_result == described
        assert len(launcher.launched[0].requests("initialize")) == 1
        await taken.abandon()


async def test_the_next_session_gets_a_process_of_its_own(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        first = await pool.take("fake", credentials=None)
        second = await pool.take("fake", credentials=None)
        assert [first.agent, second.agent] == launcher.launched
        await first.abandon()
        await second.abandon()


async def test_a_description_is_remembered(pool: AgentPool, launcher: FakeLauncher) -> None:
    async with pool.hold("fake"):
        first = await pool.describe("fake")
    async with pool.hold("fake"):
        assert await pool.describe("fake") == first
    assert len(launcher.launched) == 1


@pytest.mark.requirement("handshake.once-per-agent")
async def test_clients_that_ask_at_once_share_one_start(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        results = await asyncio.gather(*(pool.describe("fake") for _ in range(5)))
    assert len(set(results)) == 1
    assert len(launcher.launched) == 1


async def test_agents_do_not_wait_for_each_other(pool: AgentPool, launcher: FakeLauncher) -> None:
    launcher.hold()
    held = begin(pool.describe("fake"))
    await steps(3)
    launcher.release()
    async with pool.hold("other"):
        await pool.describe("other")
    await held
    assert {agent.name for agent in launcher.launched} == {"fake", "other"}


async def test_a_description_that_failed_is_tried_again(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    launcher.fail_with(SpawnFailed("cannot start agent 'fake'"))
    async with pool.hold("fake"):
        with pytest.raises(SpawnFailed):
            await pool.describe("fake")
        assert await pool.describe("fake")


async def test_an_agent_that_refuses_to_be_initialised_is_ended() -> None:
    agent = FakeAgent()
    agent.refuse("initialize")
    pool = AgentPool(launcher=FakeLauncher(make=lambda _: agent), deadline_s=PATIENCE_S)
    with pytest.raises(AgentRefused):
        await pool.describe("fake")
    assert agent.exit is not None


async def test_an_agent_that_stays_silent_is_ended() -> None:
    agent = FakeAgent()
    agent.ignore("initialize")
    pool = AgentPool(launcher=FakeLauncher(make=lambda _: agent), deadline_s=0)
    with pytest.raises(AgentUnresponsive):
        await pool.take("fake", credentials=None)
    assert agent.exit is not None


async def test_an_end_that_fails_does_not_hide_why_the_agent_was_of_no_use() -> None:
    agent = FakeAgent()
    agent.refuse("initialize", message="no licence")
    agent.fail_to_end(AgentError("cannot end agent"))
    pool = AgentPool(launcher=FakeLauncher(make=lambda _: agent), deadline_s=PATIENCE_S)
    with pytest.raises(AgentRefused, match="no licence"):
        await pool.describe("fake")
    await agent.end()


# --- holds


async def test_the_warm_process_ends_with_the_last_hold(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        async with pool.hold("fake"):
            await pool.describe("fake")
        assert launcher.living
    assert launcher.living == []


async def test_a_hold_on_one_agent_keeps_no_other(pool: AgentPool, launcher: FakeLauncher) -> None:
    async with pool.hold("other"):
        async with pool.hold("fake"):
            await pool.describe("fake")
        assert launcher.living == []


async def test_without_a_hold_nothing_stays_warm(pool: AgentPool, launcher: FakeLauncher) -> None:
    assert await pool.describe("fake")
    assert launcher.living == []


async def test_a_process_that_warms_up_while_the_last_hold_ends_does_not_stay(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    launcher.hold()
    async with pool.hold("fake"):
        describing = begin(pool.describe("fake"))
        await steps(3)
    launcher.release()
    assert await describing
    assert len(launcher.launched) == 1
    assert launcher.living == []


async def test_a_process_in_use_is_not_ended_with_the_last_hold_but_after_its_use(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        agent = launcher.launched[0]
        agent.ignore("authenticate")
        authenticating = begin(pool.authenticate("fake", CREDENTIALS))
        await steps(3)
    assert launcher.living == [agent]
    agent.answer(agent.requests("authenticate")[0], {})
    assert not (await authenticating).is_error
    assert launcher.living == []


async def test_whoever_lets_go_does_not_wait_for_others_who_hold_on(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    launcher.hold()
    async with pool.hold("fake"):
        describing = begin(pool.describe("fake"))
        await steps(3)
        async with asyncio.timeout(PATIENCE_S), pool.hold("fake"):
            pass
        launcher.release()
        await describing
        assert launcher.living


async def test_closing_ends_what_is_warm_and_held(pool: AgentPool, launcher: FakeLauncher) -> None:
    async with pool.hold("fake"), pool.hold("other"):
        await pool.describe("fake")
        await pool.describe("other")
        launcher.launched[0].fail_to_end(AgentError("cannot end agent"))
        await pool.aclose()
        assert launcher.living == [launcher.launched[0]]
        await pool.aclose()
    await launcher.launched[0].end()


# --- dead processes


async def test_a_warm_process_that_died_is_replaced(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        launcher.launched[0].die()
        taken = await pool.take("fake", credentials=None)
        assert [taken.agent] == launcher.living
        await taken.abandon()


async def test_a_warm_process_that_died_is_not_asked_to_authenticate(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        launcher.launched[0].die()
        assert not (await pool.authenticate("fake", CREDENTIALS)).is_error
        assert launcher.living == launcher.launched[1:]


async def test_a_process_that_dies_under_a_request_fails_that_request_only(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        launcher.launched[0].die_on("authenticate")
        with pytest.raises(AgentExited):
            await pool.authenticate("fake", CREDENTIALS)
        assert not (await pool.authenticate("fake", CREDENTIALS)).is_error


# --- credentials


async def test_the_next_session_gets_the_process_that_has_authenticated(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        await pool.authenticate("fake", CREDENTIALS)
        taken = await pool.take("fake", credentials=CREDENTIALS)
        assert [taken.agent] == launcher.launched
        assert len(launcher.launched[0].requests("authenticate")) == 1
        await taken.abandon()


async def test_another_process_is_authenticated_again(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    taken = await pool.take("fake", credentials=CREDENTIALS)
    [asked] = launcher.launched[0].requests("authenticate")
    assert asked["params"] == {"methodId": "key"}
    await taken.abandon()


@pytest.mark.parametrize("credentials", [None, b'{"methodId":"another"}'])
async def test_nobody_gets_a_process_that_has_seen_the_credentials_of_somebody_else(
    pool: AgentPool, launcher: FakeLauncher, credentials: bytes | None
) -> None:
    async with pool.hold("fake"):
        await pool.authenticate("fake", CREDENTIALS)
        other = await pool.take("fake", credentials=credentials)
        own = await pool.take("fake", credentials=CREDENTIALS)
        assert [own.agent, other.agent] == launcher.launched
        await own.abandon()
        await other.abandon()


async def test_a_process_that_was_logged_out_is_authenticated_again(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.authenticate("fake", CREDENTIALS)
        assert not (await pool.logout("fake", b"{}")).is_error
        taken = await pool.take("fake", credentials=CREDENTIALS)
        assert len(launcher.launched[0].requests("authenticate")) == 2
        await taken.abandon()


async def test_a_session_does_not_wait_for_the_authentication_of_another_client(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        launcher.launched[0].ignore("authenticate")
        authenticating = begin(pool.authenticate("fake", CREDENTIALS))
        await steps(3)
        async with asyncio.timeout(PATIENCE_S):
            taken = await pool.take("fake", credentials=None)
        assert [taken.agent] == launcher.launched[1:]
        await taken.abandon()
        authenticating.cancel()
        await asyncio.wait({authenticating})


async def test_a_process_that_cannot_replay_an_authentication_is_ended(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    agent = FakeAgent()
    agent.die_on("authenticate")
    launcher = FakeLauncher(make=lambda _: agent)
    pool = AgentPool(launcher=launcher, deadline_s=PATIENCE_S)
    with pytest.raises(AgentExited):
        await pool.take("fake", credentials=CREDENTIALS)
    assert agent.end_calls == 1


# --- cancelling, at every instant


async def describe(pool: AgentPool) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")


async def authenticate(pool: AgentPool) -> None:
    async with pool.hold("fake"):
        await pool.authenticate("fake", CREDENTIALS)


async def take(pool: AgentPool) -> None:
    await (await pool.take("fake", credentials=CREDENTIALS)).abandon()


async def take_what_is_warm(pool: AgentPool) -> None:
    async with pool.hold("fake"):
        await pool.describe("fake")
        await (await pool.take("fake", credentials=CREDENTIALS)).abandon()


@pytest.mark.parametrize("work", [describe, authenticate, take, take_what_is_warm])
@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_at_any_instant_it_leaves_no_process(
    work: Callable[[AgentPool], Coroutine[object, object, None]], times: int
) -> None:
    cancelled, instant = True, 0
    while cancelled:
        launcher = FakeLauncher()
        pool = AgentPool(launcher=launcher, deadline_s=PATIENCE_S)
        task = begin(work(pool))
        await steps(instant)
        for _ in range(times):
            task.cancel()
            await steps(1)
        await asyncio.wait({task})
        assert launcher.living == [], instant
        cancelled, instant = task.cancelled(), instant + 1
    assert instant > 5


async def test_many_clients_come_and_go_and_leave_nothing(
    pool: AgentPool, launcher: FakeLauncher
) -> None:
    async def client(number: int) -> None:
        async with AsyncExitStack() as stack:
            await steps(number % 7)
            await stack.enter_async_context(pool.hold("fake"))
            await pool.describe("fake")
            credentials = CREDENTIALS if number % 3 == 0 else None
            if credentials:
                await pool.authenticate("fake", credentials)
            taken = await pool.take("fake", credentials=credentials)
            stack.push_async_callback(taken.abandon)
            assert taken.credentials == credentials
            await steps(number % 5)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(client(number) for number in range(40)))
    assert launcher.living == []
    served = [len(agent.requests("initialize")) for agent in launcher.launched]
    assert set(served) == {1}
