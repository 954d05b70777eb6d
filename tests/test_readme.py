"""What the README shows is run as it stands there."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from acprelay.compose import open_relay
from acprelay.config import RelayConfig

README = Path(__file__).parents[1] / "README.md"


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def block_with(text: str) -> str:
    (block,) = [block for block in code_blocks("python") if text in block]
    return block


async def run_script(script: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.mark.process
async def test_the_script_for_the_sdk_sees_the_updates_in_order_and_the_end_of_the_turn(
    tmp_path: Path,
) -> None:
    script = block_with("create_websocket_stream")
    async with open_relay(RelayConfig(port=0, state_dir=tmp_path)) as relay:
        assert relay.owner_token is not None
        shown = script.replace("ws://127.0.0.1:8137/acp", relay.url)
        output = await run_script(shown, ACPRELAY_TOKEN=relay.owner_token)
    lines = output.splitlines()
    assert lines[-1] == "end_turn"
    kinds = [line.split()[0] for line in lines if re.match(r"[A-Z]\w+(Update|Chunk)\b", line)]
    assert kinds == [
        "AvailableCommandsUpdate",
        "AgentThoughtChunk",
        "AgentPlanUpdate",
        "AgentMessageChunk",
        "AgentMessageChunk",
        "AgentMessageChunk",
        "AgentPlanUpdate",
    ]


@pytest.mark.process
async def test_the_lines_for_embedding_run_a_relay_on_a_free_port() -> None:
    output = await run_script(block_with("open_relay"))
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/acp\nlogin:auth login:db\n", output)


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = README.with_name("Makefile").read_text()
    shown = "".join(code_blocks("sh"))
    named = set(re.findall(r"^make (\w+)$", shown, re.MULTILINE))
    assert named == {"serve", "test"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
