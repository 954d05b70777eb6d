"""Starting agents, and failing to."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.agents.conftest import Starter, starting

from acprelay.agents import (
    AgentLauncher,
    AgentLimits,
    AgentSpec,
    Catalog,
    StdioAgent,
    StdioLauncher,
)
from acprelay.agents.child import Child
from acprelay.errors import AgentError, SpawnFailed

if TYPE_CHECKING:
    from tests.agents.conftest import FakeSink

pytestmark = pytest.mark.process


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Starter]:
    """Starts agents that are children."""
    async with starting(tmp_path) as starter:
        yield starter


def descriptors() -> int:
    return psutil.Process().num_fds()


def make_file(path: Path, text: str, *, executable: bool) -> None:
    path.write_text(text)
    path.chmod(0o700 if executable else 0o600)


async def test_the_names_are_the_catalogs(start: Starter) -> None:
    launcher: AgentLauncher = start.launcher("sh")
    assert launcher.names == ("test",)


async def test_an_unknown_name_is_an_error_that_tells_the_known_ones(start: Starter) -> None:
    with pytest.raises(AgentError) as caught:
        await start.launcher("sh").launch("other")
    assert caught.value.hint.startswith("choose one of: test; ")


@pytest.mark.requirement("processes.environment-is-an-allowlist")
async def test_an_agent_sees_the_allowlist_and_its_own_variables_only(
    start: Starter, sink: FakeSink, tmp_path: Path
) -> None:
    launcher = StdioLauncher(
        owner="test",
        catalog=Catalog([AgentSpec(name="test", argv=("env",), env={"MODE": "x"})]),
        environment={"PATH": os.environ["PATH"], "API_KEY": "secret", "ACPRELAY_TOKEN": "secret"},
        cwd=tmp_path,
        limits=AgentLimits(),
    )
    agent = await launcher.launch("test")
    start.agents.append(agent)
    agent.attach(sink)
    await sink.exit()
    expected = {f"PATH={os.environ['PATH']}", "MODE=x", f"ACPRELAY_RUN={agent.run}"}
    assert {line.decode() for line in sink.lines} == expected


async def test_every_run_has_a_marker_of_its_own(start: Starter) -> None:
    first, second = await start("linger"), await start("linger")
    assert first.run != second.run


async def test_an_agent_starts_in_the_directory_it_was_given(
    start: Starter, sink: FakeSink, tmp_path: Path
) -> None:
    agent = await start.program("pwd")
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [bytes(tmp_path)]


async def test_an_agent_inherits_its_three_streams_and_nothing_else(
    start: Starter, sink: FakeSink
) -> None:
    secret, other = os.pipe()
    os.set_inheritable(secret, True)
    agent = await start.program("sh", "-c", "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done")
    agent.attach(sink)
    await sink.exit()
    os.close(secret)
    os.close(other)
    assert {b"0", b"1", b"2"} <= set(sink.lines)
    assert str(secret).encode() not in sink.lines
    assert len(sink.lines) <= 4  # a shell may open its own


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("acprelay-no-such-program", "no program 'acprelay-no-such-program' on PATH"),
        ("./missing", "no file './missing'"),
        ("./plain", "'./plain' may not be executed"),
        ("./garbage", "'./garbage' is no program"),
        ("./orphaned", "the interpreter of './orphaned' is missing"),
    ],
)
async def test_a_program_that_cannot_be_started_is_a_spawn_failure_with_a_remedy(
    start: Starter, tmp_path: Path, program: str, problem: str
) -> None:
    make_file(tmp_path / "plain", "#!/bin/sh\n", executable=False)
    make_file(tmp_path / "garbage", "garbage", executable=True)
    make_file(tmp_path / "orphaned", "#!/no/such/interpreter\n", executable=True)
    before = descriptors()
    with pytest.raises(SpawnFailed, match=problem) as caught:
        await start.launcher(program).launch("test")
    assert caught.value.hint
    assert descriptors() == before


async def test_a_missing_directory_is_a_spawn_failure(tmp_path: Path) -> None:
    launcher = StdioLauncher(
        owner="test",
        catalog=Catalog([AgentSpec(name="test", argv=("sh",))]),
        environment=os.environ,
        cwd=tmp_path / "missing",
        limits=AgentLimits(),
    )
    with pytest.raises(SpawnFailed, match="there is no directory"):
        await launcher.launch("test")


@pytest.mark.parametrize("pipes_before_the_limit", [0, 1, 2])
async def test_too_many_open_files_are_a_spawn_failure_that_leaks_none(
    start: Starter, monkeypatch: pytest.MonkeyPatch, pipes_before_the_limit: int
) -> None:
    before = descriptors()
    left = [os.pipe] * pipes_before_the_limit

    def pipe() -> tuple[int, int]:
        if not left:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return left.pop()()

    with monkeypatch.context() as patched:
        patched.setattr("acprelay.agents.pipes.os.pipe", pipe)
        with pytest.raises(SpawnFailed, match="Too many open files"):
            await start("linger")
    assert descriptors() == before


async def test_an_agent_that_has_ended_leaves_no_descriptor_open(start: Starter) -> None:
    await (await start("linger")).end()
    before = descriptors()
    await (await start("echo")).end()
    await (await start("exit=3")).end()
    assert descriptors() == before


async def test_a_start_that_fails_after_the_process_runs_leaves_no_process(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(child: Child, protocol: asyncio.SubprocessProtocol) -> None:  # noqa: ARG001 - the method's
        raise RuntimeError("can't start new thread")

    before = descriptors()
    monkeypatch.setattr(Child, "connect", connect)
    with pytest.raises(RuntimeError, match="new thread"):
        await start("child=own-session", "linger")
    assert psutil.Process().children() == []
    assert descriptors() == before


@pytest.mark.requirement("lifecycle.early-cancel-leaves-no-process")
@pytest.mark.parametrize("turns", range(12))
async def test_a_start_cancelled_at_any_instant_leaves_no_process(
    start: Starter, turns: int
) -> None:
    launcher = start.misbehaving("child=own-session", "linger", limits=AgentLimits(grace_s=0.1))

    async def start_and_serve() -> None:
        agent = await launcher.launch("test")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await agent.end()

    task = asyncio.get_running_loop().create_task(start_and_serve())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert psutil.Process().children(recursive=True) == []


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_start_has_either_not_begun_or_hands_its_agent_over(
    start: Starter, turns: int
) -> None:
    task = asyncio.get_running_loop().create_task(start.misbehaving("linger").launch("test"))
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task
        assert psutil.Process().children() == []
    else:
        agent: StdioAgent = await task
        start.agents.append(agent)


async def test_the_python_that_runs_these_tests_can_be_an_agent(
    start: Starter, sink: FakeSink
) -> None:
    agent = await start.program(sys.executable, "-c", "print('{}')")
    agent.attach(sink)
    await sink.exit()
    assert sink.lines == [b"{}"]
