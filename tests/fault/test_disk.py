"""A disk that refuses for a while, at any call, and one that is full or read-only for real."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess
from tests.fault.clients import ENDED, greeted, load, notice
from tests.fault.house import House
from tests.fault.mounts import read_only, small_disk
from tests.fault.nursery import Death, Nursery
from tests.server.peers import PATIENCE_S
from tests.server.relays import Dialler

from acprelay.cli.exits import ExitCode

pytestmark = pytest.mark.process

ALL = 1 << 30
PARTS = 4
"""Each part of the calls is tried by itself, so that the parts can be tried at once."""


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery") / "log") as it:
        yield it


def is_said_why(death: Death, number: int) -> None:
    for refusal in death.all("refused"):
        assert refusal["data"]["code"] in {"unavailable", "config_error"}
        assert os.strerror(number) in refusal["message"]
        assert refusal["data"]["hint"]


@pytest.mark.parametrize(
    ("number", "most", "first", "step"),
    [
        *(
            pytest.param(errno.EIO, 1, 1 + part, PARTS, id=f"one call fails, part {part}")
            for part in range(PARTS)
        ),
        pytest.param(errno.ENOSPC, ALL, 1, 5, id="all fail from one on until it is mended"),
    ],
)
def test_a_disk_may_fail_at_any_call_and_nothing_that_was_shown_is_lost(
    *, nursery: Nursery, tmp_path: Path, number: int, most: int, first: int, step: int
) -> None:
    at, has_failed = first, True
    while has_failed:
        house = House(tmp_path / f"{at}", nursery)
        death = house.live("steady", dies_at=at, errno=number, most=most)
        is_said_why(death, number)
        house.judge_that_all_is_kept()
        has_failed = at <= death.last("calls")
        at += step
    assert at > 20


async def test_on_a_full_disk_conversations_go_on_in_memory_and_are_stored_once_there_is_room(
    log: Path,
) -> None:
    with small_disk(log.parent / "relay.state") as disk, RelayProcess(log=log) as relay:
        with Dialler(relay.url) as dial:
            client = await dial()
            session_id = await client.open_session()
            await disk.fill()
            assert (await client.prompt(session_id, "/stream 500 100"))["result"] == ENDED
            told = await notice(client)
            assert told["code"] == "unavailable"
            assert told["message"] == "cannot store the conversation: No space left on device"
            assert "make room on the disk" in told["hint"]
            entries = await load(await greeted(await dial()), session_id)
            disk.free()
        assert await relay.stop() == ExitCode.OK
        with RelayProcess(log=log) as heir, Dialler(heir.url) as dial:
            found = await load(await greeted(await dial()), session_id)
            assert found[: len(entries)] == entries


async def test_a_relay_starts_on_a_full_disk_and_serves_what_it_has(log: Path) -> None:
    with small_disk(log.parent / "relay.state") as disk:
        with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
            client = await dial()
            session_id = await client.open_session()
            assert (await client.prompt(session_id, "hello"))["result"] == ENDED
            entries = await load(client, session_id)
        await disk.fill()
        with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
            found = await load(await greeted(await dial()), session_id)
            assert found[: len(entries)] == entries


async def test_a_directory_that_becomes_read_only_is_told_of_and_so_is_a_start_on_it(
    log: Path,
) -> None:
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        with read_only(relay.state_dir):
            assert (await client.prompt(session_id, "hello"))["result"] == ENDED
            told = await notice(client)
            assert told["message"] == "cannot store the conversation: Read-only file system"
            assert "mount the disk for writing" in told["hint"]
            error = await client.error("_acprelay/invite", {"group": "g"})
            assert error["data"]["code"] == "unavailable"
            assert error["message"].endswith("Read-only file system")
            await relay.stop()
            start = await asyncio.create_subprocess_exec(
                *relay.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            async with asyncio.timeout(PATIENCE_S):
                _, complaint = await start.communicate()
            assert start.returncode == ExitCode.USAGE
            assert f"cannot use the state directory {relay.state_dir}" in complaint.decode()
            assert b"Traceback" not in complaint
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        entries = await load(await greeted(await dial()), session_id)
        assert "ended" in [entry["params"].get("outcome") for entry in entries]


async def test_a_decision_that_the_audit_log_cannot_hold_holds_all_the_same(log: Path) -> None:
    relay = RelayProcess(log=log)
    audit = relay.state_dir / "audit.jsonl"
    audit.mkdir(parents=True, mode=0o700)
    relay.state_dir.chmod(0o700)
    with relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        prompt = await client.begin_prompt(session_id, "/tool Ask whoever is there")
        ask = await client.until("session/request_permission")
        chosen = {"outcome": "selected", "optionId": "allow"}
        await client.send({"id": ask["id"], "result": {"outcome": chosen}})
        settled = (await client.until("_acprelay/permission_settled"))["params"]
        assert (settled["outcome"], settled["optionId"]) == ("selected", "allow")
        assert (await client.answer_to(prompt))["result"] == ENDED
    logged = await asyncio.to_thread(log.read_text)
    assert f"cannot write to the audit log {audit}, an entry is lost: Is a directory" in logged
