"""The page on the control API: its commands are run as they stand there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from tests.server.api_client import api_client

from acprelay.compose import RunningRelay

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is missing"
    ),
]

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
OPEN, PROMPT, ANSWER, END, WATCH = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)


async def run(script: str, relay: RunningRelay) -> str:
    # Older versions of curl have no --json.
    script = script.replace("--json", "-H 'Content-Type: application/json' --data")
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-ec",
        script,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "RELAY": relay.base_url, "TOKEN": "any"},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode == 0, script
    return output.decode()


async def test_the_commands_open_prompt_allow_read_and_end(relay: RunningRelay) -> None:
    async with api_client(relay.base_url) as api, api.events() as events:
        opened = json.loads(await run(OPEN, relay))
        prompted = json.loads(await run(PROMPT, relay))
        await events.until("permission_asked")
        answered = json.loads(await run(ANSWER, relay))
        ended = await events.until("turn_ended")
        transcript, closed = map(json.loads, (await run(END, relay)).splitlines())

    assert [each["sessionId"] for each in opened["roles"]] == ["login:auth", "login:db"]
    assert answered["settled"] is True
    assert ended["turn"] == prompted["turn"]
    assert transcript["entries"]
    assert closed == {"sessions": ["login:auth", "login:db"]}


async def test_the_events_look_as_the_page_shows_them(relay: RunningRelay) -> None:
    async with api_client(relay.base_url) as api:
        async with api.events() as events:
            await run(OPEN, relay)
            await api("POST", "/sessions/login:auth/prompts", {"text": "hello"})
            await events.until("turn_ended")
        async with api.events("?after=earlier:1&group=login") as again:
            ended = await again.until("turn_ended")
    shown = re.search(r"data: (\{.*\})", PAGE)

    assert shown is not None
    assert list(ended) == list(json.loads(shown[1]))
    assert "/api/v1/events?group=login" in WATCH
