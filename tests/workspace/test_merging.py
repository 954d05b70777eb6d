"""Work is merged into the project's branch: whole, or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.workspace.conftest import PATIENCE_S, Bench, FakeGit
from tests.workspace.test_cancellation import appears
from tests.workspace.test_removal import CLEAN

from acprelay.errors import WorkspaceError
from acprelay.workspace.git import GitRunner
from acprelay.workspace.merging import Merged, merge, objection
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.parsing import TreeStatus
from acprelay.workspace.process import Ended
from acprelay.workspace.repository import Repository

pytestmark = pytest.mark.process

TREE = TreeStatus(head="1" * 40, branch="main")


def test_nothing_speaks_against_merging_into_a_clean_branch() -> None:
    assert objection(CLEAN, TREE, top="/project") is None
    assert objection(replace(CLEAN, present=False, checked_out=None), TREE, top="/p") is None


@pytest.mark.parametrize(
    ("status", "tree", "reason"),
    [
        (CLEAN, replace(TREE, branch=None), "'/project' is on no branch"),
        (CLEAN, replace(TREE, head=None), "is on 'main', which has no commits"),
        (CLEAN, replace(TREE, changes=("a", "b")), "has uncommitted changes (a, b)"),
        (
            CLEAN,
            replace(TREE, changes=tuple(f"f{number}" for number in range(25))),
            "f19 and 5 more)",
        ),
        (replace(CLEAN, branch=None), TREE, "its branch is gone"),
        (CLEAN, replace(TREE, branch=CLEAN.branch), "has its own branch checked out"),
        (replace(CLEAN, checked_out="x"), TREE, "its work goes on on branch 'x'"),
        (replace(CLEAN, checked_out=None), TREE, "its work goes on on no branch"),
    ],
)
def test_what_cannot_be_merged_is_refused_with_a_remedy(
    status: WorktreeStatus, tree: TreeStatus, reason: str
) -> None:
    error = objection(status, tree, top="/project")
    assert error is not None
    assert error.message.startswith("cannot merge worktree 'task:main': ")
    assert reason in error.message
    assert error.hint


async def merged(bench: Bench, git: GitRunner | None = None) -> Merged:
    repository = await Repository.find(git or bench.git, str(bench.repo.path))
    return await merge(repository, await bench.status())


async def test_work_is_fast_forwarded_where_the_project_has_not_moved(bench: Bench) -> None:
    made = await bench.create()
    commit = bench.repo.commit("a", "work\n", at=made.path)
    assert await merged(bench) == Merged(name="task:main", into="main", commits=1, left=0)
    assert bench.repo.head() == commit
    assert (bench.repo.path / "a").read_text() == "work\n"
    assert (await bench.status()).merged


async def test_work_is_joined_with_what_the_project_has_got_meanwhile(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.commit("sub/b", "other work\n")
    assert (await merged(bench)).commits == 1
    assert (bench.repo.path / "a").read_text() == "work\n"
    assert (bench.repo.path / "sub/b").read_text() == "other work\n"
    assert bench.repo.git("log", "-1", "--format=%s").startswith(
        "Merge branch 'acprelay/task/main'"
    )


async def test_what_is_not_committed_is_left_and_counted(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.write("new", "x\n", at=made.path)
    assert await merged(bench) == Merged(name="task:main", into="main", commits=0, left=1)


async def test_merging_again_does_nothing(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    await merged(bench)
    before = bench.repo.state()
    assert (await merged(bench)).commits == 0
    assert bench.repo.state() == before


async def refused(bench: Bench, words: str, git: GitRunner | None = None) -> WorkspaceError:
    """Expects a merge to be refused, and the project's tree to be as it was."""
    before = bench.repo.state()
    with pytest.raises(WorkspaceError) as caught:
        await merged(bench, git)
    assert words in caught.value.message
    assert bench.repo.state() == before
    assert bench.repo.locks() == []
    return caught.value


