"""What the pages for programs show is run as it stands there."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from acprelay import __version__
from acprelay.compose import open_relay
from acprelay.config import RelayConfig

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.process


def block_with(page: str, text: str) -> str:
    blocks: list[str] = re.findall(
        r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL
    )
    (block,) = [block for block in blocks if text in block]
    return block


async def run(script: str, **environment: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return output.decode().splitlines()


async def run_with_relay(script: str) -> list[str]:
    """Runs a script against a relay in this process, as its owner."""
    async with open_relay(RelayConfig(port=0)) as relay:
        assert relay.owner_token is not None
        here = script.replace("http://127.0.0.1:8137", relay.base_url)
        return await run(here, ACPRELAY_TOKEN=relay.owner_token)


@pytest.mark.requirement("embedding.examples-run")
async def test_the_first_lines_for_the_client_open_a_crew_and_ask_it() -> None:
    output = await run_with_relay(block_with("client.md", "Role("))
    assert output[0] == "end_turn"
    assert sorted(output[1:]) == ["duo:auth active", "duo:db active"]


async def test_the_lines_for_conversations_answer_a_permission_and_read_it_all_again() -> None:
    output = await run_with_relay(block_with("client.md", "client.attach("))
    assert output[:2] == ["may it tidy up", "end_turn"]
    assert "session/update True" in output
    assert output[-1] == "_acprelay/turn_ended True"


async def test_the_lines_for_events_see_the_turn_end() -> None:
    output = await run_with_relay(block_with("client.md", "stream_events("))
    assert output[-1] == "turn_ended"


@pytest.mark.requirement("embedding.examples-run")
async def test_the_lines_for_a_relay_with_a_server_of_its_own_ask_it() -> None:
    assert await run(block_with("embedding.md", "open_relay")) == ["end_turn"]


@pytest.mark.requirement("embedding.examples-run")
async def test_the_lines_for_a_relay_below_a_path_reach_it_there() -> None:
    output = await run(block_with("embedding.md", "who_asks"))
    assert output == [__version__, "/relay/acp"]


async def test_the_lines_for_run_app_make_an_application_that_ends_with_its_relay() -> None:
    script = block_with("embedding.md", "web.run_app").replace('"__main__"', "None")
    script += """
import asyncio

async def main():
    app = await program()
    runner = web.AppRunner(app)
    await runner.setup()
    print(*sorted(resource.canonical for resource in app.router.resources()))
    await runner.cleanup()

asyncio.run(main())
"""
    assert await run(script) == ["/relay"]
