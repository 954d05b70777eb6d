"""Commands as processes: what they write, how they end, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import psutil
import pytest
from tests.agents.conftest import PATIENCE_S

from acprelay.agents import commands as module
from acprelay.agents.commands import Command, CommandLauncher
from acprelay.agents.models import MARKER, AgentExit, AgentLimits
from acprelay.agents.process_table import read_process_table
from acprelay.errors import AgentError, SpawnFailed

pytestmark = pytest.mark.process

QUICK = AgentLimits(grace_s=0.2, kill_s=PATIENCE_S)
"""Where the grace period is over before the command heeds anything."""

PATIENT = AgentLimits(grace_s=PATIENCE_S, kill_s=PATIENCE_S)


class Heard:
    """What a command has written."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._changed = asyncio.Event()

    def append(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.data:
                self._changed.clear()
                await self._changed.wait()


Start = Callable[..., tuple[Command, Heard]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts commands, which are ended with the test."""
    started: list[Command] = []

    def begin(
        *argv: str,
        env: Mapping[str, str] | None = None,
        cwd: Path = tmp_path,
        limits: AgentLimits = PATIENT,
    ) -> tuple[Command, Heard]:
        launcher = CommandLauncher(owner="owner", environment=os.environ, limits=limits)
        heard = Heard()
        started.append(launcher.start(argv, env=env or {}, cwd=cwd, on_output=heard.append))
        return started[-1], heard

    yield begin
    for command in started:
        await command.end()
    ours = {command.run for command in started}
    assert [entry for entry in read_process_table() if entry.run in ours] == []


def shell(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


async def exit_of(command: Command) -> AgentExit:
    async with asyncio.timeout(PATIENCE_S):
        how = await command.wait_exited()
    assert command.exit == how
    return how


async def test_both_outputs_come_in_the_order_in_which_they_were_written(start: Start) -> None:
    command, heard = start(*shell("for n in 1 2 3; do echo $n; echo e$n >&2; done; exit 3"))
    assert await exit_of(command) == AgentExit(returncode=3)
    assert heard.data == b"1\ne1\n2\ne2\n3\ne3\n"


async def test_it_has_nothing_to_read(start: Start) -> None:
    command, heard = start("cat")
    assert await exit_of(command) == AgentExit(returncode=0)
    assert heard.data == b""


async def test_a_signal_that_ended_it_is_told(start: Start) -> None:
    command, _ = start(*shell("kill -USR1 $$"))
    assert await exit_of(command) == AgentExit(signal=signal.SIGUSR1)


async def test_it_sees_the_allowlist_and_what_it_is_given(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    monkeypatch.setenv("LC_ALL", "C")
    command, heard = start("env", env={"GIVEN": "x", "LC_ALL": "C.UTF-8"})
    await exit_of(command)
    seen = dict(line.split("=", 1) for line in heard.data.decode().splitlines())
    assert seen["GIVEN"] == "x"
    assert seen["LC_ALL"] == "C.UTF-8"
    assert seen[MARKER] == command.run
    assert command.run.startswith("owner.")
    assert "SECRET_KEY" not in seen
    command, heard = start("pwd")
    await exit_of(command)
    assert heard.data.decode() == f"{tmp_path}\n"


async def test_the_marker_is_never_another_one(start: Start) -> None:
    command, heard = start("env", env={MARKER: "forged.1"})
    await exit_of(command)
    assert f"{MARKER}={command.run}".encode() in heard.data


async def test_it_leads_a_group_of_its_own(start: Start) -> None:
    command, heard = start(*shell("echo ready; sleep 1000"))
    await heard.until(b"ready")
    assert os.getpgid(command.pid) == os.getsid(command.pid) == command.pid
    assert command.exit is None


@pytest.mark.parametrize("seconds", ["trap 'echo bye; exit 4' TERM", "true"])
async def test_an_end_lets_it_say_its_last_words(start: Start, seconds: str) -> None:
    command, heard = start(*shell(f"{seconds}; echo ready; while :; do sleep 0.01; done"))
    await heard.until(b"ready")
    await command.end()
    if seconds == "true":
        assert command.exit == AgentExit(signal=signal.SIGTERM)
    else:
        assert command.exit == AgentExit(returncode=4)
        assert heard.data.endswith(b"bye\n")
    await command.end()


async def test_what_does_not_heed_sigterm_is_killed_with_all_its_descendants(
    start: Start,
) -> None:
    program = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for own_session in (False, True):\n"
        "    if os.fork() == 0:\n"
        "        if own_session: os.setsid()\n"
        "        break\n"
        "print('ready', flush=True)\n"
        "time.sleep(1000)\n"
    )
    command, heard = start(sys.executable, "-c", program, limits=QUICK)
    await heard.until(b"ready\nready\nready\n")
    tree = psutil.Process(command.pid).children(recursive=True)
    assert len(tree) == 2
    await asyncio.gather(command.end(), command.end())
    assert command.exit == AgentExit(signal=signal.SIGKILL)
    assert psutil.wait_procs(tree, timeout=PATIENCE_S)[1] == []


@pytest.mark.requirement("terminals.exits-are-told-at-once")
async def test_a_grandchild_that_holds_the_output_delays_nothing_and_is_still_heard(
    start: Start, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    os.mkfifo(go_on)
    command, heard = start(*shell(f"(read line < {go_on}; echo later; exec sleep 1000) & echo now"))
    assert await exit_of(command) == AgentExit(returncode=0)
    assert heard.data == b"now\n"
    await asyncio.to_thread(go_on.write_text, "\n")
    await heard.until(b"later")
    await command.end()


async def test_all_that_it_wrote_itself_is_there_when_its_exit_is_known(start: Start) -> None:
    command, heard = start(sys.executable, "-c", "import os; os.write(1, b'x' * 60000)")
    await exit_of(command)
    assert len(heard.data) == 60000


async def test_a_flood_keeps_nobody_waiting(start: Start) -> None:
    """While it writes without end, other work gets its turns, and it can be ended."""
    command, heard = start("yes")
    await heard.until(b"y\n" * 100_000)
    for _ in range(100):
        heard.data.clear()
        await asyncio.to_thread(int)
    await command.end()
    assert command.exit == AgentExit(signal=signal.SIGTERM)


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("no-such-program",), "there is no program 'no-such-program' on PATH"),
        (("/no/such/program",), "there is no file '/no/such/program'"),
        (("a\0b",), "null byte"),
    ],
)
async def test_what_cannot_be_started_is_told_and_leaves_no_descriptor(
    start: Start, argv: tuple[str, ...], reason: str
) -> None:
    start("true")  # whatever a first start opens for good
    before = psutil.Process().num_fds()
    with pytest.raises(SpawnFailed, match=reason) as caught:
        start(*argv)
    assert caught.value.message.startswith("cannot start ")
    with pytest.raises(SpawnFailed, match="there is no directory"):
        start("true", cwd=Path("/no/such/directory"))
    assert psutil.Process().num_fds() <= before


async def test_a_command_that_cannot_be_watched_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "watch_exit", fail)
    launcher = CommandLauncher(owner="owner", environment=os.environ, limits=PATIENT)
    with pytest.raises(MemoryError):
        launcher.start(("sleep", "1000"), env={}, cwd=tmp_path, on_output=print)
    assert psutil.Process().children() == []


async def test_an_interrupted_start_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", fail)
    launcher = CommandLauncher(owner="owner", environment=os.environ, limits=PATIENT)
    before = psutil.Process().num_fds()
    with pytest.raises(KeyboardInterrupt):
        launcher.start(("true",), env={}, cwd=tmp_path, on_output=print)
    assert psutil.Process().num_fds() == before


async def test_an_end_that_fails_is_told_and_can_be_tried_again(start: Start) -> None:
    command, heard = start(
        *shell("trap '' TERM; echo ready; while :; do sleep 0.01; done"),
        limits=AgentLimits(grace_s=0.01, kill_s=0.0),
    )
    await heard.until(b"ready")
    with pytest.raises(AgentError, match=r"cannot end command 'sh': processes .* SIGKILL"):
        await command.end()
    assert await exit_of(command) == AgentExit(signal=signal.SIGKILL)
    await command.end()
