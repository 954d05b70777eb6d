"""What is measured beside the work itself: starts of agents, delivery, the event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from acprelay.agents.ports import AgentConnection
from acprelay.errors import AgentError, SpawnFailed
from acprelay.routing.access import LOCAL
from acprelay.routing.attachment import Attachment
from acprelay.routing.log_memory import MemoryLog
from acprelay.runtime.lag_samples import LagSamples
from acprelay.runtime.measurements import WatchedLauncher, watch_loop
from acprelay.testing.agents import FakeAgent
from acprelay.wire import text_frame


class Starter:
    """Starts an agent, or fails as it is told to."""

    names = ("coder",)

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure

    async def launch(self, name: str) -> AgentConnection:
        if self._failure is not None:
            raise self._failure
        return FakeAgent(name=name)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (None, [("started", "coder")]),
        (SpawnFailed("cannot start it", hint="install it"), [("failed", "coder")]),
        (AgentError("cannot find it", hint="name another"), []),
    ],
)
async def test_a_start_is_told_and_a_program_that_does_not_start(
    failure: Exception | None, told: list[tuple[str, str]]
) -> None:
    heard: list[tuple[str, str]] = []
    launcher = WatchedLauncher(
        launcher=Starter(failure),
        on_start=lambda name: heard.append(("started", name)),
        on_failure=lambda name: heard.append(("failed", name)),
    )
    assert launcher.names == ("coder",)
    with suppress(AgentError):
        await launcher.launch("coder")
    assert heard == told


async def test_the_event_loop_is_never_early() -> None:
    heard: asyncio.Queue[float] = asyncio.Queue()
    watch = asyncio.get_running_loop().create_task(watch_loop(heard.put_nowait, every_s=0.001))
    async with asyncio.timeout(30):
        assert min([await heard.get(), await heard.get()]) >= 0
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch


@pytest.fixture
def attachment() -> Attachment:
    log = MemoryLog(generation="g", history_bytes=1 << 20)
    log.append(text_frame(b"{}"), 1)
    return Attachment(
        id="a",
        secret="s",
        session_id="s:main",
        log=log,
        cursor=0,
        principal=LOCAL.id,
        grants=LOCAL.grants,
    )


def test_a_sample_ends_once_what_was_there_when_it_began_is_written(
    attachment: Attachment,
) -> None:
    heard: list[float] = []
    samples = LagSamples(delivered=heard.append)
    samples.begin(attachment, 0.0)
    samples.begin(attachment, 1e12)  # one at a time: the first goes on
    samples.written(attachment)
    assert heard == []
    attachment.take(1 << 20)
    samples.written(attachment)
    samples.written(attachment)
    [lag_s] = heard
    assert lag_s > 0


@pytest.mark.parametrize("how", ["forget", "clear", "blind"])
def test_a_sample_that_cannot_end_is_let_go(attachment: Attachment, how: str) -> None:
    heard: list[float] = []
    samples = LagSamples(delivered=heard.append)
    samples.begin(attachment, 0.0)
    if how == "forget":
        samples.forget(attachment)
    elif how == "clear":
        samples.clear()
    else:
        attachment.is_blind = True
        samples.written(attachment)
        attachment.is_blind = False
    attachment.take(1 << 20)
    samples.written(attachment)
    assert heard == []
