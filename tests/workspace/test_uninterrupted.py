"""Work that no cancellation of its caller reaches."""

from __future__ import annotations

import asyncio

import pytest

from acprelay.workspace.uninterrupted import to_the_end


async def test_a_result_and_an_error_reach_the_caller() -> None:
    async def give() -> int:
        return 1

    async def fail() -> None:
        raise ValueError("no luck")

    assert await to_the_end(give()) == 1
    with pytest.raises(ValueError, match="no luck"):
        await to_the_end(fail())


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_a_cancelled_caller_hears_of_it_when_the_work_has_ended(cancellations: int) -> None:
    gate = asyncio.Event()
    steps: list[str] = []

    async def work() -> None:
        await gate.wait()
        steps.append("done")

    task = asyncio.get_running_loop().create_task(to_the_end(work()))
    for _ in range(cancellations):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["done"]


async def test_a_failure_that_nobody_can_get_any_more_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        raise ValueError("no luck")

    task = asyncio.get_running_loop().create_task(to_the_end(work()))
    await asyncio.sleep(0)
    task.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "no luck" in caplog.text


async def test_a_deadline_of_the_caller_takes_effect_after_the_work() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append("work")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await to_the_end(work())
    assert done == ["work"]
