"""A worktree whose making is cancelled, or fails, at whatever instant: nothing of it is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
from tests.workspace.conftest import KEY, PATIENCE_S, Bench, FakeGit, Repo, is_directory

from acprelay.errors import WorkspaceError
from acprelay.routing.records import Worktree
from acprelay.workspace import names
from acprelay.workspace.commands import Command
from acprelay.workspace.git import Git, PatientGit
from acprelay.workspace.process import Ended, Sink

pytestmark = pytest.mark.process

CALLS = 7
"""How often git is asked something to make a worktree."""

CLAIM = 3
"""Which of the calls is the first that changes something."""

FILL = 5
"""Which of the calls writes the files."""

OWN_REFS = names.refs_of(names.slot_of(KEY))

FAILED = Ended(code=128, out=b"", err="fatal: no luck")


def begin(bench: Bench, git: FakeGit) -> asyncio.Task[Worktree]:
    making = bench.worktrees(git).create(KEY, str(bench.repo.path))
    return asyncio.get_running_loop().create_task(making)


async def outcome(task: asyncio.Task[Worktree]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait({task})


async def test_every_call_is_tried(bench: Bench) -> None:
    git = FakeGit(bench.git)
    await begin(bench, git)
    assert len(git.commands) == CALLS
    assert b"create" in git.commands[CLAIM].stdin
    assert not any(command.stdin for command in git.commands[:CLAIM])


@pytest.mark.requirement("worktrees.creation-is-all-or-nothing")
@pytest.mark.parametrize("at", range(CALLS))
async def test_a_cancellation_before_a_call_of_git_leaves_nothing(bench: Bench, at: int) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)
    git.intervene(at, before=task.cancel)
    await outcome(task)
    assert task.cancelled()
    bench.assert_nothing_is_left()


@pytest.mark.requirement("worktrees.creation-is-all-or-nothing")
@pytest.mark.parametrize("at", range(CALLS))
async def test_a_cancellation_while_git_runs_leaves_nothing(bench: Bench, at: int) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)
    loop = asyncio.get_running_loop()
    git.intervene(at, before=lambda: loop.call_later(0.001, task.cancel))
    await outcome(task)
    assert task.cancelled()
    bench.assert_nothing_is_left()


@pytest.mark.requirement("worktrees.creation-is-all-or-nothing")
@pytest.mark.parametrize("at", range(CALLS))
async def test_a_cancellation_after_a_call_of_git_leaves_nothing(bench: Bench, at: int) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)
    git.intervene(at, after=task.cancel)
    await outcome(task)
    assert task.cancelled()
    bench.assert_nothing_is_left()


@pytest.mark.parametrize("again", range(CALLS, CALLS + 4))
async def test_a_cancellation_while_all_is_undone_leaves_nothing_either(
    bench: Bench, again: int
) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)
    git.intervene(CALLS - 1, after=task.cancel)
    last = git.run

    async def run(*args: object, **kwargs: object) -> Ended:
        if len(git.commands) == again:
            task.cancel()
        return await last(*args, **kwargs)  # type: ignore[arg-type]  # what it was called with

    git.run = run  # type: ignore[method-assign]  # one more intervention
    await outcome(task)
    assert task.cancelled()
    bench.assert_nothing_is_left()


@pytest.mark.requirement("worktrees.creation-is-all-or-nothing")
@pytest.mark.parametrize("at", range(CALLS))
@pytest.mark.parametrize("failed", [FAILED, WorkspaceError("cannot wait any longer")])
async def test_a_failure_of_git_leaves_nothing(
    bench: Bench, at: int, failed: Ended | Exception
) -> None:
    git = FakeGit(bench.git)
    git.intervene(at, instead=failed)
    with pytest.raises(WorkspaceError, match=r"no luck|cannot wait"):
        await begin(bench, git)
    bench.assert_nothing_is_left()


@pytest.mark.parametrize("at", range(CLAIM + 1, CALLS))
async def test_a_git_that_did_its_work_and_says_that_it_failed_leaves_nothing(
    bench: Bench, at: int
) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)

    def fail() -> None:
        raise WorkspaceError("cannot wait any longer")

    git.intervene(at, after=fail)
    with pytest.raises(WorkspaceError, match="cannot wait"):
        await task
    bench.assert_nothing_is_left()


async def test_an_undoing_that_fails_is_logged_and_what_is_left_is_marked_and_removable(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)

    def break_git() -> None:
        task.cancel()
        git._git = PatientGit(git=Git(env={"PATH": "/nowhere"}), delays_s=())

    git.intervene(CLAIM + 1, after=break_git)
    await outcome(task)
    assert task.cancelled()
    assert "cannot undo a half-made worktree" in caplog.text
    status = await bench.status()
    assert not status.finished
    assert status.work is None
    assert status.present
    half_made = Worktree(
        path=status.path or "",
        workdir=status.path or "",
        branch=names.branch_of(names.slot_of(KEY)),
        base=status.base,
        repository=str(bench.repo.path),
    )
    assert await bench.worktrees().discard(half_made) is None
    bench.assert_nothing_is_left()


# --- lock files, as a git that is killed leaves them


def lock(bench: Bench, ref: str) -> Path:
    path = bench.repo.path / ".git" / f"{ref}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


@pytest.mark.requirement("worktrees.creation-is-all-or-nothing")
@pytest.mark.parametrize("at", range(CLAIM + 1, CALLS))
@pytest.mark.parametrize("locked", [*([ref] for ref in OWN_REFS), OWN_REFS])
async def test_locks_that_a_killed_git_has_left_on_the_refs_keep_nothing_from_being_undone(
    bench: Bench, at: int, locked: list[str]
) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)

    def leave_locks() -> None:
        for ref in locked:
            lock(bench, ref)
        task.cancel()

    git.intervene(at, after=leave_locks)
    await outcome(task)
    assert task.cancelled()
    bench.assert_nothing_is_left()


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "refs/heads/acprelay/task/other", "refs/acprelay/base/other/main"]
)
async def test_a_lock_on_a_ref_of_others_stays_when_a_creation_is_undone(
    bench: Bench, ref: str
) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)
    git.intervene(FILL, after=lambda: (lock(bench, ref), task.cancel()))
    await outcome(task)
    [left] = bench.repo.locks()
    assert left == bench.repo.path / ".git" / f"{ref}.lock"
    left.unlink()
    bench.assert_nothing_is_left()


async def test_a_lock_that_all_refs_share_is_not_removed_whoever_has_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)
    git.intervene(FILL, after=lambda: (lock(bench, "packed-refs"), task.cancel()))
    await outcome(task)
    assert "packed-refs.lock is taken" in caplog.text
    assert [left.name for left in bench.repo.locks()] == ["packed-refs.lock"]


class Contender:
    """Real git, beside which another one takes the lock of a ref anew before each deletion."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._git = Git(env=bench.repo.env)
        self.taken: list[Path] = []

    async def run(self, command: Command, *, at: str, sink: Sink | None = None) -> Ended:
        if b"delete refs/heads/" in command.stdin:
            for earlier in self.taken:
                earlier.rename(earlier.with_suffix(f".{len(self.taken)}"))
            self.taken.append(lock(self._bench, OWN_REFS[0]))
        return await self._git.run(command, at=at, sink=sink)


