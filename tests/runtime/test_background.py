"""Tasks that outlive the call that began them."""

from __future__ import annotations

import asyncio

import pytest

from acprelay.runtime.background import Background


async def forever() -> None:
    await asyncio.Event().wait()


async def test_leaving_ends_what_still_runs() -> None:
    async with Background() as background:
        task = background.start(forever(), name="one")
    assert task.cancelled()


async def test_a_task_that_has_ended_is_let_go() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("work")

    async with Background() as background:
        await background.start(work(), name="one")
    assert done == ["work"]


async def test_a_failure_is_logged_by_name_and_takes_no_other_task_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ValueError("no luck")

    async with Background() as background:
        other = background.start(forever(), name="other")
        task = background.start(fail(), name="start of s:main")
        await asyncio.wait({task})
        assert not other.done()
    assert "cannot finish: start of s:main" in caplog.text
    assert "no luck" in caplog.text


async def test_an_end_by_cancellation_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with Background() as background:
        background.start(forever(), name="one")
    assert caplog.text == ""


async def test_leaving_waits_for_tasks_that_take_their_time_to_end() -> None:
    steps: list[str] = []

    async def tidy() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            steps.append("tidied")

    async with Background() as background:
        background.start(tidy(), name="one")
        await asyncio.sleep(0)
    assert steps == ["tidied"]


async def test_leaving_ends_tasks_that_begin_while_others_end() -> None:
    async with Background() as background:
        late: list[asyncio.Task[None]] = []

        async def begin_another() -> None:
            try:
                await forever()
            finally:
                late.append(background.start(forever(), name="late"))

        background.start(begin_another(), name="one")
        await asyncio.sleep(0)
    assert [task.cancelled() for task in late] == [True]


async def test_leaving_without_tasks_does_nothing() -> None:
    async with Background():
        pass
