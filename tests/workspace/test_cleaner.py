"""What the end of a session does to its worktree."""

from __future__ import annotations

import logging

import pytest
from tests.workspace.conftest import KEY, Bench, is_directory

from acprelay.errors import WorkspaceError
from acprelay.session.models import Session, SessionKey, SessionSpec, SessionState
from acprelay.workspace.cleaner import WorktreeCleaner
from acprelay.workspace.git import Git

pytestmark = pytest.mark.process


def session(cwd: str, key: SessionKey = KEY) -> Session:
    spec = SessionSpec(session_id=key.session_id, role=key.role, agent="demo", cwd=cwd)
    return Session(key=key, run=1, state=SessionState.TERMINATING, spec=spec, created_at=0)


def cleaner(bench: Bench, *, keep: bool) -> WorktreeCleaner:
    return WorktreeCleaner(
        worktrees=bench.worktrees(), project_of=lambda session: session.spec.cwd or None, keep=keep
    )


@pytest.mark.requirement("worktrees.kept-at-the-end")
async def test_a_worktree_is_kept_by_default(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    made = await bench.create()
    caplog.set_level(logging.INFO)
    by_default = WorktreeCleaner(
        worktrees=bench.worktrees(), project_of=lambda session: session.spec.cwd
    )
    for _ in range(3):
        await by_default.cleanup(session(bench.repo.path.as_posix()))
    assert is_directory(made.path)
    assert caplog.text.count("the worktree of task:main stays: worktrees are kept") == 3


async def test_what_is_half_made_goes_however_often_it_is_asked_for(bench: Bench) -> None:
    await bench.create()
    bench.repo.git("update-ref", "refs/acprelay/unfinished/task/main", "main")
    for _ in range(3):
        await cleaner(bench, keep=True).cleanup(session(str(bench.repo.path)))
        bench.assert_nothing_is_left()


async def test_a_policy_that_keeps_nothing_keeps_work_all_the_same(bench: Bench) -> None:
    made = await bench.create()
    await bench.create("other")
    bench.repo.write("new", "work\n", at=made.path)
    for _ in range(3):
        for role in ("main", "other"):
            key = SessionKey("task", role)
            await cleaner(bench, keep=False).cleanup(session(str(bench.repo.path), key))
    assert list(await bench.list()) == ["task:main"]


async def test_a_session_that_is_to_have_no_worktree_needs_no_git(bench: Bench) -> None:
    bench.git = Git(env={"PATH": "/nowhere"})
    await cleaner(bench, keep=False).cleanup(session(""))


async def test_a_worktree_that_cannot_be_removed_fails_the_cleanup(bench: Bench) -> None:
    await bench.create()
    lock = bench.repo.path / ".git/refs/acprelay/unfinished/task/main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with pytest.raises(WorkspaceError, match="is taken"):
        await cleaner(bench, keep=False).cleanup(session(str(bench.repo.path)))
    lock.unlink()
    await cleaner(bench, keep=False).cleanup(session(str(bench.repo.path)))
    bench.assert_nothing_is_left()
