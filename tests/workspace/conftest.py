"""Real repositories, and a git that fails or is cancelled where a test wants it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from acprelay.routing.records import Worktree
from acprelay.session.models import SessionKey
from acprelay.workspace.commands import Command
from acprelay.workspace.environment import git_environment
from acprelay.workspace.git import Git, GitRunner, PatientGit
from acprelay.workspace.inventory import Inventory
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.process import Ended, Sink
from acprelay.workspace.repository import Repository
from acprelay.workspace.worktrees import Worktrees

PATIENCE_S = 60.0
KEY = SessionKey("task", "main")

CONFIG = """
[user]
    name = Tess Ter
    email = tess@example.org
[init]
    defaultBranch = main
[protocol "file"]
    allow = always
"""


class Repo:
    """A repository with one commit, `a` and `sub/b` in it."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        self.path = path
        self.env = env

    def git(self, *args: str, at: Path | str | None = None) -> str:
        done = subprocess.run(
            ["git", *args],
            cwd=at or self.path,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str, at: Path | str | None = None) -> None:
        path = Path(at or self.path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, name: str, text: str, at: Path | str | None = None) -> str:
        """Commits a file; gives the commit's id."""
        self.write(name, text, at)
        self.git("add", name, at=at)
        self.git("commit", "-q", "-m", f"Write {name}", at=at)
        return self.head(at)

    def head(self, at: Path | str | None = None) -> str:
        return self.git("rev-parse", "HEAD", at=at).strip()

    def refs(self) -> set[str]:
        return set(self.git("for-each-ref", "--format=%(refname)").split())

    def locks(self) -> list[Path]:
        return list((self.path / ".git").rglob("*.lock"))

    def state(self) -> tuple[str, str, str]:
        """Everything that a user could notice of the project's tree."""
        return (
            self.git("status", "--porcelain=v2", "--branch", "--ignored"),
            self.git("log", "--all", "--format=%H"),
            self.git("ls-files", "-s"),
        )


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    assert psutil.Process().children(recursive=True) == []


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Git's environment, and the process's own: nobody's settings but the tests'."""
    config = tmp_path / "gitconfig"
    config.write_text(CONFIG)
    for name in os.environ:
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return git_environment(os.environ)


@pytest.fixture
def new_repo(tmp_path: Path, env: dict[str, str]) -> Callable[[str], Repo]:
    def make(name: str) -> Repo:
        path = tmp_path / name
        path.mkdir(parents=True)
        repo = Repo(path, env)
        repo.git("init", "-q")
        repo.write("a", "one\n")
        repo.write("sub/b", "two\n")
        repo.git("add", ".")
        repo.git("commit", "-q", "-m", "Begin")
        return repo

    return make


@pytest.fixture
def repo(new_repo: Callable[[str], Repo]) -> Repo:
    return new_repo("project")


class Bench:
    """Worktrees of one repository, made by what a relay has, looked at by what the CLI has."""

    def __init__(self, repo: Repo, root: Path) -> None:
        self.repo = repo
        self.root = root
        self.running: list[tuple[str, str]] = []
        self.git: GitRunner = PatientGit(git=Git(env=repo.env), delays_s=(0.02,) * 3)

    def worktrees(self, git: GitRunner | None = None) -> Worktrees:
        return Worktrees(root=self.root, git=git or self.git, occupants=lambda: self.running)

    async def create(self, role: str = "main", cwd: Path | str | None = None) -> Worktree:
        return await self.worktrees().create(SessionKey("task", role), str(cwd or self.repo.path))

    async def repository(self, directory: Path | str | None = None) -> Repository:
        return await Repository.find(self.git, str(directory or self.repo.path))

    async def inventory(self) -> Inventory:
        return Inventory(repository=await self.repository(), occupants=lambda: self.running)

    async def list(self) -> dict[str, WorktreeStatus]:
        inventory = await self.inventory()
        found = await inventory.look(await inventory.records())
        return {status.name: status for status in found}

    async def status(self, name: str = "task:main") -> WorktreeStatus:
        return (await self.list())[name]

    def assert_nothing_is_left(self) -> None:
        """Nothing of any worktree: no directory, branch, ref, lock or administrative file."""
        assert self.repo.refs() == {"refs/heads/main"}
        assert self.repo.git("worktree", "list").count("\n") == 1
        assert not (self.repo.path / ".git/worktrees").exists()
        assert self.repo.locks() == []
        assert not self.root.exists() or list(self.root.iterdir()) == []
        assert psutil.Process().children(recursive=True) == []


@pytest.fixture
def bench(repo: Repo, tmp_path: Path) -> Bench:
    return Bench(repo, tmp_path / "state" / "worktrees")


class FakeGit:
    """Runs real git, and does something of the test's at one of the calls.

    Attributes:
        commands: What it was asked, in order.
    """

    def __init__(self, git: GitRunner) -> None:
        self.commands: list[Command] = []
        self._git = git
        self._at = -1
        self._before: Callable[[], object] = lambda: None
        self._after: Callable[[], object] = lambda: None
        self._instead: Ended | Exception | None = None

    def intervene(
        self,
        at: int,
        *,
        before: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
        instead: Ended | Exception | None = None,
    ) -> None:
        """Chooses what happens at a call, counted from 0: before, after or instead of it."""
        self._at, self._before, self._after, self._instead = at, before, after, instead

    async def run(self, command: Command, *, at: str, sink: Sink | None = None) -> Ended:
        number = len(self.commands)
        self.commands.append(command)
        if number != self._at:
            return await self._git.run(command, at=at, sink=sink)
        self._before()
        if isinstance(self._instead, Exception):
            raise self._instead
        ended = self._instead or await self._git.run(command, at=at, sink=sink)
        self._after()
        await asyncio.sleep(0)
        return ended


def is_directory(path: Path | str) -> bool:
    return Path(path).is_dir()
