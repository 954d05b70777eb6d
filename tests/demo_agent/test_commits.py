"""Commits of the demo agent: with git, after permission, and said plainly where they fail."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.testing.demo_agent.commits import CommitFailed, commit_all

if TYPE_CHECKING:
    from tests.demo_agent.conftest import DemoClient


def git(directory: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", "-C", directory, *arguments], text=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


@pytest.mark.process
async def test_what_was_written_is_committed_after_permission(
    client: DemoClient, repository: Path
) -> None:
    client.prompt(1, "/mode auto", "/write file.txt text", "/commit Add a file")
    answer = await client.answer(1)
    assert git(repository, "log", "--format=%s %an") == "Add a file acprelay demo agent\n"
    assert git(repository, "show", "HEAD:file.txt") == "text\n"
    assert answer.text.endswith(
        f"Committed {git(repository, 'rev-parse', '--short', 'HEAD')[:-1]}.\n"
    )


@pytest.mark.process
async def test_without_permission_nothing_is_committed(
    client: DemoClient, repository: Path
) -> None:
    (repository / "file.txt").write_text("text")
    client.prompt(1, "/commit")
    client.choose(await client.question(), "reject")
    assert "The permission was not given" in (await client.answer(1)).text
    assert git(repository, "status", "--porcelain") == "?? file.txt\n"


@pytest.mark.process
async def test_a_directory_without_a_repository_is_told_and_the_turn_goes_on(
    client: DemoClient,
) -> None:
    client.prompt(1, "/mode auto", "/commit", "/think next")
    answer = await client.answer(1)
    assert "Nothing is committed: fatal: not a git repository" in answer.text
    assert answer.kinds[-1] == "agent_thought_chunk"


def test_nothing_to_commit_is_no_commit(repository: Path) -> None:
    with pytest.raises(CommitFailed, match="nothing to commit"):
        commit_all(repository, "empty")


def test_a_machine_without_git_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommitFailed, match="there is no git"):
        commit_all(tmp_path, "x")


def test_git_that_does_not_return_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_arguments: object, **_options: object) -> None:
        raise subprocess.TimeoutExpired("git", 60)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(CommitFailed, match="took longer than 60 s"):
        commit_all(tmp_path, "x")
