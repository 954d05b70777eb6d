"""Programs that are run to their end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.workspace.conftest import PATIENCE_S

from acprelay.cli.loop import run_async
from acprelay.workspace.process import Ended, NotStarted, Sink, run_process

pytestmark = pytest.mark.process


async def run(
    script: str,
    *args: str,
    stdin: bytes = b"",
    timeout_s: float = PATIENCE_S,
    grace_s: float = PATIENCE_S,
    most: int = 1 << 20,
    sink: Sink | None = None,
) -> Ended:
    async with asyncio.timeout(PATIENCE_S):
        return await run_process(
            ["sh", "-c", script, "sh", *args],
            env=dict(os.environ),
            stdin=stdin,
            timeout_s=timeout_s,
            grace_s=grace_s,
            most=most,
            sink=sink,
        )


async def appears(path: Path) -> str:
    """Waits until a script has written a line to a file; gives it."""
    async with asyncio.timeout(PATIENCE_S):
        while not path.exists() or not path.read_text().endswith("\n"):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.005)
    return path.read_text().strip()  # noqa: ASYNC240


async def test_a_program_tells_its_exit_code_and_what_it_wrote() -> None:
    ended = await run("cat; echo wrong >&2; exit 3", stdin=b"right\n")
    assert ended == Ended(code=3, out=b"right\n", err="wrong\n")


async def test_a_program_that_gets_nothing_to_read_reads_the_end() -> None:
    assert await run("cat; echo done") == Ended(code=0, out=b"done\n", err="")


async def test_a_program_reads_no_more_than_a_pipe_takes() -> None:
    with pytest.raises(ValueError, match="4097 bytes"):
        await run("cat", stdin=b"x" * 4097)


async def test_a_signal_is_a_negative_code() -> None:
    assert (await run("kill -KILL $$")).code == -signal.SIGKILL


async def test_output_is_kept_up_to_its_bound_and_the_program_ends_all_the_same() -> None:
    ended = await run("head -c 1000000 /dev/zero; echo done >&2", most=100_000)
    assert ended == Ended(code=0, out=b"\0" * 100_000, err="done\n", overflowed=True)


async def test_output_goes_to_a_sink_without_a_bound() -> None:
    pieces: list[bytes] = []
    ended = await run("head -c 1000000 /dev/zero", most=10, sink=pieces.append)
    assert ended == Ended(code=0, out=b"", err="")
    assert b"".join(pieces) == b"\0" * 1_000_000


async def test_what_a_sink_raises_reaches_the_caller_when_the_program_has_ended() -> None:
    calls: list[int] = []

    def fail(piece: bytes) -> None:
        calls.append(len(piece))
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await run("head -c 1000000 /dev/zero", sink=fail)
    assert len(calls) == 1


async def test_a_program_whose_time_is_up_is_asked_to_end() -> None:
    with pytest.raises(TimeoutError):
        await run("sleep 1000", timeout_s=0.05)


async def test_a_cancelled_caller_returns_when_the_program_has_ended_in_good_order(
    tmp_path: Path,
) -> None:
    script = """trap 'echo end > "$1/ended"; exit' TERM; echo > "$1/begun"
        while :; do sleep 0.01; done"""
    task = asyncio.get_running_loop().create_task(run(script, str(tmp_path)))
    await appears(tmp_path / "begun")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert (tmp_path / "ended").read_text() == "end\n"


async def test_a_caller_that_is_cancelled_again_still_waits_for_the_end(tmp_path: Path) -> None:
    script = """trap 'echo > "$1/asked"; while [ ! -e "$1/go" ]; do sleep 0.01; done; exit' TERM
        echo > "$1/begun"; while :; do sleep 0.01; done"""
    task = asyncio.get_running_loop().create_task(run(script, str(tmp_path)))
    await appears(tmp_path / "begun")
    task.cancel()
    await appears(tmp_path / "asked")
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    (tmp_path / "go").touch()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_program_that_does_not_heed_is_killed_with_its_whole_group(tmp_path: Path) -> None:
    script = """trap '' TERM; sh -c 'trap "" TERM; echo $$ > "$1/child"; sleep 1000' sh "$1" &
        wait; sleep 1000"""
    task = asyncio.get_running_loop().create_task(run(script, str(tmp_path), grace_s=0.05))
    child = await appears(tmp_path / "child")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(child))


async def test_what_outlives_a_program_that_heeds_is_killed(tmp_path: Path) -> None:
    script = """sh -c 'trap "" TERM; echo $$ > "$1/child"; exec sleep 1000' sh "$1" & wait"""
    task = asyncio.get_running_loop().create_task(run(script, str(tmp_path)))
    child = await appears(tmp_path / "child")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(child))


async def gone(pid: int) -> None:
    """Waits until a process is no more, or only waits for whoever has inherited it."""
    async with asyncio.timeout(PATIENCE_S):
        with suppress(psutil.NoSuchProcess):
            while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def test_a_descendant_that_holds_the_pipes_delays_nothing(tmp_path: Path) -> None:
    ended = await run('sleep 1000 & echo $! > "$1/child"; echo done', str(tmp_path))
    assert ended == Ended(code=0, out=b"done\n", err="")
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


async def test_a_program_that_is_not_there_is_an_error_and_leaves_nothing_open() -> None:
    before = psutil.Process().num_fds()
    for stdin in (b"", b"x"):
        with pytest.raises(NotStarted, match="No such file"):
            await run_process(
                ["no-such-program"],
                env={"PATH": "/nowhere"},
                stdin=stdin,
                timeout_s=1,
                grace_s=1,
                most=1,
            )
    assert psutil.Process().num_fds() == before


async def test_runs_leave_no_descriptor_open() -> None:
    await run("cat", stdin=b"x")
    before = psutil.Process().num_fds()
    for _ in range(5):
        await run("cat; echo x >&2", stdin=b"x")
        with pytest.raises(TimeoutError):
            await run("exec >&-; sleep 1000", timeout_s=0.01)
    assert psutil.Process().num_fds() == before


async def test_an_exit_is_noticed_where_the_system_has_no_pidfds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert await run("echo x") == Ended(code=0, out=b"x\n", err="")
    with pytest.raises(TimeoutError):
        await run("sleep 1000", timeout_s=0.05)


@pytest.mark.parametrize("loop", [asyncio.run, run_async])
def test_programs_run_on_any_loop(loop: Callable[..., Ended]) -> None:
    assert loop(run("cat; echo x", stdin=b"y")) == Ended(code=0, out=b"yx\n", err="")


async def test_a_program_leads_a_group_of_its_own_and_inherits_nothing_but_its_streams() -> None:
    asks = "import os; print(os.getpgrp() == os.getpid(), sorted(os.listdir('/proc/self/fd'))[:4])"
    ended = await run('exec "$1" -c "$2"', sys.executable, asks)
    assert ended.out == b"True ['0', '1', '2', '3']\n"  # the last one is the directory itself
