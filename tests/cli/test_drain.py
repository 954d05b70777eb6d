"""How `acprelay serve` drains when it is asked to stop."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import psutil
import pytest

from acprelay.cli.exits import ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Command

pytestmark = pytest.mark.process

PATIENCE_S = 30.0
OWNERS_FILE = "owner-token"


class Watcher:
    """A client of a relay that says what a test tells it to, and reads what it is told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = iter(range(1, 1000))

    async def ask(self, method: str, params: object) -> int:
        number = next(self._ids)
        await self._socket.send_json(
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        )
        return number

    async def until(self, **members: object) -> dict[str, object]:
        """Reads up to a message that has such members."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = json.loads((await self._socket.receive()).data)
                if members.items() <= message.items():
                    assert isinstance(message, dict)
                    return message

    async def answers(self, number: object, result: object) -> None:
        await self._socket.send_json({"jsonrpc": "2.0", "id": number, "result": result})

    async def until_closed(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await self._socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                pass

    async def opens(self) -> str:
        start = {"protocolVersion": 1, "clientCapabilities": {}}
        await self.until(id=await self.ask("initialize", start))
        answer = await self.until(
            id=await self.ask("session/new", {"cwd": "/tmp", "mcpServers": []})
        )
        result = answer["result"]
        assert isinstance(result, dict)
        return str(result["sessionId"])

    async def prompts(self, session: str, text: str) -> int:
        block = {"type": "text", "text": text}
        return await self.ask("session/prompt", {"sessionId": session, "prompt": [block]})


@asynccontextmanager
async def _watching(cli: Cli, address: str) -> AsyncIterator[tuple[Watcher, aiohttp.ClientSession]]:
    """A client with the owner's token, which the relay keeps for whoever may read its state."""
    token = (cli.cwd / "state" / "acprelay" / OWNERS_FILE).read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"ws://{address}/acp") as socket,
    ):
        yield Watcher(socket), session


async def _serve(cli: Cli, *argv: str) -> tuple[Command, str]:
    command = await cli.start("serve", "--port", "0", "--log-level", "info", *argv)
    first = (await command.line()).decode()
    matched = re.search(r"listens on ws://(127\.0\.0\.1:\d+)/acp\n", first)
    assert matched is not None
    return command, matched[1]


@pytest.mark.requirement("lifecycle.shutdown-gives-turns-time")
@pytest.mark.requirement("lifecycle.shutdown-takes-no-sessions")
async def test_a_turn_that_runs_is_waited_for_clients_are_told_and_nothing_new_begins(
    cli: Cli,
) -> None:
    command, address = await _serve(cli)
    async with _watching(cli, address) as (watcher, session):
        public_id = await watcher.opens()
        running = await watcher.prompts(public_id, "/tool\nbye")
        asked = await watcher.until(method="session/request_permission")
        queued = await watcher.prompts(public_id, "later")
        await watcher.until(id=await watcher.ask("_acprelay/turns", {"sessionId": public_id}))
        agents = command.children()
        assert len(agents) == 1

        command.process.send_signal(signal.SIGTERM)

        refused = await watcher.until(id=queued)
        notice = await watcher.until(method="_acprelay/notice")
        assert _code(refused["error"]) == "relay_draining"
        assert isinstance(notice["params"], dict)
        assert notice["params"]["code"] == "relay_draining"
        opening = await watcher.ask("session/new", {"cwd": "/tmp", "mcpServers": []})
        assert _code((await watcher.until(id=opening))["error"]) == "relay_draining"
        async with session.get(f"http://{address}/readyz") as ready:
            assert (ready.status, (await ready.json())["code"]) == (503, "relay_draining")

        # A permission may be answered all the same: the turn cannot end without.
        params = asked["params"]
        assert isinstance(params, dict)
        chosen = {"outcome": "selected", "optionId": params["options"][0]["optionId"]}
        await watcher.answers(asked["id"], {"outcome": chosen})
        assert (await watcher.until(id=running))["result"] == {"stopReason": "end_turn"}
        await watcher.until_closed()
    code, _output, errors = await command.ended()
    assert code == ExitCode.OK
    assert f"waiting for 1 turn: {public_id}; 30 s left" in errors
    assert "no turn runs any more" in errors
    assert not any(agent.is_running() for agent in agents)


async def test_a_turn_that_takes_longer_is_ended_with_its_agent(cli: Cli) -> None:
    command, address = await _serve(cli, "--drain", "0.3")
    async with _watching(cli, address) as (watcher, _session):
        await watcher.prompts(await watcher.opens(), "/stream 1\n/slow 3600")
        await watcher.until(method="_acprelay/turn_started")
        agents = command.children()
        command.process.send_signal(signal.SIGTERM)
        code, _output, errors = await command.ended()
    assert code == ExitCode.OK
    assert "the time is up: ending 1 turn" in errors
    assert len(agents) == 1
    assert not any(agent.is_running() for agent in agents)


async def test_a_second_signal_ends_a_drain_at_once(cli: Cli) -> None:
    command, address = await _serve(cli, "--drain", "3600")
    async with _watching(cli, address) as (watcher, _session):
        await watcher.prompts(await watcher.opens(), "/stream 1\n/slow 3600")
        await watcher.until(method="_acprelay/turn_started")
        agents = command.children()
        command.process.send_signal(signal.SIGINT)
        assert command.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while b"waiting for 1 turn" not in await command.process.stderr.readline():
                pass
        command.process.send_signal(signal.SIGINT)
        code, _output, _errors = await command.ended()
    assert code == ExitCode.INTERRUPTED
    loop = asyncio.get_running_loop()
    gone, alive = await loop.run_in_executor(None, lambda: psutil.wait_procs(agents, timeout=30))
    assert (len(gone), alive) == (1, [])


def _code(error: object) -> object:
    assert isinstance(error, dict)
    return error["data"]["code"]


@pytest.mark.requirement("operation.drain-can-be-asked-for")
async def test_the_command_has_a_relay_drain_and_waits_until_it_has_stopped(cli: Cli) -> None:
    command, address = await _serve(cli)
    token = (cli.cwd / "state" / "acprelay" / OWNERS_FILE).read_text().strip()
    async with _watching(cli, address) as (watcher, _session):
        public_id = await watcher.opens()
        running = await watcher.prompts(public_id, "/tool\nbye")
        asked = await watcher.until(method="session/request_permission")
        drain = await cli.start(
            *("drain", "--url", f"http://{address}", "--wait"), ACPRELAY_TOKEN=token
        )
        await watcher.until(method="_acprelay/notice")
        params = asked["params"]
        assert isinstance(params, dict)
        chosen = {"outcome": "selected", "optionId": params["options"][0]["optionId"]}
        await watcher.answers(asked["id"], {"outcome": chosen})
        await watcher.until(id=running)
    assert (await command.ended())[0] == ExitCode.OK
    code, output, errors = await drain.ended()
    assert (code, output) == (ExitCode.OK, b"")
    first, *_, last = errors.splitlines()
    assert first == f"waiting for 1 turn: {public_id}; 30 s left"
    assert last == "the relay has stopped"


async def test_the_command_with_a_token_of_nobody_is_refused(cli: Cli) -> None:
    _command, address = await _serve(cli)
    drain = await cli.start("drain", "--url", f"http://{address}", ACPRELAY_TOKEN="acpr_nobody")
    code, _output, errors = await drain.ended()
    assert code != ExitCode.OK
    assert errors.startswith("acprelay: cannot ")
