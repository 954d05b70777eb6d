"""The check with a relay between: what the agent says must arrive byte for byte.

A recorder stands between the agent and the relay, and the client is behind `acprelay connect`. What
the recorder saw is compared with what the client got, once the relay's splices are undone.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from acprelay.testing.certify.client import Client, Trial
from acprelay.testing.certify.findings import CheckFailed
from acprelay.testing.channels import CommandChannel, command_channel
from acprelay.testing.soak.relay import Relay
from acprelay.testing.splices import undone
from acprelay.testing.transcripts import A2C, read_transcript

_CONNECT = "import sys; from acprelay.cli.entry import main; sys.exit(main())"


class Listener(CommandChannel):
    """A channel that keeps the updates that came over it, as bytes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self.updates: list[bytes] = []

    async def receive(self) -> bytes | None:
        """Gives the next message; see `Channel.receive`."""
        line = await super().receive()
        if line is not None and is_update(line):
            self.updates.append(line)
        return line


async def compare_bytes(trial: Trial) -> None:
    """Has one turn through a relay.

    Raises:
        CheckFailed: What arrived is not what the agent said.
        RelayFailed: The relay does not start.
    """
    with tempfile.TemporaryDirectory(prefix="acprelay-certify-") as name:
        folder = Path(name)
        transcript = folder / "transcript.jsonl"
        recorder = (sys.executable, "-m", "acprelay.testing.record", "--to", str(transcript), "--")
        agent = shlex.join([*recorder, *trial.command])
        options = ("--no-config", "--agent", f"certified={agent}", "--drain", "0")
        async with Relay(folder=folder, ephemeral=True, options=options) as relay:
            connect = (sys.executable, "-c", _CONNECT, "connect", "--url", relay.url)
            async with command_channel(connect) as channel:
                listener = Listener(channel.process)
                session_id = await _have_a_turn(listener, trial)
            await relay.stop()
        said = [each.line for each in read_transcript(transcript) if each.direction == A2C]
    compare(listener.updates, said, session_id)


async def _have_a_turn(listener: Listener, trial: Trial) -> str:
    client = Client(listener, replace(trial, command=()))
    session_id = await client.open_session()
    await client.prompt(session_id)
    return session_id


def compare(came: list[bytes], said: list[bytes], session_id: str) -> None:
    """Holds the updates that came against all that the agent said.

    Args:
        came: The updates, as they arrived.
        said: Every message of the agent's, in order; the turn's answer is the last one.
        session_id: What the session is called where they came.

    Raises:
        CheckFailed: They are not the same.
    """
    own = [line for line in said if is_update(line)]
    results = [json.loads(line).get("result") for line in said]
    ids = [each["sessionId"] for each in results if isinstance(each, dict) and "sessionId" in each]
    replaced = {_raw(session_id): _raw(ids[0])} if ids else {}
    for number, frame in enumerate(came):
        if number >= len(own) or own[number] not in undone(frame, replaced):
            raise CheckFailed(f"update {number + 1} arrived as {frame[:200]!r}")
    # What the agent says after the turn's answer is not waited for.
    last_answer = max((at for at, result in enumerate(results) if result is not None), default=0)
    in_time = sum(map(is_update, said[:last_answer]))
    if len(came) < in_time:
        raise CheckFailed(f"of {in_time} updates {len(came)} arrived before the turn's answer")


def is_update(line: bytes) -> bool:
    """Whether a line is a `session/update`."""
    message = json.loads(line)
    return isinstance(message, dict) and message.get("method") == "session/update"


def _raw(value: Any) -> bytes:
    return json.dumps(value).encode()
