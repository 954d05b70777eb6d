"""A relay that is killed while it makes a worktree."""

from __future__ import annotations

import asyncio
import subprocess
import sysconfig
from pathlib import Path

import psutil
import pytest
from tests.end_to_end.relays import RelayProcess
from tests.fault.clients import WHERE, greeted
from tests.repositories import a_repository, branches, git, worktrees
from tests.server.peers import PATIENCE_S
from tests.server.relays import Dialler

pytestmark = pytest.mark.process


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """What appears once git has begun to check files out, which it does not end."""
    return tmp_path / "begun"


@pytest.fixture
def project(tmp_path: Path, begun: Path) -> Path:
    repository = a_repository(tmp_path / "project")
    git(repository, "config", "filter.slow.smudge", f'sh -c "echo > {begun}; exec sleep 1000"')
    (repository / ".git/info/attributes").write_text("README filter=slow\n")
    return repository


async def test_a_worktree_that_was_being_made_is_listed_as_half_made_and_can_be_removed(
    log: Path, project: Path, begun: Path
) -> None:
    where = {**WHERE, "cwd": str(project)}
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await greeted(await dial("?worktree=true&session=task"))
        await client.begin("session/new", where)
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(begun.exists):
                pass
        left = relay.tree()
        await relay.kill()
    for process in left:  # git would go on for as long as it takes
        process.kill()
    psutil.wait_procs(left, timeout=PATIENCE_S)
    git(project, "config", "--unset", "filter.slow.smudge")

    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await greeted(await dial())
        assert (await client.result("session/list", {}))["sessions"] == []
        assert "half made" in await acprelay(project, "list")
        await acprelay(project, "remove", "task:main")
        assert worktrees(project) == []
        assert branches(project) == []
        client = await greeted(await dial("?worktree=true&session=task"))
        assert (await client.result("session/new", where))["sessionId"] == "task:main"


async def acprelay(project: Path, *arguments: str) -> str:
    """Runs `acprelay worktrees` in a project; gives what it prints."""
    program = Path(sysconfig.get_path("scripts")) / "acprelay"
    process = await asyncio.create_subprocess_exec(
        program, "worktrees", *arguments, cwd=project, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()
