"""What systemd is told of a relay that it starts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.cli.exits import ExitCode
from acprelay.cli.service_manager import ServiceManager

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PATIENCE_S = 30.0


@pytest.fixture(params=["path", "abstract"])
def listening(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd has one, and its address as systemd writes it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        if request.param == "path":
            address = str(tmp_path / "notify")
            own.bind(address)
        else:
            name = f"acprelay-test-{os.getpid()}-{tmp_path.name}"
            own.bind(f"\0{name}")
            address = f"@{name}"
        own.setblocking(False)
        yield own, address


async def hears(own: socket.socket) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        data = await asyncio.get_running_loop().sock_recv(own, 4096)
    return data.decode().splitlines()


@pytest.mark.process
@pytest.mark.requirement("operation.readiness-is-notified", "access.secrets-are-not-told")
async def test_it_is_told_of_readiness_life_what_is_waited_for_and_the_end(
    cli: Cli, listening: tuple[socket.socket, str]
) -> None:
    own, address = listening
    command = await cli.start(
        "serve", "--port", "0", "--drain", "0", NOTIFY_SOCKET=address, WATCHDOG_USEC="3600000000"
    )
    assert await hears(own) == ["WATCHDOG=1"]
    ready, status = await hears(own)
    assert ready == "READY=1"
    assert status.startswith("STATUS=serving on ws://127.0.0.1:")
    command.process.send_signal(signal.SIGTERM)
    assert await hears(own) == ["STOPPING=1"]
    assert await hears(own) == ["STATUS=no turn runs any more"]
    code, output, _ = await command.ended()
    assert code == ExitCode.OK
    assert b"/login/" not in output
    assert b"acprelay login" in output


async def test_a_sign_of_life_comes_twice_as_often_as_is_asked_for(
    listening: tuple[socket.socket, str],
) -> None:
    own, address = listening
    async with ServiceManager(address=address, watchdog_s=0.02):
        for _ in range(3):
            assert await hears(own) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "soon"},
    ],
)
async def test_where_nobody_listens_nothing_is_amiss(environ: dict[str, str]) -> None:
    async with ServiceManager.of(environ) as manager:
        manager.ready("serving")
        manager.stopping()
    manager.status("over")


async def test_a_watchdog_of_another_process_is_not_fed(
    listening: tuple[socket.socket, str],
) -> None:
    own, address = listening
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    async with ServiceManager.of(environ) as manager:
        manager.status("two\nlines")
    assert await hears(own) == ["STATUS=two lines"]
