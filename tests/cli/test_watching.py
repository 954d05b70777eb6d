"""`acprelay permissions`, `transcript` and `events`: what goes on, for people and for scripts."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.cli.exits import ExitCode
from acprelay.client import PermissionRequest, RelayClient
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

pytestmark = pytest.mark.process

PATIENCE_S = 60.0


@pytest.fixture
async def relay() -> AsyncIterator[RunningRelay]:
    async with open_relay(RelayConfig(port=0, auth=False)) as running:
        yield running


@pytest.fixture
async def client(relay: RunningRelay, tmp_path: Path) -> AsyncIterator[RelayClient]:
    async with asyncio.timeout(PATIENCE_S), RelayClient(relay.url) as entered:
        await entered.open_group(cwd=str(tmp_path), group="task")
        yield entered


async def test_a_permission_is_listed_and_answered(
    cli: Cli, relay: RunningRelay, client: RelayClient
) -> None:
    asked = asyncio.Event()

    async def leave_it(_request: PermissionRequest) -> None:
        asked.set()
        await asyncio.Event().wait()  # until somebody else has answered

    at = ("--url", relay.url)
    async with asyncio.TaskGroup() as tasks:
        turn = tasks.create_task(
            client.ask("task:main", "/tool Launch\x1b it", on_permission=leave_it)
        )
        await asked.wait()
        _, output, _ = await cli.run("permissions", "list", *at)
        headers, row = output.decode().splitlines()
        assert headers.split() == ["ASK", "SESSION", "SINCE", "OPTIONS", "WHAT"]
        assert "task:main" in row
        assert "Launch^[ it" in row
        _, output, _ = await cli.run("permissions", "list", "--json", *at, "--session", "task:main")
        [waiting] = map(json.loads, output.splitlines())
        option = waiting["options"][0]["optionId"]
        code, output, _ = await cli.run("permissions", "answer", waiting["ask"], option, *at)
        assert (code, output.decode()) == (ExitCode.OK, f"settled {waiting['ask']}\n")
        assert (await turn).stop_reason == "end_turn"
    code, output, errors = await cli.run("permissions", "answer", waiting["ask"], "--cancel", *at)
    assert (code, output) == (ExitCode.ERROR, b"")
    assert "cannot find permission" in errors


@pytest.mark.parametrize("options", [[], ["allow", "--cancel"]])
async def test_an_answer_is_an_option_or_none(
    cli: Cli, relay: RunningRelay, options: list[str]
) -> None:
    code, _, errors = await cli.run("permissions", "answer", "x", *options, "--url", relay.url)
    assert code == ExitCode.USAGE
    assert "permissions list shows" in errors


async def test_a_transcript_is_read_by_people_and_by_scripts(
    cli: Cli, relay: RunningRelay, client: RelayClient
) -> None:
    await client.ask("task:main", "/think Well.\nhello")
    argv = ("transcript", "task:main", "--url", relay.url)
    code, output, errors = await cli.run(*argv)
    assert (code, errors) == (ExitCode.OK, "")
    lines = output.decode().splitlines()
    assert lines[:2] == ["> /think Well.", "> hello"]
    assert lines[2].startswith("[thought] Well.")
    _, output, _ = await cli.run(*argv, "--json")
    entries = [json.loads(line) for line in output.splitlines()]
    assert entries[0].keys() == {"position", "message"}
    _, output, _ = await cli.run(*argv, "--json", "--after", entries[-2]["position"])
    assert [json.loads(line) for line in output.splitlines()] == entries[-1:]


async def test_a_session_that_is_not_there_has_no_transcript(cli: Cli, relay: RunningRelay) -> None:
    code, output, errors = await cli.run("transcript", "no:body", "--url", relay.url)
    assert (code, output) == (ExitCode.ERROR, b"")
    assert errors.startswith("acprelay: cannot find session 'no:body'\n")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.OK)],
)
async def test_events_are_printed_until_a_signal_comes(
    cli: Cli, relay: RunningRelay, client: RelayClient, number: signal.Signals, code: ExitCode
) -> None:
    await client.ask("task:main", "hello")
    argv = ("events", "--after", "elsewhere:1", "--url", relay.url)
    command = await cli.start(*argv, "--json")
    seen = [json.loads(await command.line())]
    while seen[-1]["event"] != "turn_ended":
        seen.append(json.loads(await command.line()))
    assert seen[0]["event"] == "lost"
    assert {event["sessionId"] for event in seen[1:]} == {"task:main"}
    command.process.send_signal(number)
    assert await command.ended() == (code, b"", "")


async def test_people_see_events_in_lines(
    cli: Cli, relay: RunningRelay, client: RelayClient
) -> None:
    await client.ask("task:main", "hello")
    command = await cli.start("events", "--after", "elsewhere:1", "--url", relay.url)
    assert (await command.line()).split()[:3] == [b"-", b"-", b"lost"]
    line = b""
    while b"turn_ended" not in line:
        line = await command.line()
    assert b"task:main" in line
    command.process.terminate()
    await command.ended()
