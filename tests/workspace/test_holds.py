"""Worktrees that agents work in are held, whatever the current directories of their processes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from tests.workspace.conftest import Bench

from acprelay.workspace.holds import hold, is_held
from acprelay.workspace.removal import refusal

pytestmark = pytest.mark.process


async def test_a_directory_is_held_until_it_is_let_go(tmp_path: Path) -> None:
    path = str(tmp_path)
    assert not is_held(path)
    release, another = await hold(path), await hold(path)
    assert is_held(path)
    release()
    assert is_held(path)
    another()
    assert not is_held(path)


async def test_a_directory_that_is_not_there_is_not_held(tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere")
    release = await hold(path)
    assert not is_held(path)
    release()


async def test_who_looks_at_the_same_instant_delays_a_hold_and_never_for_long(
    tmp_path: Path,
) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    release = await hold(str(tmp_path))
    release()
    os.close(fd)
    assert not is_held(str(tmp_path))


async def test_where_there_are_no_locks_nothing_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int, _kind: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    release = await hold(str(tmp_path))
    assert not is_held(str(tmp_path))
    release()


@pytest.mark.requirement("worktrees.in-use-is-not-removed")
async def test_a_worktree_that_an_agent_works_in_is_in_use(bench: Bench) -> None:
    made = await bench.create()
    release = await bench.worktrees().occupy(made)
    status = await bench.status()
    error = refusal(status, top="/elsewhere", elsewhere=None, force=True)
    assert error is not None
    assert error.message.endswith("in use by an agent of a relay")
    release()
    assert (await bench.status()).users == ()
