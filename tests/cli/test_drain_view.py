"""What somebody at a terminal, and the log, see of a drain."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator

import pytest

from acprelay.cli.drain_view import DrainView
from acprelay.cli.service_manager import ServiceManager
from acprelay.routing.draining import DrainProgress


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def told(*steps: tuple[tuple[str, ...], float]) -> AsyncIterator[DrainProgress]:
    for waiting_for, left_s in steps:
        yield DrainProgress(waiting_for=waiting_for, left_s=left_s)


async def shown(screen: io.StringIO, *steps: tuple[tuple[str, ...], float]) -> str:
    manager = ServiceManager(address=None, watchdog_s=None)
    view = DrainView(screen=screen, again="press Ctrl-C again", manager=manager)
    await view.show(told(*steps))
    return screen.getvalue()


async def test_a_terminal_shows_one_line_that_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    text = await shown(FakeTerminal(), (("a:main",), 3.0), (("a:main",), 2.0), ((), 1.0))
    assert text.split("\r\x1b[K") == [
        "",
        "waiting for 1 turn: a:main; 3 s left; press Ctrl-C again",
        "waiting for 1 turn: a:main; 2 s left; press Ctrl-C again",
        "no turn runs any more\n",
    ]
    # The log has what is news, and not every second.
    assert [record.getMessage() for record in caplog.records] == [
        "the relay drains: waiting for 1 turn: a:main; 3 s left",
        "the relay drains: no turn runs any more",
    ]


async def test_what_is_no_terminal_gets_nothing_but_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await shown(io.StringIO(), (("a:main",), 3.0), (("a:main",), 0.0)) == ""
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_relay_without_turns_stops_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert await shown(FakeTerminal(), ((), 30.0)) == ""
    assert caplog.text == ""