async def test_a_lock_that_another_git_has_is_not_removed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    git = FakeGit(PatientGit(git=Contender(bench), delays_s=(0.0,)))
    task = begin(bench, git)
    git.intervene(FILL, after=lambda: (lock(bench, OWN_REFS[0]), task.cancel()))
    await outcome(task)
    assert "main.lock is taken" in caplog.text
    assert len(bench.repo.locks()) == 1
    assert not (await bench.status()).finished


async def test_writing_the_files_takes_no_lock_outside_of_the_worktree(bench: Bench) -> None:
    git = FakeGit(bench.git)
    task = begin(bench, git)
    held: list[Path] = []

    def let_go() -> None:
        for path in held:
            path.unlink()

    refs = [*OWN_REFS, "packed-refs"]
    git.intervene(FILL, before=lambda: held.extend(lock(bench, ref) for ref in refs), after=let_go)
    assert is_directory((await task).path)
    assert len(held) == 4


# --- real git, killed in the middle of the only step that takes its time


@pytest.fixture
def slow(repo: Repo, tmp_path: Path) -> Path:
    """Makes writing a file take for ever; gives what appears when that has begun."""
    begun = tmp_path / "begun"
    repo.write(".gitattributes", "slow filter=slow\n")
    repo.commit(".gitattributes", "slow filter=slow\n")
    repo.commit("slow", "content\n")
    script = f"trap '' TERM; echo > {begun}; sleep 1000"
    repo.git("config", "filter.slow.smudge", f'sh -c "{script}"')
    repo.git("config", "filter.slow.clean", "cat")
    return begun


async def appears(path: Path) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not path.exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.005)


@pytest.mark.requirement("worktrees.creation-is-all-or-nothing")
@pytest.mark.parametrize("grace_s", [0.05, PATIENCE_S])
async def test_a_checkout_that_is_cancelled_midway_leaves_nothing(
    bench: Bench, slow: Path, grace_s: float
) -> None:
    git = FakeGit(PatientGit(git=Git(env=bench.repo.env, grace_s=grace_s)))
    task = begin(bench, git)
    await appears(slow)
    assert len(psutil.Process().children(recursive=True)) >= 2
    task.cancel()
    await outcome(task)
    assert task.cancelled()
    bench.assert_nothing_is_left()


async def test_others_make_theirs_while_one_takes_its_time(bench: Bench, slow: Path) -> None:
    worktrees = bench.worktrees()
    first = asyncio.get_running_loop().create_task(worktrees.create(KEY, str(bench.repo.path)))
    await appears(slow)
    bench.repo.git("config", "--unset", "filter.slow.smudge")
    made = await bench.create("other")
    assert is_directory(made.path)
    first.cancel()
    await outcome(first)
    assert list(await bench.list()) == ["task:other"]


async def test_twenty_that_are_cancelled_at_once_leave_nothing(bench: Bench) -> None:
    worktrees = bench.worktrees()
    loop = asyncio.get_running_loop()
    tasks = []
    for number in range(20):
        making = bench.worktrees() if number % 2 else worktrees
        key = type(KEY)("task", f"r{number}")
        tasks.append(loop.create_task(making.create(key, str(bench.repo.path))))
        loop.call_later(0.01 * number, tasks[-1].cancel)
    async with asyncio.timeout(PATIENCE_S):
        done, _ = await asyncio.wait(tasks)
    for task in done:
        if not task.cancelled():
            assert await worktrees.discard(task.result()) is None
    bench.assert_nothing_is_left()
