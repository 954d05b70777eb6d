"""`acprelay connect` whose connection is cut at any byte: its editor is answered, and it ends."""

from __future__ import annotations

import asyncio
import json
import sysconfig
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from tests.fault.network.site import Site
from tests.fault.network.weather import Cut, Forecast, Weather
from tests.server.clients import prompt_params
from tests.server.peers import Message
from tests.server.relays import Dialler

from acprelay.cli.exits import ExitCode

pytestmark = pytest.mark.process

PROGRAM = Path(sysconfig.get_path("scripts")) / "acprelay"
PATIENCE_S = 60.0


class Editor:
    """Whoever has started the command as its agent."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._last_id = 0

    async def begin(self, method: str, params: Message) -> int:
        """Writes a request, and gives its id."""
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        return self._last_id

    async def read(self) -> Message:
        """Reads a line, which must be a whole message; nothing at the end."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        message: Message = json.loads(line) if line else {}
        return message

    async def until_answered(self, request_id: int) -> Message:
        """Gives the answer to a request."""
        while (message := await self.read()).get("id") != request_id or "method" in message:
            assert message, "it has ended without an answer"
        return message


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[Editor, Process]]:
    """Runs the command."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "connect", "--url", url, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        yield Editor(process), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.requirement("network.lost-relays-are-told")
@pytest.mark.parametrize("seed", range(4))
async def test_an_editor_whose_connection_is_cut_at_any_byte_has_whole_lines_and_every_answer(
    place: Site, seed: int
) -> None:
    random = Random(f"connect {seed}")
    cut = Weather(
        slice_bytes=random.choice([1, 100, 65_536]),
        cut_after=random.randrange(20_000),
        cut=random.choice([Cut.RESET, Cut.CLOSE]),
    )
    async with (
        asyncio.timeout(PATIENCE_S),
        place.proxy() as proxy,
        connected(place.through(place.relay.base_url)) as (editor, process),
    ):
        await editor.until_answered(await editor.begin("initialize", {"protocolVersion": 1}))
        load: Message = {"sessionId": place.session_id, "cwd": "/", "mcpServers": []}
        await editor.until_answered(await editor.begin("session/load", load))
        text = "/stream 100 60\n/slow 600"
        prompt_id = await editor.begin("session/prompt", prompt_params(place.session_id, text))
        proxy.turn(Forecast(down=cut))
        error = (await editor.until_answered(prompt_id))["error"]
        assert error["data"]["code"] == "relay_unreachable"
        assert error["data"]["hint"]
        assert await editor.read() == {}
        assert await process.wait() == ExitCode.UNREACHABLE
    await cancel(place)


async def cancel(place: Site) -> None:
    """Ends the turn, which goes on without its editor."""
    with Dialler(place.relay.url) as dial:
        client = await dial()
        await client.initialize()
        session: Message = {"sessionId": place.session_id}
        await client.result("session/resume", {**session, "cwd": "/", "mcpServers": []})
        turns = await client.result("_acprelay/turns", session)
        await client.result("_acprelay/cancel_turn", {**session, "turn": turns["running"]["turn"]})
        await client.until("_acprelay/turn_ended")
