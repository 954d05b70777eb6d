"""The first signal, wherever a command is when it comes."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from acprelay.cli import agent_probe, connect, run, serve
from acprelay.cli.credentials import Reach
from acprelay.cli.exits import ExitCode
from acprelay.cli.parser import build_parser
from acprelay.compose import DEMO_AGENT
from acprelay.config import RelayConfig

Starts = Callable[[argparse.Namespace], Coroutine[object, object, object]]


@asynccontextmanager
async def _starting(_: object, **_more: object) -> AsyncIterator[None]:
    """What never gets ready."""
    await asyncio.Event().wait()
    yield


async def _probing(_: object, *, deadline_s: float) -> None:
    """The same, for what is no context."""
    assert deadline_s
    await asyncio.Event().wait()


@asynccontextmanager
async def _signalled(_: object, **_more: object) -> AsyncIterator[None]:
    """What never gets ready, as a signal comes before."""
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()
    yield


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["serve", "--no-config"], ExitCode.OK),
        (["connect", "--url", "ws://127.0.0.1:1/acp"], ExitCode.OK),
        (["run", "--no-config", "hello"], 128 + signal.SIGTERM),
    ],
)
def test_a_signal_while_it_starts_ends_a_command_in_good_order(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], code: int
) -> None:
    monkeypatch.setattr(serve, "open_relay", _signalled)
    monkeypatch.setattr(run, "open_relay", _signalled)
    monkeypatch.setattr(connect, "open_socket", _signalled)
    commands = {"serve": serve.command, "run": run.command, "connect": connect.command}
    before = signal.getsignal(signal.SIGTERM)
    assert commands[argv[0]](build_parser().parse_args(argv)) == code
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    "start",
    [
        lambda _: serve._serve(RelayConfig(port=0), None),
        run._run,
        lambda _: connect._connect(Reach(url="ws://127.0.0.1:1/acp")),
        lambda _: agent_probe._probe(DEMO_AGENT, deadline_s=60.0),
    ],
)
async def test_a_cancellation_that_no_signal_asked_for_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, start: Starts
) -> None:
    monkeypatch.setattr(serve, "open_relay", _starting)
    monkeypatch.setattr(run, "open_relay", _starting)
    monkeypatch.setattr(connect, "open_socket", _starting)
    monkeypatch.setattr(agent_probe, "probe_agent", _probing)
    arguments = build_parser().parse_args(["run", "--no-config", "hello"])
    task = asyncio.get_running_loop().create_task(start(arguments))
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
