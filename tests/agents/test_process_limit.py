"""How many agents' processes may live at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from acprelay.agents.ports import AgentConnection
from acprelay.agents.process_limit import LimitedLauncher
from acprelay.errors import LimitReached, SpawnFailed
from acprelay.testing.launcher import FakeLauncher

MOST = 3


@pytest.fixture
async def inner() -> FakeLauncher:
    return FakeLauncher("fake", "other")


@pytest.fixture
async def launcher(inner: FakeLauncher) -> LimitedLauncher:
    return LimitedLauncher(launcher=inner, most=MOST)


def begin(work: Coroutine[object, object, AgentConnection]) -> asyncio.Task[AgentConnection]:
    return asyncio.get_running_loop().create_task(work)


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_offers_what_the_other_launcher_does(launcher: LimitedLauncher) -> None:
    assert list(launcher.names) == ["fake", "other"]


@pytest.mark.requirement("supervision.processes-are-limited")
async def test_one_more_than_may_live_is_refused_with_the_limits_name_and_not_started(
    launcher: LimitedLauncher, inner: FakeLauncher
) -> None:
    for _ in range(MOST):
        await launcher.launch("fake")
    with pytest.raises(LimitReached, match="agents' processes are limited to 3") as caught:
        await launcher.launch("other")
    assert caught.value.data["limit"] == "agents' processes"
    assert caught.value.data["most"] == MOST
    assert len(inner.launched) == MOST


async def test_a_process_that_has_ended_by_itself_leaves_its_place(
    launcher: LimitedLauncher, inner: FakeLauncher
) -> None:
    for _ in range(MOST):
        await launcher.launch("fake")
    inner.launched[1].die()
    await launcher.launch("fake")
    with pytest.raises(LimitReached):
        await launcher.launch("fake")


@pytest.mark.requirement("supervision.limits-survive-failed-starts")
async def test_starts_that_fail_or_are_cancelled_at_any_instant_cost_no_place() -> None:
    for instant in range(6):
        inner = FakeLauncher()
        launcher = LimitedLauncher(launcher=inner, most=MOST)
        inner.fail_with(SpawnFailed("cannot start agent 'fake'"))
        inner.hold()
        begun = [begin(launcher.launch("fake")) for _ in range(MOST)]
        await steps(1)
        with pytest.raises(LimitReached):  # those under way have places
            await launcher.launch("fake")
        inner.release()
        await steps(instant)
        begun[-1].cancel()
        await asyncio.wait(begun)
        lost = [task for task in begun if task.cancelled() or task.exception() is not None]
        assert lost
        for _ in lost:
            await launcher.launch("fake")
        with pytest.raises(LimitReached):
            await launcher.launch("fake")
        assert len(inner.living) == MOST


@pytest.mark.parametrize(
    ("most", "living", "spare"),
    [(1, 0, False), (2, 0, True), (2, 1, False), (20, 17, True), (20, 18, False), (100, 90, False)],
)
async def test_room_to_spare_leaves_a_tenth_and_one_at_least(
    inner: FakeLauncher, most: int, living: int, spare: bool
) -> None:
    launcher = LimitedLauncher(launcher=inner, most=most)
    for _ in range(living):
        await launcher.launch("fake")
    assert launcher.has_room_to_spare is spare