@pytest.mark.requirement("worktrees.merges-are-whole")
async def test_a_dirty_tree_is_refused(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.write("sub/b", "dirty\n")
    await refused(bench, "has uncommitted changes (sub/b)")


async def test_a_merge_of_the_users_own_is_not_undone(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.git("checkout", "-q", "-b", "feature")
    bench.repo.commit("c", "feature\n")
    bench.repo.git("checkout", "-q", "main")
    bench.repo.git("merge", "-q", "--no-ff", "--no-commit", "--strategy=ours", "feature")
    await refused(bench, "another merge is under way")
    assert (bench.repo.path / ".git/MERGE_HEAD").exists()


async def test_untracked_files_that_are_in_nobodys_way_hinder_nothing(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.write("notes", "mine\n")
    assert (await merged(bench)).commits == 1
    assert (bench.repo.path / "notes").read_text() == "mine\n"


@pytest.mark.parametrize("moved", [False, True])
async def test_untracked_files_that_would_be_overwritten_are_kept(
    bench: Bench, *, moved: bool
) -> None:
    made = await bench.create()
    bench.repo.commit("new", "work\n", at=made.path)
    if moved:
        bench.repo.commit("sub/b", "other work\n")
    bench.repo.write("new", "mine\n")
    await refused(bench, "would be overwritten by merge")
    assert (bench.repo.path / "new").read_text() == "mine\n"


@pytest.mark.requirement("worktrees.merges-are-whole")
async def test_a_conflict_is_undone_whole_and_told_with_its_files(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.commit("sub/b", "work\n", at=made.path)
    bench.repo.commit("a", "other work\n")
    bench.repo.commit("sub/b", "other work\n")
    bench.repo.write("notes", "mine\n")
    error = await refused(bench, "cannot merge 'acprelay/task/main' into 'main': both have changed")
    assert error.message.endswith("a, sub/b")
    assert f"git merge {made.branch}" in error.hint


async def test_the_users_hooks_have_their_say(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.commit("sub/b", "other work\n")
    hook = bench.repo.path / ".git/hooks/pre-merge-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'error: not on a Sunday' >&2\nexit 1\n")
    hook.chmod(0o755)
    await refused(bench, "not on a Sunday")


async def test_a_left_over_lock_of_the_index_is_told_and_nothing_is_merged(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    lock = bench.repo.path / ".git/index.lock"
    lock.touch()
    with pytest.raises(WorkspaceError, match=r"index\.lock is taken"):
        await merged(bench)
    lock.unlink()
    assert (await merged(bench)).commits == 1


async def test_a_merge_that_cannot_be_undone_is_told_with_what_to_do(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.commit("a", "other work\n")
    git = FakeGit(bench.git)
    git.intervene(8, instead=Ended(code=128, out=b"", err="fatal: no luck"))
    with pytest.raises(WorkspaceError, match="cannot undo it: git says: no luck") as caught:
        await merged(bench, git)
    assert "git merge --abort" in caught.value.hint
    assert git.commands[-1].args == ("merge", "--abort")


async def test_a_merge_that_is_cancelled_midway_is_carried_out_whole(
    bench: Bench, tmp_path: Path
) -> None:
    made = await bench.create()
    bench.repo.commit("a", "work\n", at=made.path)
    bench.repo.commit("sub/b", "other work\n")
    hook = bench.repo.path / ".git/hooks/pre-merge-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\necho > {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done\n"
    )
    hook.chmod(0o755)
    task = asyncio.get_running_loop().create_task(merged(bench))
    await appears(tmp_path / "begun")
    task.cancel()
    (tmp_path / "go").touch()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait({task})
    assert task.cancelled()
    assert (await bench.status()).merged
    assert bench.repo.git("status", "--porcelain") == ""


@pytest.mark.requirement("worktrees.merges-are-whole")
async def test_a_tag_with_the_name_of_the_branch_is_not_merged_instead(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.git("tag", made.branch)
    bench.repo.commit("new", "work\n", at=made.path)
    assert (await merged(bench)).commits == 1
    assert (bench.repo.path / "new").read_text() == "work\n"
