"""Worktrees are made for roles, and discarded where nobody has worked in them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.workspace.conftest import KEY, Bench, FakeGit, Repo, is_directory

from acprelay.errors import WorkspaceError
from acprelay.session.models import SessionKey
from acprelay.workspace import names
from acprelay.workspace.git import Git, PatientGit
from acprelay.workspace.process import Ended

pytestmark = pytest.mark.process


# --- what is made


@pytest.mark.requirement("worktrees.project-is-left-alone")
async def test_a_worktree_has_the_files_of_head_on_a_branch_of_its_own(bench: Bench) -> None:
    repo = bench.repo
    before = repo.state()[0]
    made = await bench.create()
    path = Path(made.path)
    assert path.is_relative_to(bench.root)
    assert path.parts[-2:] == ("task", "main")
    assert (path / "a").read_text() == "one\n"
    assert made.workdir == made.path
    assert made.branch == "acprelay/task/main"
    assert repo.git("rev-parse", "--abbrev-ref", "HEAD", at=path).strip() == made.branch
    assert made.base == repo.head() == repo.head(path)
    assert made.repository == str(repo.path)
    assert (made.dirty, made.notes) == (False, ())
    assert repo.git("status", "--porcelain", at=path) == ""
    assert repo.state()[0] == before


async def test_the_base_is_recorded_in_git_and_nothing_is_marked_unfinished(bench: Bench) -> None:
    made = await bench.create()
    repo = bench.repo
    assert repo.refs() == {
        "refs/heads/main",
        "refs/heads/acprelay/task/main",
        "refs/acprelay/base/task/main",
    }
    assert repo.git("rev-parse", "refs/acprelay/base/task/main").strip() == made.base


async def test_the_agent_works_where_it_was_asked_to(bench: Bench) -> None:
    made = await bench.create(cwd=bench.repo.path / "sub")
    assert made.workdir == f"{made.path}/sub"
    assert (Path(made.workdir) / "b").read_text() == "two\n"
    assert made.notes == ()


async def test_a_directory_that_is_in_no_commit_is_made_and_told(bench: Bench) -> None:
    (bench.repo.path / "build/out").mkdir(parents=True)
    made = await bench.create(cwd=bench.repo.path / "build/out")
    assert made.workdir == f"{made.path}/build/out"
    assert is_directory(made.workdir)
    assert made.notes == (f"{made.workdir} is not in the commit, and is empty",)


@pytest.mark.requirement("worktrees.names-never-collide")
@pytest.mark.parametrize("name", ["my project", "prōjekt…", "-C", "a'b\"c", "*"])
async def test_a_project_may_have_any_name(
    new_repo: Callable[[str], Repo], tmp_path: Path, name: str
) -> None:
    bench = Bench(new_repo(name), tmp_path / "root für alles")
    made = await bench.create(cwd=bench.repo.path / "sub")
    assert (Path(made.workdir) / "b").read_text() == "two\n"
    assert made.repository == str(bench.repo.path)
    assert await bench.worktrees().discard(made) is None
    bench.assert_nothing_is_left()


async def test_a_project_whose_path_has_a_line_break_is_refused(
    new_repo: Callable[[str], Repo], tmp_path: Path
) -> None:
    bench = Bench(new_repo("one\ntwo"), tmp_path / "root")
    with pytest.raises(WorkspaceError, match="its path has a line break"):
        await bench.create()


@pytest.mark.requirement("worktrees.many-are-made-at-once")
async def test_twenty_worktrees_of_one_repository_are_made_at_once(bench: Bench) -> None:
    roles = [f"r{number}" for number in range(20)]
    worktrees = bench.worktrees()
    made = await asyncio.gather(
        *(worktrees.create(SessionKey("task", role), str(bench.repo.path)) for role in roles)
    )
    assert len({each.path for each in made}) == 20
    assert all((Path(each.path) / "sub/b").is_file() for each in made)
    listed = await bench.list()
    assert list(listed) == sorted(f"task:{role}" for role in roles)
    assert all(status.finished and status.work is None for status in listed.values())
    assert bench.repo.locks() == []


@pytest.mark.requirement("worktrees.many-are-made-at-once")
async def test_relays_that_know_nothing_of_each_other_make_worktrees_at_once(bench: Bench) -> None:
    bench.git = PatientGit(git=Git(env=bench.repo.env))
    roles = [f"r{number}" for number in range(12)]
    made = await asyncio.gather(*(bench.create(role) for role in roles))  # a relay for each
    assert len({each.branch for each in made}) == 12


async def test_two_relays_do_not_both_make_the_same_one(bench: Bench) -> None:
    outcomes = await asyncio.gather(*(bench.create() for _ in range(4)), return_exceptions=True)
    made = [each for each in outcomes if not isinstance(each, BaseException)]
    assert len(made) == 1
    assert all(isinstance(each, WorkspaceError) for each in outcomes if each not in made)
    assert (Path(made[0].path) / "a").is_file()
    assert list(await bench.list()) == ["task:main"]


async def test_keys_that_differ_in_case_alone_have_worktrees_of_their_own(bench: Bench) -> None:
    one = await bench.create("db")
    other = await bench.create("DB")
    assert one.path.casefold() != other.path.casefold()
    assert one.branch.casefold() != other.branch.casefold()
    assert list(await bench.list()) == ["task:DB", "task:db"]


# --- what is checked before


@pytest.mark.requirement("worktrees.project-is-left-alone")
async def test_uncommitted_changes_are_told_and_stay_where_they_are(bench: Bench) -> None:
    bench.repo.write("a", "changed\n")
    bench.repo.write("new", "new\n")
    made = await bench.create()
    assert made.dirty
    assert made.notes == (
        f"2 uncommitted changes are not in the worktree, which begins at commit {made.base[:12]}",
    )
    assert (Path(made.path) / "a").read_text() == "one\n"
    assert (bench.repo.path / "a").read_text() == "changed\n"


async def test_a_single_change_is_told_as_one(bench: Bench) -> None:
    bench.repo.write("new", "new\n")
    [note] = (await bench.create()).notes
    assert note.startswith("1 uncommitted change is not in the worktree")


async def test_a_detached_head_is_a_base_like_any_other(bench: Bench) -> None:
    bench.repo.git("checkout", "-q", "--detach")
    base = bench.repo.commit("c", "three\n")
    made = await bench.create()
    assert made.base == base
    assert made.notes == ("the project is on no branch: check one out before you merge the work",)


async def test_submodules_are_told_and_not_checked_out(
    bench: Bench, new_repo: Callable[[str], Repo]
) -> None:
    new_repo("library")
    bench.repo.git("submodule", "--quiet", "add", "../library", "lib")
    bench.repo.git("commit", "-q", "-m", "Add a submodule")
    made = await bench.create()
    [note] = made.notes
    assert "git submodule update --init" in note
    assert list((Path(made.path) / "lib").iterdir()) == []
    assert await bench.worktrees().discard(made) is None


async def test_a_submodule_may_be_the_project(
    bench: Bench, new_repo: Callable[[str], Repo]
) -> None:
    new_repo("library")
    bench.repo.git("submodule", "--quiet", "add", "../library", "lib")
    made = await bench.create(cwd=bench.repo.path / "lib")
    assert made.repository == str(bench.repo.path / "lib")
    assert (Path(made.path) / "sub/b").read_text() == "two\n"
    assert await bench.worktrees().discard(made) is None


async def test_another_worktree_may_be_the_project(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    bench.repo.git("worktree", "add", "-q", "-b", "feature", str(other))
    base = bench.repo.commit("c", "three\n", at=other)
    made = await bench.create(cwd=other)
    assert made.base == base
    assert made.repository == str(other)


async def test_a_worktree_of_a_bare_repository_may_be_the_project(
    bench: Bench, tmp_path: Path
) -> None:
    bare, tree = tmp_path / "project.git", tmp_path / "tree"
    bench.repo.git("clone", "-q", "--bare", ".", str(bare))
    bench.repo.git("worktree", "add", "-q", str(tree), "main", at=bare)
    made = await bench.create(cwd=tree)
    assert (Path(made.path) / "a").read_text() == "one\n"
    assert Path(made.path).parts[-3].startswith("project-")


async def refused(bench: Bench, cwd: Path, words: str, hint: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        await bench.create(cwd=cwd)
    assert words in caught.value.message
    assert caught.value.message.startswith("cannot ")
    assert hint in caught.value.hint


async def test_a_directory_without_its_whole_path_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.repo.path)
    for path in (".", "sub", "~"):
        await refused(bench, Path(path), "it is no absolute path", "its whole path")


async def test_a_directory_whose_name_is_too_long_is_refused(bench: Bench, tmp_path: Path) -> None:
    await refused(bench, tmp_path / ("x" * 5000), "there is no such directory", "that exists")


async def test_a_directory_that_is_not_there_is_refused(bench: Bench, tmp_path: Path) -> None:
    await refused(bench, tmp_path / "nowhere", "there is no such directory", "that exists")


async def test_a_directory_in_no_repository_is_refused(bench: Bench, tmp_path: Path) -> None:
    await refused(bench, tmp_path, "it is in no git repository", "git init")


async def test_a_repository_without_commits_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.repo.git("init", "-q", str(tmp_path / "new"))
    words = "branch 'main' has no commits yet"
    await refused(bench, tmp_path / "new", words, "git commit --allow-empty")


async def test_a_branch_without_commits_is_refused(bench: Bench) -> None:
    bench.repo.git("checkout", "-q", "--orphan", "fresh")
    await refused(bench, bench.repo.path, "branch 'fresh' has no commits yet", "git commit")


async def test_a_bare_repository_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    await refused(bench, tmp_path / "bare.git", "it is a bare repository", "clone it")


async def test_gits_own_directory_is_refused(bench: Bench) -> None:
    await refused(bench, bench.repo.path / ".git", "inside of git's own directory", "project")


async def test_a_repository_of_another_user_is_refused_with_gits_own_remedy(bench: Bench) -> None:
    bench.git = Git(env={**bench.repo.env, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    await refused(bench, bench.repo.path, "belongs to another user", "safe.directory")


async def test_a_repository_that_git_is_told_to_trust_is_not_refused(bench: Bench) -> None:
    bench.repo.git("config", "--global", "--add", "safe.directory", str(bench.repo.path))
    bench.git = Git(env={**bench.repo.env, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    found = await bench.repository()
    assert found.project.top == str(bench.repo.path)


async def test_a_root_that_cannot_be_made_is_refused_and_leaves_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    bench.root = tmp_path / "file" / "root"
    await refused(bench, bench.repo.path, "cannot make the directory", "writable")
    assert bench.repo.refs() == {"refs/heads/main"}


async def test_a_root_that_is_a_circle_of_links_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    bench.root = tmp_path / "circle" / "root"
    await refused(bench, bench.repo.path, "cannot make", "root")
    assert bench.repo.refs() == {"refs/heads/main"}


@pytest.mark.parametrize("inside", [".", "sub/worktrees", ".git/acprelay"])
async def test_a_root_inside_of_the_project_is_refused(bench: Bench, inside: str) -> None:
    bench.root = bench.repo.path / inside
    await refused(bench, bench.repo.path, "it is inside of", "outside of the project")


@pytest.mark.parametrize(
    "branch", ["acprelay", "acprelay/task", "acprelay/task/main", "acprelay/task/main/more"]
)
async def test_a_branch_that_is_in_the_way_is_refused_and_kept(bench: Bench, branch: str) -> None:
    bench.repo.git("branch", branch)
    words = f"refs/heads/{branch} is there already"
    await refused(bench, bench.repo.path, words, "acprelay worktrees list")
    assert bench.repo.refs() == {"refs/heads/main", f"refs/heads/{branch}"}
    assert not bench.root.exists()


async def test_what_an_interrupted_making_has_left_is_named(bench: Bench) -> None:
    bench.repo.git("update-ref", names.refs_of("task/main")[2], "HEAD")
    words = "'task:main': one is half made or half removed"
    await refused(bench, bench.repo.path, words, "acprelay worktrees remove task:main")


async def test_who_makes_the_same_worktree_at_the_same_time_is_faster(bench: Bench) -> None:
    git = FakeGit(bench.git)
    branch, base, _ = names.refs_of("task/main")
    made = f"create {branch} HEAD\ncreate {base} HEAD\n"

    def make() -> None:
        for line in made.splitlines():
            bench.repo.git("update-ref", *line.split()[1:])

    git.intervene(3, before=make)  # after it was looked whether the names are free
    with pytest.raises(WorkspaceError, match="it has one already"):
        await bench.worktrees(git).create(KEY, str(bench.repo.path))
    assert bench.repo.refs() == {"refs/heads/main", branch, base}


async def test_a_branch_that_cannot_be_claimed_for_another_reason_is_told(bench: Bench) -> None:
    git = FakeGit(bench.git)
    git.intervene(3, instead=Ended(code=128, out=b"", err="fatal: disk full"))
    with pytest.raises(WorkspaceError, match="git says: disk full"):
        await bench.worktrees(git).create(KEY, str(bench.repo.path))


def put_in_the_way(path: Path, kind: str, elsewhere: Path) -> None:
    path.parent.mkdir(parents=True)
    match kind:
        case "link":
            path.symlink_to(elsewhere / "nowhere")
        case "file":
            path.write_text("mine\n")
        case _:
            path.mkdir()
    if kind == "full":
        (path / "mine").write_text("mine\n")


def is_in_the_way(path: Path) -> bool:
    return path.is_symlink() or path.exists()


@pytest.mark.requirement("worktrees.names-never-collide")
@pytest.mark.parametrize("kind", ["full", "empty", "link", "file"])
async def test_what_is_in_the_way_of_the_directory_is_refused_and_kept(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    made = await bench.create()
    assert await bench.worktrees().discard(made) is None
    path = Path(made.path)
    put_in_the_way(path, kind, tmp_path)
    await refused(bench, bench.repo.path, "there is something already", "move it away")
    assert is_in_the_way(path)
    assert bench.repo.refs() == {"refs/heads/main"}


async def test_a_worktree_is_not_made_twice(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.write("new", "work\n", at=made.path)
    await refused(bench, bench.repo.path, "'task:main': it has one already", "merge and remove")
    assert (Path(made.path) / "new").read_text() == "work\n"


async def test_a_directory_that_is_a_file_in_the_commit_is_refused(bench: Bench) -> None:
    bench.repo.git("rm", "-q", "--cached", "a")
    (bench.repo.path / "a").unlink()
    (bench.repo.path / "a").mkdir()
    await refused(bench, bench.repo.path / "a", "cannot make the directory", "last commit")
    bench.assert_nothing_is_left()


async def test_a_directory_that_is_a_link_to_elsewhere_in_the_commit_is_refused(
    bench: Bench, tmp_path: Path
) -> None:
    link = bench.repo.path / "link"
    link.symlink_to(tmp_path)
    bench.repo.git("add", "link")
    bench.repo.git("commit", "-q", "-m", "Link")
    link.unlink()
    link.mkdir()
    await refused(bench, link, "a link that leads outside", "another directory")
    bench.assert_nothing_is_left()


# --- locks


async def test_a_left_over_lock_of_the_projects_index_hinders_nothing(bench: Bench) -> None:
    lock = bench.repo.path / ".git/index.lock"
    lock.touch()
    await bench.create()
    assert lock.exists()


@pytest.mark.requirement("worktrees.many-are-made-at-once")
async def test_a_lock_that_is_let_go_is_waited_for(bench: Bench) -> None:
    folder = bench.repo.path / ".git/refs/heads/acprelay/task"
    folder.mkdir(parents=True)
    lock = folder / "main.lock"
    lock.touch()
    asyncio.get_running_loop().call_later(0.01, lock.unlink)
    made = await bench.create()
    assert (Path(made.path) / "a").is_file()


async def test_a_lock_that_stays_is_told_with_its_path_and_leaves_nothing_else(
    bench: Bench,
) -> None:
    folder = bench.repo.path / ".git/refs/heads/acprelay/task"
    folder.mkdir(parents=True)
    lock = folder / "main.lock"
    lock.touch()
    await refused(bench, bench.repo.path, f"{lock} is taken", "remove it")
    lock.unlink()
    bench.assert_nothing_is_left()


# --- what is not run


async def test_no_hook_runs_and_no_setting_of_the_user_is_in_the_way(bench: Bench) -> None:
    for hook in ("post-checkout", "reference-transaction", "pre-commit"):
        path = bench.repo.path / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    for name, value in {
        "core.fsmonitor": "true",
        "core.pager": "false",
        "status.showUntrackedFiles": "no",
        "status.relativePaths": "true",
        "color.ui": "always",
        "submodule.recurse": "true",
        "worktree.guessRemote": "true",
        "checkout.defaultRemote": "nowhere",
        "diff.external": "false",
        "core.quotePath": "true",
    }.items():
        bench.repo.git("config", name, value)
    made = await bench.create()
    bench.repo.write("añ", "x\n", at=made.path)
    assert (await bench.status()).changes == ("añ",)


# --- discarding


async def test_a_worktree_without_work_is_discarded_whole(bench: Bench) -> None:
    made = await bench.create()
    for _ in range(3):
        assert await bench.worktrees().discard(made) is None
        bench.assert_nothing_is_left()


@pytest.mark.requirement("worktrees.work-is-not-removed")
@pytest.mark.parametrize("work", ["commit", "change", "untracked", "detached"])
async def test_a_worktree_with_work_is_kept_and_says_so(bench: Bench, work: str) -> None:
    made = await bench.create()
    match work:
        case "commit":
            bench.repo.commit("a", "work\n", at=made.path)
        case "change":
            bench.repo.write("a", "work\n", at=made.path)
        case "untracked":
            bench.repo.write("new", "work\n", at=made.path)
        case _:
            bench.repo.git("checkout", "-q", "--detach", at=made.path)
            bench.repo.commit("a", "work\n", at=made.path)
    what = "unmerged commit" if work in ("commit", "detached") else "uncommitted change"
    for _ in range(2):
        kept = await bench.worktrees().discard(made)
        assert kept == f"cannot remove worktree 'task:main': it holds 1 {what}"
    assert is_directory(made.path)


async def test_a_worktree_that_a_process_works_in_is_kept(bench: Bench) -> None:
    made = await bench.create()
    bench.running = [("agent (42)", made.workdir)]
    kept = await bench.worktrees().discard(made)
    assert kept == "cannot remove worktree 'task:main': in use by agent (42)"


async def test_ignored_files_are_no_work(bench: Bench) -> None:
    bench.repo.commit(".gitignore", "*.o\n")
    made = await bench.create()
    bench.repo.write("a.o", "built\n", at=made.path)
    assert await bench.worktrees().discard(made) is None
    bench.assert_nothing_is_left()


@pytest.mark.parametrize("gone", [".", ".git"])
async def test_a_worktree_whose_project_is_gone_is_left_and_that_is_said(
    bench: Bench, gone: str
) -> None:
    made = await bench.create()
    shutil.rmtree(bench.repo.path / gone)
    kept = await bench.worktrees().discard(made)
    assert kept == f"the repository {str(bench.repo.path)!r} is gone"


async def test_a_worktree_whose_project_git_does_not_read_is_not_taken_for_discarded(
    bench: Bench,
) -> None:
    made = await bench.create()
    (bench.repo.path / ".git/HEAD").write_text("rubbish\n")
    with pytest.raises(WorkspaceError):
        await bench.worktrees().discard(made)


async def test_a_worktree_whose_directory_is_gone_is_discarded(bench: Bench) -> None:
    made = await bench.create()
    shutil.rmtree(made.path)
    assert await bench.worktrees().discard(made) is None
    bench.assert_nothing_is_left()


async def test_others_worktrees_stay(bench: Bench) -> None:
    made = await bench.create("one")
    other = await bench.create("other")
    assert await bench.worktrees().discard(made) is None
    assert list(await bench.list()) == ["task:other"]
    assert is_directory(other.path)


def test_making_the_service_touches_nothing(bench: Bench) -> None:
    bench.worktrees()
    assert not bench.root.exists()
