"""A state directory that two relays want, or that is taken away from the one that has it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess
from tests.fault.clients import ENDED, WHERE, greeted, load, notice
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S
from tests.server.relays import Dialler

from acprelay.cli.exits import ExitCode
from acprelay.compose import open_relay
from acprelay.config import RelayConfig
from acprelay.errors import ConfigError

pytestmark = pytest.mark.process

GONE = "the state directory was removed, or another one is in its place"


async def in_conversation(dial: Dialler) -> tuple[AcpClient, str]:
    """A client with a session that has had a turn."""
    client = await dial()
    session_id = await client.open_session()
    assert (await client.prompt(session_id, "hello"))["result"] == ENDED
    return client, session_id


async def is_told_of_the_loss(client: AcpClient, session_id: str) -> None:
    assert (await client.prompt(session_id, "hello"))["result"] == ENDED
    told = await notice(client)
    assert told["code"] == "unavailable"
    assert told["message"] == f"cannot store the conversation: {GONE}"
    assert "put the state directory back" in told["hint"]
    error = await client.error("session/new", WHERE)
    assert error["data"]["code"] == "unavailable"
    assert error["message"].endswith(GONE)
    assert (await client.prompt(session_id, "hello"))["result"] == ENDED


async def test_of_relays_that_start_at_once_one_has_the_directory_and_the_others_say_so(
    log: Path,
) -> None:
    relay = RelayProcess(log=log)
    starts = [
        await asyncio.create_subprocess_exec(
            *relay.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    async with asyncio.timeout(PATIENCE_S):
        ends = asyncio.as_completed([start.wait() for start in starts])
        for _ in range(len(starts) - 1):
            await next(ends)
        (winner,) = (start for start in starts if start.returncode is None)
        assert winner.stdout is not None
        assert b"listens on" in await winner.stdout.readline()
        for loser in starts:
            if loser is not winner:
                said, complaint = await loser.communicate()
                assert loser.returncode == ExitCode.USAGE
                assert said == b""
                assert b"another relay has it" in complaint
                assert b"end " in complaint
                assert b"--state-dir" in complaint
                assert b"Traceback" not in complaint
        winner.terminate()
        await winner.communicate()
        await next(ends)
    assert winner.returncode == ExitCode.OK


async def test_a_relay_whose_directory_is_removed_goes_on_in_memory_and_writes_nothing_more(
    log: Path,
) -> None:
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client, session_id = await in_conversation(dial)
        async with relay.standing_still():  # or it would write while some of it is there still
            await asyncio.to_thread(shutil.rmtree, relay.state_dir)
        await is_told_of_the_loss(client, session_id)
    assert not relay.state_dir.exists()


async def test_a_relay_does_not_touch_what_another_one_has_put_in_the_place_of_its_directory(
    log: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client, session_id = await in_conversation(dial)
        relay.state_dir.rename(aside)
        other = RelayProcess(log=tmp_path / "other.log")
        other.state_dir = relay.state_dir
        with other, Dialler(other.url) as others_dial:
            await is_told_of_the_loss(client, session_id)
            others = await others_dial()
            await others.initialize()
            assert (await others.result("session/list", {}))["sessions"] == []
            error = await client.error("session/delete", {"sessionId": session_id})
            assert error["data"]["code"] == "unavailable"
            assert error["message"] == f"cannot remove the conversation's files: {GONE}"
    assert list(relay.state_dir.glob("conversations/*")) == []


async def test_a_directory_that_is_put_back_has_in_the_end_what_was_in_memory(
    log: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client, session_id = await in_conversation(dial)
        relay.state_dir.rename(aside)
        await is_told_of_the_loss(client, session_id)
        entries = await load(await greeted(await dial()), session_id)
        aside.rename(relay.state_dir)
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        assert (await load(await greeted(await dial()), session_id))[: len(entries)] == entries


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("tokens.json", "everybody needs a new token then"),
        ("invitations.json", "agents that join later need new invitations then"),
    ],
)
async def test_no_relay_starts_on_damaged_tokens_or_invitations_until_the_file_is_removed(
    tmp_path: Path, name: str, loss: str
) -> None:
    config = RelayConfig(port=0, state_dir=tmp_path)
    damaged = tmp_path / name
    damaged.write_bytes(b'[{"id":')
    with pytest.raises(ConfigError, match=re.escape(f" in {damaged}: ")) as caught:
        async with open_relay(config):
            pass
    assert caught.value.hint == f"remove the file; {loss}"
    damaged.unlink()
    async with open_relay(config) as relay:
        assert relay.owner_token
