"""How git is run, and how patiently."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.workspace.conftest import Repo

from acprelay.errors import WorkspaceError
from acprelay.workspace import commands
from acprelay.workspace.commands import Command
from acprelay.workspace.git import Git, PatientGit
from acprelay.workspace.process import Ended, Sink

pytestmark = pytest.mark.process

TAKEN = "fatal: Unable to create '/p/.git/index.lock': File exists.\n"


def fake_git(folder: Path, script: str) -> str:
    path = folder / "fake-git"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_git_runs_in_the_directory_it_is_told(repo: Repo) -> None:
    git = Git(env=repo.env)
    ended = await git.run(commands.locate(), at=str(repo.path / "sub"))
    assert ended.out.decode().splitlines()[-2:] == ["sub/", str(repo.path)]


async def test_a_git_that_is_missing_is_told_with_the_remedy() -> None:
    with pytest.raises(
        WorkspaceError, match="cannot start 'git': No such file or directory"
    ) as caught:
        await Git(env={"PATH": "/nowhere"}).run(commands.locate(), at="/")
    assert "install git 2.20 or newer" in caught.value.hint


async def test_a_git_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    path = tmp_path / "git"
    path.write_text("no program")
    with pytest.raises(WorkspaceError, match=r"cannot start '.*': Permission denied"):
        await Git(env={}, program=str(path)).run(commands.locate(), at="/")


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("git version 2.19.6", "cannot use git 2.19: it is too old for worktrees"),
        ("git version 1.8.3", "cannot use git 1.8: it is too old for worktrees"),
        ("hello", "it does not say which version of git it is"),
    ],
)
async def test_a_git_that_is_too_old_is_refused(tmp_path: Path, says: str, told: str) -> None:
    git = Git(env=dict(os.environ), program=fake_git(tmp_path, f"echo {says}"))
    with pytest.raises(WorkspaceError, match=told):
        await git.run(commands.locate(), at="/")


async def test_the_version_is_asked_for_once(tmp_path: Path) -> None:
    program = fake_git(tmp_path, f'echo x >> {tmp_path}/asked; echo "git version 2.20.1"')
    git = Git(env=dict(os.environ), program=program)
    for _ in range(3):
        await git.run(commands.locate(), at="/")
    assert (tmp_path / "asked").read_text() == "x\n" * 4


async def test_a_git_that_takes_too_long_is_ended_and_told(repo: Repo) -> None:
    command = Command(args=("-c", "alias.wait=!sleep 1000", "wait"), timeout_s=0.2)
    with pytest.raises(WorkspaceError, match=r"any longer than 0\.2 s"):
        await Git(env=repo.env).run(command, at=str(repo.path))


async def test_a_git_that_says_too_much_is_told(repo: Repo) -> None:
    with pytest.raises(WorkspaceError, match="it is more than 30 bytes"):
        await Git(env=repo.env, most=30).run(commands.list_worktrees(), at=str(repo.path))


class FakeRunner:
    """Answers as it is told to, with success in the end."""

    def __init__(self, *errors: str) -> None:
        self.calls = 0
        self._errors = list(errors)

    async def run(self, command: Command, *, at: str, sink: Sink | None = None) -> Ended:  # noqa: ARG002
        self.calls += 1
        err = self._errors.pop(0) if self._errors else ""
        return Ended(code=128 if err else 0, out=b"", err=err)


@pytest.mark.parametrize(
    ("errors", "calls", "code"),
    [
        ((), 1, 0),
        ((TAKEN,), 2, 0),
        ((TAKEN, TAKEN), 3, 0),
        ((TAKEN,) * 9, 3, 128),
        (("fatal: no luck",), 1, 128),
        ((TAKEN, "fatal: no luck"), 2, 128),
    ],
)
async def test_only_a_lock_that_is_taken_is_waited_for_a_few_times(
    errors: tuple[str, ...], calls: int, code: int
) -> None:
    runner = FakeRunner(*errors)
    ended = await PatientGit(git=runner, delays_s=(0.0, 0.0)).run(commands.version(), at="/")
    assert (runner.calls, ended.code) == (calls, code)
