"""A timer that is set anew whenever what it waits for changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from acprelay.runtime.alarm import Alarm

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


async def a_moment() -> None:
    """Lets the event loop do what is due, and what is due a moment later."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(0.01, over.set_result, None)
    async with asyncio.timeout(30):
        await over


@pytest.mark.parametrize("make_loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("late_s", [0.0, 1.0], ids=["now", "long ago"])
def test_what_is_due_at_once_can_be_set_again_and_rings_once(
    make_loop: Callable[[], asyncio.AbstractEventLoop], late_s: float
) -> None:
    async def set_again() -> list[str]:
        rings: list[str] = []
        alarm = Alarm(on_due=lambda: rings.append("due"))
        due_at = asyncio.get_running_loop().time() - late_s
        for at in (due_at, due_at, due_at + 0.0001, due_at):
            alarm.set(at)
        await a_moment()
        return rings

    with asyncio.Runner(loop_factory=make_loop) as runner:
        assert runner.run(set_again()) == ["due"]


async def test_it_rings_at_the_last_time_that_was_set_or_never() -> None:
    rings: list[str] = []
    loop = asyncio.get_running_loop()
    alarm = Alarm(on_due=lambda: rings.append("due"))
    alarm.set(loop.time() + 3600)
    alarm.set(None)
    alarm.set(loop.time())
    alarm.set(None)
    await a_moment()
    assert rings == []
