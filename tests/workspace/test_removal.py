"""Worktrees are removed: whole, and never with work in them, unless that is demanded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.workspace.conftest import Bench, FakeGit, Repo, is_directory

from acprelay.errors import WorkspaceError
from acprelay.workspace.git import GitRunner
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.process import Ended
from acprelay.workspace.removal import refusal, remove
from acprelay.workspace.repository import Repository

pytestmark = pytest.mark.process

CLEAN = WorktreeStatus(
    name="task:main",
    branch="acprelay/task/main",
    base="1" * 40,
    path="/w",
    present=True,
    finished=True,
    checked_out="acprelay/task/main",
    commits=0,
    unmerged=0,
)
MERGED = replace(CLEAN, commits=2)
UNMERGED = replace(CLEAN, commits=2, unmerged=1)
CHANGED = replace(MERGED, changes=("a",))
SUBMODULES = replace(CLEAN, submodules=True)
LOCKED = replace(CLEAN, locked="")
USED = replace(CLEAN, users=("sh (1)",))
HALF_MADE = replace(CLEAN, finished=False)


@pytest.mark.requirement("worktrees.in-use-is-not-removed")
@pytest.mark.parametrize("status", [CLEAN, MERGED, HALF_MADE])
@pytest.mark.parametrize("force", [False, True])
def test_a_worktree_without_work_may_go(status: WorktreeStatus, *, force: bool) -> None:
    assert refusal(status, top="/project", elsewhere=None, force=force) is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (UNMERGED, "it holds 1 unmerged commit"),
        (CHANGED, "it holds 1 uncommitted change"),
        (replace(UNMERGED, finished=False), "it holds 1 unmerged commit"),
        (SUBMODULES, "it holds checked-out submodules"),
        (LOCKED, "it is locked"),
        (replace(LOCKED, locked="on a stick"), "it is locked (on a stick)"),
    ],
)
def test_a_worktree_with_work_or_a_lock_goes_only_by_force(
    status: WorktreeStatus, reason: str
) -> None:
    error = refusal(status, top="/project", elsewhere=None, force=False)
    assert error is not None
    assert error.message == f"cannot remove worktree 'task:main': {reason}"
    assert "--force task:main" in error.hint
    assert refusal(status, top="/project", elsewhere=None, force=True) is None


@pytest.mark.parametrize(
    ("status", "top", "elsewhere", "reason"),
    [
        (USED, "/project", None, "in use by sh (1)"),
        (CLEAN, "/w", None, "from within"),
        (CLEAN, "/project", "/other", "its branch is checked out in '/other'"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_what_is_in_use_does_not_go_by_force_either(
    status: WorktreeStatus, top: str, elsewhere: str | None, reason: str, *, force: bool
) -> None:
    error = refusal(status, top=top, elsewhere=elsewhere, force=force)
    assert error is not None
    assert reason in error.message
    assert error.hint


async def removed(bench: Bench, *, force: bool = False, git: GitRunner | None = None) -> None:
    repository = await Repository.find(git or bench.git, str(bench.repo.path))
    [record] = await (await bench.inventory()).records()
    await remove(repository, record, force=force)


async def test_a_removal_takes_directory_branch_and_refs(bench: Bench) -> None:
    await bench.create()
    await removed(bench)
    bench.assert_nothing_is_left()


async def test_a_removal_by_force_takes_everything(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.write("new", "work\n", at=made.path)
    bench.repo.git("worktree", "lock", made.path)
    await removed(bench, force=True)
    bench.assert_nothing_is_left()


@pytest.mark.requirement("worktrees.work-is-not-removed")
async def test_a_change_that_comes_after_the_decision_is_not_lost(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.write("new", "work\n", at=made.path)
    with pytest.raises(WorkspaceError, match="contains modified or untracked files"):
        await removed(bench)
    assert is_directory(made.path)


@pytest.mark.requirement("worktrees.work-is-not-removed")
async def test_a_commit_that_comes_after_the_decision_is_not_lost(bench: Bench) -> None:
    made = await bench.create()
    repository = await bench.repository()
    [record] = await (await bench.inventory()).records()
    commit = bench.repo.commit("a", "work\n", at=made.path)
    with pytest.raises(WorkspaceError, match="cannot delete"):
        await remove(repository, record, force=False)
    assert bench.repo.git("rev-parse", made.branch).strip() == commit
    status = await bench.status()
    assert (status.finished, status.unmerged) == (False, 1)


async def test_a_directory_that_is_gone_is_forgotten(bench: Bench) -> None:
    made = await bench.create()
    shutil.rmtree(made.path)
    await removed(bench)
    bench.assert_nothing_is_left()


async def test_what_somebody_has_pruned_is_forgotten(bench: Bench) -> None:
    made = await bench.create()
    shutil.rmtree(made.path)
    bench.repo.git("worktree", "prune")
    bench.repo.git("branch", "-D", made.branch)
    await removed(bench)
    assert bench.repo.refs() == {"refs/heads/main"}


async def test_submodules_that_were_never_checked_out_hinder_nothing(
    bench: Bench, new_repo: Callable[[str], Repo]
) -> None:
    new_repo("library")
    bench.repo.git("submodule", "--quiet", "add", "../library", "lib")
    bench.repo.git("commit", "-q", "-m", "Add a submodule")
    await bench.create()
    await removed(bench)
    bench.assert_nothing_is_left()


@pytest.mark.parametrize("damage", ["no git file", "no administration", "both"])
async def test_what_is_damaged_is_removed_by_force(bench: Bench, damage: str) -> None:
    made = await bench.create()
    if damage != "no administration":
        (Path(made.path) / ".git").unlink()
    if damage != "no git file":
        (bench.repo.path / ".git/worktrees/main/gitdir").write_text(f"{made.path}/.git\n")
        (bench.repo.path / ".git/worktrees/main/HEAD").write_text("rubbish\n")
    await removed(bench, force=True)
    bench.assert_nothing_is_left()


async def test_files_that_cannot_be_removed_are_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await bench.create()
    (Path(made.path) / ".git").unlink()

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        with pytest.raises(WorkspaceError, match="Permission denied"):
            await removed(bench, force=True)
    assert not (await bench.status()).finished
    await removed(bench)
    bench.assert_nothing_is_left()


async def test_a_worktree_that_git_does_not_forget_is_told(bench: Bench) -> None:
    made = await bench.create()
    git = FakeGit(bench.git)
    refused = Ended(code=128, out=b"", err="fatal: no luck")
    git.intervene(2, instead=refused)  # after the repository is found, and the mark is set
    first = git.run

    async def run(*args: object, **kwargs: object) -> Ended:
        if len(git.commands) == 3:
            git.commands.append(git.commands[-1])
            return refused
        return await first(*args, **kwargs)  # type: ignore[arg-type]  # what it was called with

    git.run = run  # type: ignore[method-assign]  # one more intervention
    with pytest.raises(WorkspaceError, match="git says: no luck"):
        await removed(bench, force=True, git=git)
    assert not is_directory(made.path)
    await removed(bench, force=True)
    bench.assert_nothing_is_left()


@pytest.mark.parametrize("at", range(1, 4))
async def test_a_removal_that_was_interrupted_is_completed_by_the_next(
    bench: Bench, at: int
) -> None:
    await bench.create()
    git = FakeGit(bench.git)
    git.intervene(at, instead=WorkspaceError("cannot wait any longer"))
    with pytest.raises(WorkspaceError, match="cannot wait"):
        await removed(bench, git=git)
    status = await bench.status()
    assert status.finished == (at == 1)
    assert status.work is None
    await removed(bench)
    bench.assert_nothing_is_left()


@pytest.mark.requirement("worktrees.work-is-not-removed")
async def test_a_change_that_has_hindered_a_removal_hinders_the_next_one_too(
    bench: Bench,
) -> None:
    made = await bench.create()
    bench.repo.write("new", "work\n", at=made.path)
    with pytest.raises(WorkspaceError):
        await removed(bench)
    status = await bench.status()
    assert (status.finished, status.changes) == (True, ("new",))
    with pytest.raises(WorkspaceError):
        await removed(bench)
    assert (Path(made.path) / "new").read_text() == "work\n"


@pytest.mark.requirement("worktrees.work-is-not-removed")
@pytest.mark.parametrize("change", ["a", "new"])
async def test_work_after_an_interrupted_removal_is_not_removed(bench: Bench, change: str) -> None:
    made = await bench.create()
    git = FakeGit(bench.git)
    git.intervene(2, instead=WorkspaceError("cannot wait any longer"))
    with pytest.raises(WorkspaceError, match="cannot wait"):
        await removed(bench, git=git)
    (Path(made.path) / "sub/b").unlink()  # as far as the removal had come
    bench.repo.write(change, "work\n", at=made.path)
    status = await bench.status()
    assert (status.finished, status.changes) == (False, (change,))


async def test_a_removal_that_has_begun_to_delete_is_completed_by_the_next(bench: Bench) -> None:
    made = await bench.create()
    git = FakeGit(bench.git)
    git.intervene(
        2,
        before=(Path(made.path) / "a").unlink,
        instead=Ended(code=255, out=b"", err="error: failed to delete"),
    )
    with pytest.raises(WorkspaceError, match="failed to delete"):
        await removed(bench, git=git)
    status = await bench.status()
    assert (status.finished, status.work) == (False, None)
    await removed(bench)
    bench.assert_nothing_is_left()
