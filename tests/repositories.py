"""Git repositories of tests, and what is left in them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(directory: str | Path, *arguments: str) -> str:
    """Runs git in a directory; gives what it prints, without the last newline."""
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.check_output(command, text=True).removesuffix("\n")


def a_repository(directory: Path) -> Path:
    """Makes a repository with one commit of one file, on the branch `trunk`."""
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=trunk")
    (directory / "README").write_text("a project\n")
    git(directory, "add", "README")
    author = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost")
    git(directory, *author, "commit", "--quiet", "--message=Begin")
    return directory


def branches(repository: Path) -> list[str]:
    """The branches of a repository that are the relay's."""
    return git(
        repository, "for-each-ref", "--format=%(refname:short)", "refs/heads/acprelay"
    ).split()


def worktrees(repository: Path) -> list[Path]:
    """The worktrees of a repository besides its own."""
    lines = git(repository, "worktree", "list", "--porcelain").splitlines()
    paths = [Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")]
    return paths[1:]


def locks(repository: Path) -> list[Path]:
    """The lock files that somebody has left in a repository."""
    return list((repository / ".git").rglob("*.lock"))
