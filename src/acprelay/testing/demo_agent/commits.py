"""Commits of the demo agent, by the `git` program."""

from __future__ import annotations

import subprocess
from pathlib import Path

_AUTHOR = ("-c", "user.name=acprelay demo agent", "-c", "user.email=demo-agent@localhost")
_DEADLINE_S = 60.0


class CommitFailed(Exception):
    """Git did not commit; the text says why."""


def commit_all(directory: Path, message: str) -> str:
    """Commits everything that is changed below a directory.

    Returns:
        The commit's abbreviated id.

    Raises:
        CommitFailed: There is no git, no repository, or nothing to commit.
    """
    _git(directory, "add", "--all", ".")
    _git(directory, *_AUTHOR, "commit", "--quiet", f"--message={message}")
    return _git(directory, "rev-parse", "--short", "HEAD").strip()


def _git(directory: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - no shell reads the message
            ["git", "-C", str(directory), *arguments],  # noqa: S607 - the git that is on PATH
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_DEADLINE_S,
        )
    except FileNotFoundError:
        raise CommitFailed("there is no git") from None
    except subprocess.TimeoutExpired:
        raise CommitFailed(f"git took longer than {_DEADLINE_S:g} s") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or error.stdout).strip().splitlines() or [str(error)]
        raise CommitFailed(reason[-1]) from None
    return done.stdout
