"""What is known of the worktrees of a repository, without a relay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.workspace.conftest import Bench, Repo, is_directory

from acprelay.errors import WorkspaceError
from acprelay.workspace import names
from acprelay.workspace.commands import Command
from acprelay.workspace.occupants import occupants_of, processes
from acprelay.workspace.parsing import FileNumbers, WorktreeEntry
from acprelay.workspace.process import Ended, Sink
from acprelay.workspace.records import Record, choose, join
from acprelay.workspace.removal import refusal, remove
from acprelay.workspace.repository import Repository

X, Y = "1" * 40, "2" * 40


# --- putting together


def worktree(slot: str, branch: str | None = None) -> WorktreeEntry:
    return WorktreeEntry(path=f"/root/project-0123456789/{slot}", head=X, branch=branch)


def test_a_worktree_is_known_by_its_place_whatever_is_checked_out_in_it() -> None:
    refs = {"refs/heads/acprelay/task/main": X, "refs/acprelay/base/task/main": Y}
    entry = worktree("task/main", "feature")
    [record] = join(refs, [WorktreeEntry(path="/project", branch="main"), entry])
    assert record == Record(slot="task/main", refs=refs, entry=entry, elsewhere=None)
    assert (record.name, record.tip, record.base, record.finished) == ("task:main", X, Y, True)


def test_where_else_a_branch_is_checked_out_is_told() -> None:
    refs = {"refs/heads/acprelay/task/main": X, "refs/acprelay/base/task/main": Y}
    project = WorktreeEntry(path="/project", branch="acprelay/task/main")
    [record] = join(refs, [project])
    assert (record.entry, record.elsewhere) == (None, "/project")


def test_what_is_marked_is_unfinished_and_the_mark_is_its_base() -> None:
    [record] = join({"refs/acprelay/unfinished/Task.1/main": X}, [])
    assert (record.name, record.tip, record.base) == ("Task:main", None, X)
    assert not record.finished


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/acprelay/task/main",
        "refs/heads/main",
        "refs/acprelay/base/TASK/main",
        "refs/acprelay/base/task",
        "refs/acprelay/other/task/main",
    ],
)
def test_what_acprelay_did_not_make_is_not_its_own(ref: str) -> None:
    assert join({ref: X}, [worktree("task/main", "acprelay/task/main")]) == []


@pytest.mark.parametrize("path", ["/project", "/", "/x/task/main", "/project-01234567/task/main"])
def test_a_worktree_in_another_place_is_somebody_elses(path: str) -> None:
    [record] = join({"refs/acprelay/base/task/main": X}, [WorktreeEntry(path=path)])
    assert record.entry is None


def records(*slots: str) -> list[Record]:
    return join({f"refs/acprelay/base/{slot}": X for slot in slots}, [])


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        ("a:db", "a/db"),
        ("acprelay/a/db", "a/db"),
        ("b", "b/main"),
        ("B:main", "B.1/main"),
        ("acprelay/B.1/main", "B.1/main"),
    ],
)
def test_a_worktree_is_chosen_by_key_branch_or_a_session_id_that_has_one(
    name: str, slot: str
) -> None:
    assert choose(name, records("a/db", "a/main", "b/main", "B.1/main")).slot == slot


def test_a_name_that_is_nobodys_is_an_error() -> None:
    with pytest.raises(WorkspaceError, match="cannot find a worktree named 'c'") as caught:
        choose("c", records("a/db"))
    assert "acprelay worktrees list" in caught.value.hint


def test_a_name_that_is_more_than_ones_is_an_error_that_lists_them() -> None:
    with pytest.raises(WorkspaceError, match="there are 2") as caught:
        choose("a", records("a/db", "a/main"))
    assert caught.value.hint == "name one of a:db, a:main"


# --- who works where


async def test_a_damaged_worktree_is_told_and_the_others_are_looked_at(bench: Bench) -> None:
    made, _ = await bench.create(), await bench.create("other")
    (bench.repo.path / ".git/worktrees/main/index").write_text("rubbish")
    found = await bench.list()
    damaged, other = found["task:main"], found["task:other"]
    assert "index file" in (damaged.damage or "")
    assert damaged.work == "changes that git cannot tell"
    assert (other.damage, other.work) == (None, None)
    refused = refusal(damaged, top="/", elsewhere=None, force=False)
    assert refused is not None
    assert "it holds changes that git cannot tell" in refused.message
    assert refusal(damaged, top="/", elsewhere=None, force=True) is None
    repository = await bench.repository()
    [record, _] = await (await bench.inventory()).records()
    await remove(repository, record, force=True)
    assert not is_directory(made.path)


async def test_what_is_half_made_and_damaged_may_go(bench: Bench) -> None:
    await bench.create()
    _, base, unfinished = names.refs_of("task/main")
    bench.repo.git("update-ref", unfinished, base)
    bench.repo.git("update-ref", "-d", base)
    (bench.repo.path / ".git/worktrees/main/HEAD").write_text("rubbish\n")
    status = await bench.status()
    assert (status.finished, status.work, status.damage) == (False, None, None)


def test_a_process_occupies_every_directory_that_it_is_below() -> None:
    running = [("sh (1)", "/w/a"), ("vi (2)", "/w/a/sub"), ("sh (3)", "/w/ab"), ("sh (4)", "/")]
    assert occupants_of(["/w/a", "/w/b"], running) == {"/w/a": ("sh (1)", "vi (2)"), "/w/b": ()}


@pytest.mark.process
def test_the_processes_of_the_system_have_names_and_directories() -> None:
    own = psutil.Process()
    assert (f"{own.name()} ({own.pid})", str(Path.cwd())) in processes()


# --- looking


@pytest.mark.process
class TestLooking:
    async def test_a_new_worktree_holds_nothing(self, bench: Bench) -> None:
        made = await bench.create()
        status = await bench.status()
        assert status.branch == status.checked_out == made.branch
        assert (status.path, status.base) == (made.path, made.base)
        assert (status.present, status.finished, status.merged) == (True, True, False)
        assert (status.commits, status.unmerged, status.changes, status.work) == (0, 0, (), None)
        assert (status.locked, status.users, status.submodules) == (None, (), False)

    async def test_commits_and_changes_are_counted(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.commit("a", "work\n", at=made.path)
        bench.repo.commit("c", "work\n", at=made.path)
        bench.repo.write("sub/b", "more\n", at=made.path)
        bench.repo.write("new/one", "x\n", at=made.path)
        bench.repo.write("new/two", "x\n", at=made.path)
        status = await bench.status()
        assert (status.commits, status.unmerged) == (2, 2)
        assert status.changes == ("sub/b", "new/one", "new/two")
        assert status.work == "2 unmerged commits and 3 uncommitted changes"

    async def test_commits_are_merged_once_they_are_on_a_branch_of_the_project(
        self, bench: Bench
    ) -> None:
        made = await bench.create()
        bench.repo.commit("a", "work\n", at=made.path)
        bench.repo.git("checkout", "-q", "-b", "feature")
        bench.repo.git("merge", "-q", made.branch)
        bench.repo.git("checkout", "-q", "main")
        status = await bench.status()
        assert (status.commits, status.unmerged) == (1, 0)
        assert status.merged
        assert status.work is None

    async def test_another_roles_branch_does_not_count_as_merged(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.commit("a", "work\n", at=made.path)
        await bench.create("other", cwd=made.path)
        listed = await bench.list()
        assert listed["task:main"].unmerged == 1
        assert listed["task:other"].unmerged == 0  # it began there: the work is not its own

    async def test_a_worktree_does_not_count_as_the_project_it_is_asked_from(
        self, bench: Bench
    ) -> None:
        made = await bench.create()
        bench.repo.commit("a", "work\n", at=made.path)
        bench.repo.git("checkout", "-q", "--detach", at=made.path)
        bench.repo.path = Path(made.path)
        assert (await bench.status()).unmerged == 1

    async def test_work_on_another_branch_is_seen_and_safe(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.git("checkout", "-q", "-b", "own", at=made.path)
        bench.repo.commit("a", "work\n", at=made.path)
        status = await bench.status()
        assert (status.checked_out, status.commits, status.unmerged) == ("own", 1, 0)

    async def test_a_directory_that_is_gone_leaves_the_branch(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.commit("a", "work\n", at=made.path)
        shutil.rmtree(made.path)
        status = await bench.status()
        assert (status.present, status.commits, status.changes) == (False, 1, ())
        bench.repo.git("worktree", "prune")
        status = await bench.status()
        assert (status.path, status.present, status.unmerged) == (None, False, 1)

    async def test_a_branch_that_is_gone_is_told(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.git("checkout", "-q", "--detach", at=made.path)
        bench.repo.git("branch", "-q", "-D", made.branch)
        status = await bench.status()
        assert (status.branch, status.checked_out, status.commits) == (None, None, 0)
        shutil.rmtree(made.path)
        bench.repo.git("worktree", "prune")
        assert (await bench.status()).commits == 0

    async def test_a_worktree_that_has_lost_its_git_file_is_never_taken_for_another(
        self, bench: Bench
    ) -> None:
        bench.root = bench.repo.path.parent / "outer" / "root"
        bench.root.parent.mkdir()
        bench.repo.git("init", "-q", str(bench.root.parent))
        made = await bench.create()
        (Path(made.path) / ".git").unlink()
        assert (await bench.status()).work == "1 uncommitted change"

    async def test_a_lock_and_its_reason_are_told(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.git("worktree", "lock", "--reason", "on a stick", made.path)
        assert (await bench.status()).locked == "on a stick"

    async def test_submodules_that_are_checked_out_are_work(
        self, bench: Bench, new_repo: Callable[[str], Repo]
    ) -> None:
        new_repo("library")
        bench.repo.git("submodule", "--quiet", "add", "../library", "lib")
        bench.repo.git("commit", "-q", "-m", "Add a submodule")
        made = await bench.create()
        assert (await bench.status()).work is None
        bench.repo.git("submodule", "--quiet", "update", "--init", at=made.path)
        assert (await bench.status()).work == "checked-out submodules"
        bench.repo.commit("new", "x\n", at=f"{made.path}/lib")
        work = (await bench.status()).work
        assert work == "1 uncommitted change and checked-out submodules"

    async def test_who_works_in_a_worktree_is_told(self, bench: Bench) -> None:
        made = await bench.create()
        await bench.create("other")
        bench.running = [("sh (1)", made.path), ("vi (2)", f"{made.path}/sub"), ("sh (3)", "/")]
        listed = await bench.list()
        assert listed["task:main"].users == ("sh (1)", "vi (2)")
        assert listed["task:other"].users == ()

    async def test_a_git_that_fails_is_told_once(self, bench: Bench) -> None:
        for role in ("one", "two"):
            await bench.create(role)
        git = bench.git

        class NoCounting:
            async def run(self, command: Command, *, at: str, sink: Sink | None = None) -> Ended:
                if command.args[0] == "rev-list":
                    return Ended(code=128, out=b"", err="fatal: no luck")
                return await git.run(command, at=at, sink=sink)

        bench.git = NoCounting()
        with pytest.raises(WorkspaceError, match="git says: no luck"):
            await bench.list()


# --- comparing


@pytest.mark.process
class TestComparing:
    async def compare(self, bench: Bench) -> tuple[str, tuple[str, ...]]:
        inventory = await bench.inventory()
        [record] = await inventory.records()
        pieces: list[bytes] = []
        untracked = await inventory.diff(record, pieces.append)
        return b"".join(pieces).decode(), untracked

    async def test_a_diff_has_what_is_committed_and_what_is_not(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.commit("a", "one\ncommitted\n", at=made.path)
        bench.repo.write("sub/b", "two\nchanged\n", at=made.path)
        bench.repo.write("new file", "x\n", at=made.path)
        patch, untracked = await self.compare(bench)
        assert "+committed" in patch
        assert "+changed" in patch
        assert untracked == ("new file",)

    async def test_a_diff_is_a_patch_that_git_applies(self, bench: Bench, tmp_path: Path) -> None:
        made = await bench.create()
        bench.repo.commit("a", "one\ncommitted\n", at=made.path)
        (tmp_path / "patch").write_text((await self.compare(bench))[0])
        bench.repo.git("apply", str(tmp_path / "patch"))
        assert (bench.repo.path / "a").read_text() == "one\ncommitted\n"

    async def test_the_base_stays_where_it_was_when_the_project_goes_on(self, bench: Bench) -> None:
        await bench.create()
        bench.repo.commit("a", "elsewhere\n")
        assert await self.compare(bench) == ("", ())

    async def test_a_diff_of_a_directory_that_is_gone_is_its_branchs(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.commit("a", "one\ncommitted\n", at=made.path)
        shutil.rmtree(made.path)
        patch, untracked = await self.compare(bench)
        assert "+committed" in patch
        assert untracked == ()

    async def test_nothing_is_left_to_compare_without_directory_and_branch(
        self, bench: Bench
    ) -> None:
        made = await bench.create()
        shutil.rmtree(made.path)
        bench.repo.git("worktree", "prune")
        bench.repo.git("branch", "-q", "-D", made.branch)
        with pytest.raises(WorkspaceError, match="directory and branch are gone"):
            await self.compare(bench)

    async def test_a_diff_that_git_cannot_make_is_an_error(self, bench: Bench) -> None:
        await bench.create()
        inventory = await bench.inventory()
        [record] = await inventory.records()
        lost = Record(
            slot=record.slot,
            refs={"refs/acprelay/base/task/main": X},
            entry=record.entry,
            elsewhere=None,
        )
        with pytest.raises(WorkspaceError, match="cannot compare 'task:main' with its base"):
            await inventory.diff(lost, print)

    async def test_numbers_tell_how_much_has_changed(self, bench: Bench) -> None:
        made = await bench.create()
        bench.repo.write("a", "one\nmore\n", at=made.path)
        (Path(made.path) / "sub/b").write_bytes(os.urandom(10) + b"\0")
        bench.repo.write("new", "x\n", at=made.path)
        inventory = await bench.inventory()
        [record] = await inventory.records()
        files, untracked = await inventory.numbers(record)
        assert files == (
            FileNumbers(path="a", added=1, deleted=0),
            FileNumbers(path="sub/b", added=None, deleted=None),
        )
        assert untracked == ("new",)


@pytest.mark.process
async def test_asking_a_repository_that_is_gone_is_an_error(bench: Bench) -> None:
    repository: Repository = await bench.repository()
    shutil.rmtree(bench.repo.path)
    with pytest.raises(WorkspaceError, match="cannot look at"):
        await repository.refs()
