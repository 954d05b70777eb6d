"""`acprelay worktrees`: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.workspace.conftest import PATIENCE_S, Bench
from tests.workspace.test_process import appears
from tests.workspace.test_removal import CLEAN, HALF_MADE, MERGED, UNMERGED

from acprelay.cli.exits import ExitCode, of_signal
from acprelay.cli.main import main
from acprelay.cli.worktrees_view import as_table, leftover, merge_as_text
from acprelay.routing.records import Worktree
from acprelay.workspace.merging import Merged
from acprelay.workspace.models import WorktreeStatus

pytestmark = pytest.mark.process

Streams = pytest.CaptureFixture[str]
PROGRAM = Path(sys.executable).with_name("acprelay")


class Desk:
    """A repository whose worktrees are asked for on the command line."""

    def __init__(self, bench: Bench, streams: Streams) -> None:
        self.bench = bench
        self.repo = bench.repo
        self._streams = streams

    def create(self, role: str = "main") -> Worktree:
        return asyncio.run(self.bench.create(role))

    def run(self, action: str, *argv: str) -> tuple[int, str, str]:
        code = main(["worktrees", action, "--repo", str(self.repo.path), *argv])
        return code, *self._streams.readouterr()

    def succeeds(self, action: str, *argv: str) -> str:
        code, output, errors = self.run(action, *argv)
        assert (code, errors) == (ExitCode.OK, "")
        return output

    def fails(self, action: str, *argv: str, code: int = ExitCode.ERROR) -> str:
        found, output, errors = self.run(action, *argv)
        assert (found, output) == (code, "")
        assert errors.startswith("acprelay: cannot ")
        assert "\n  hint: " in errors
        return errors


@pytest.fixture
def desk(bench: Bench, capsys: Streams) -> Iterator[Desk]:
    yield Desk(bench, capsys)
    assert bench.repo.locks() == []


# --- list


def test_a_repository_without_worktrees_is_no_error(desk: Desk) -> None:
    assert desk.succeeds("list") == "no worktrees\n"
    assert desk.succeeds("list", "--json") == ""


def test_worktrees_are_listed_in_a_table_below_their_directory(desk: Desk) -> None:
    made = desk.create()
    desk.repo.commit("a", "work\n", at=made.path)
    desk.repo.write("new", "x\n", at=made.path)
    desk.create("docs")
    assert desk.succeeds("list").splitlines() == [
        str(Path(made.path).parents[1]),
        "  NAME       COMMITS  CHANGES  WORK",
        "  task:docs  0        0        none",
        "  task:main  1        1        1 unmerged commit and 1 uncommitted change",
    ]


def test_worktrees_are_listed_for_programs(desk: Desk) -> None:
    made = desk.create()
    desk.repo.write("new", "x\n", at=made.path)
    [line] = desk.succeeds("list", "--json").splitlines()
    assert json.loads(line) == {
        "name": "task:main",
        "branch": "acprelay/task/main",
        "base": made.base,
        "path": made.path,
        "present": True,
        "finished": True,
        "checked_out": "acprelay/task/main",
        "commits": 0,
        "unmerged": 0,
        "changes": ["new"],
        "submodules": False,
        "damage": None,
        "locked": None,
        "users": [],
        "merged": False,
        "work": "1 uncommitted change",
    }


@pytest.mark.parametrize(
    ("status", "remark"),
    [
        (CLEAN, "none"),
        (MERGED, "all merged"),
        (UNMERGED, "1 unmerged commit"),
        (HALF_MADE, "half made or half removed"),
        (replace(CLEAN, present=False), "none; its directory is gone"),
        (replace(CLEAN, branch=None), "none; its branch is gone"),
        (replace(CLEAN, locked="x"), "none; locked"),
        (replace(CLEAN, damage="cannot look"), "changes that git cannot tell; cannot look"),
        (replace(CLEAN, users=("sh (1)", "a\x1bb (2)")), "none; in use by sh (1), a^[b (2)"),
    ],
)
def test_the_last_column_says_all_that_is_special(status: WorktreeStatus, remark: str) -> None:
    placed = replace(status, path="/root/project-0123456789/task/main")
    assert list(as_table([placed]))[-1].endswith(f"  {remark}")


def test_a_table_fits_a_terminal() -> None:
    name = f"{'0123456789abcdef' * 2}:documentation"
    work = replace(CLEAN, name=name, path="/r/p/t/m", unmerged=12, changes=("x",) * 120)
    assert max(len(line) for line in as_table([work])) <= 120


def test_every_directory_has_a_table_of_its_own() -> None:
    found = [replace(CLEAN, path="/one/p/t/main"), replace(CLEAN, path=None)]
    lines = list(as_table(found))
    assert [line for line in lines if not line.startswith("  ")] == [
        "/one/p",
        "",
        "without a directory",
    ]


def test_any_directory_of_the_project_will_do(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Streams
) -> None:
    desk.create()
    monkeypatch.chdir(desk.repo.path / "sub")
    assert main(["worktrees", "list"]) == ExitCode.OK
    assert "task:main" in capsys.readouterr().out


# --- diff


def test_a_diff_is_gits_with_the_untracked_files_named_after_it(desk: Desk) -> None:
    made = desk.create()
    desk.repo.commit("a", "one\nmore\n", at=made.path)
    desk.repo.write("new\nfile", "x\n", at=made.path)
    patch = desk.repo.git("diff", "main", made.branch)
    assert desk.succeeds("diff", "task") == (f"{patch}Only in task:main, untracked: new file\n")


def test_a_diff_for_programs_has_numbers(desk: Desk) -> None:
    made = desk.create()
    desk.repo.write("a", "one\nmore\n", at=made.path)
    desk.repo.write("new", "x\n", at=made.path)
    assert json.loads(desk.succeeds("diff", "--json", "task:main")) == {
        "name": "task:main",
        "base": made.base,
        "files": [{"path": "a", "added": 1, "deleted": 0}],
        "untracked": ["new"],
    }


def test_what_agents_write_is_shown_on_a_terminal_and_not_obeyed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = desk.create()
    desk.repo.write("a", "one\n\x1b[2Jé\n", at=made.path)

    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(screen, encoding="utf-8"))
    main(["worktrees", "diff", "-C", str(desk.repo.path), "task:main"])
    sys.stdout.flush()
    assert "+^[[2Jé\n" in screen.getvalue().decode()


def test_what_a_file_cannot_carry_passes_through_a_pipe_byte_for_byte(
    bench: Bench, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    made = asyncio.run(bench.create())
    (Path(made.path) / "a").write_bytes(b"one\n\xff\x1b\n")
    main(["worktrees", "diff", "-C", str(bench.repo.path), "task:main"])
    assert b"+\xff\x1b\n" in capsysbinary.readouterr().out


def test_a_name_that_is_unknown_is_an_error(desk: Desk) -> None:
    assert "cannot find a worktree named 'x'" in desk.fails("diff", "x")


# --- merge


def test_a_merge_says_what_it_did_and_what_it_left(desk: Desk) -> None:
    made = desk.create()
    desk.repo.commit("a", "work\n", at=made.path)
    desk.repo.write("new", "x\n", at=made.path)
    assert desk.succeeds("merge", "task:main").splitlines() == [
        "task:main: merged 1 commit into main",
        "task:main: 1 uncommitted change in the worktree is not merged",
    ]
    desk.repo.git("checkout", "-q", "--", ".")
    assert desk.succeeds("merge", "--json", made.branch) == (
        '{"name": "task:main", "into": "main", "commits": 0, "left": 1}\n'
    )


@pytest.mark.parametrize(
    ("commits", "left", "said", "also"),
    [
        (0, 0, "x:y: main has all of its commits already", None),
        (1, 0, "x:y: merged 1 commit into main", None),
        (3, 2, "x:y: merged 3 commits into main", "2 uncommitted changes in the worktree are not"),
    ],
)
def test_a_merge_is_told_in_words(commits: int, left: int, said: str, also: str | None) -> None:
    merged = Merged(name="x:y", into="main", commits=commits, left=left)
    assert merge_as_text(merged) == said
    assert (leftover(merged) or "").startswith(f"x:y: {also}" if also else "")
    assert (leftover(merged) is None) == (also is None)


def test_several_are_merged_in_order_up_to_the_first_that_cannot_be(desk: Desk) -> None:
    for role in ("one", "two"):
        made = desk.create(role)
        desk.repo.commit("a", f"{role} did\n", at=made.path)
    code, output, errors = desk.run("merge", "task:one", "task:two")
    assert (code, output) == (ExitCode.ERROR, "task:one: merged 1 commit into main\n")
    assert "both have changed a" in errors
    assert desk.repo.git("status", "--porcelain") == ""


# --- remove


@pytest.mark.requirement("worktrees.work-is-not-removed")
@pytest.mark.parametrize("work", ["uncommitted", "unmerged"])
def test_work_is_not_removed(desk: Desk, work: str) -> None:
    made = desk.create()
    clean = desk.create("clean")
    if work == "unmerged":
        desk.repo.commit("a", "work\n", at=made.path)
    else:
        desk.repo.write("a", "work\n", at=made.path)
    assert f"it holds 1 {work}" in desk.fails("remove", "task:clean", "task:main")
    assert desk.succeeds("remove", "--merged") == "nothing to remove\n"
    assert (Path(made.path) / "a").read_text() == "work\n"
    assert Path(clean.path).is_dir()  # all that are named, or none


@pytest.mark.requirement("worktrees.removal-can-be-forced-by-name")
def test_work_is_removed_where_that_is_demanded_by_name(desk: Desk) -> None:
    made = desk.create()
    desk.repo.commit("a", "work\n", at=made.path)
    desk.repo.write("new", "work\n", at=made.path)
    other = desk.create("other")
    desk.repo.write("new", "work\n", at=other.path)
    assert desk.succeeds("remove", "--force", "task:main") == "task:main: removed\n"
    assert not Path(made.path).exists()
    assert Path(other.path).is_dir()
    desk.succeeds("remove", "--force", "task:other")
    desk.bench.assert_nothing_is_left()


@pytest.mark.requirement("worktrees.removal-can-be-forced-by-name")
@pytest.mark.parametrize(
    "argv", [(), ("--force",), ("--merged", "--force"), ("--merged", "task:main")]
)
def test_nothing_is_removed_without_a_name_or_by_force_for_all(
    desk: Desk, argv: tuple[str, ...]
) -> None:
    made = desk.create()
    desk.fails("remove", *argv, code=ExitCode.USAGE)
    assert Path(made.path).is_dir()


def test_all_that_are_merged_are_removed_at_once(desk: Desk) -> None:
    for role in ("one", "two"):
        made = desk.create(role)
        desk.repo.commit(role, "work\n", at=made.path)
        desk.succeeds("merge", f"task:{role}")
    desk.create("fresh")
    output = desk.succeeds("remove", "--merged", "--json")
    assert [json.loads(line) for line in output.splitlines()] == [
        {"name": "task:one", "removed": True},
        {"name": "task:two", "removed": True},
    ]
    assert list(asyncio.run(desk.bench.list())) == ["task:fresh"]
    assert desk.succeeds("remove", "--merged", "--json") == ""


@pytest.mark.requirement("worktrees.in-use-is-not-removed")
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_worktree_that_a_process_works_in_is_not_removed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, force: tuple[str, ...]
) -> None:
    made = desk.create()
    monkeypatch.chdir(Path(made.path) / "sub")
    errors = desk.fails("remove", "task:main", *force)
    assert "in use by " in errors
    assert f"({os.getpid()})" in errors
    assert Path(made.path).is_dir()


def test_a_directory_that_is_gone_is_removed_from_gits_memory(desk: Desk) -> None:
    made = desk.create()
    shutil.rmtree(made.path)
    assert desk.succeeds("remove", "task:main") == "task:main: removed\n"
    desk.bench.assert_nothing_is_left()


def test_naming_one_twice_removes_it_once(desk: Desk) -> None:
    desk.create()
    output = desk.succeeds("remove", "task:main", "acprelay/task/main", "task")
    assert output == "task:main: removed\n"


# --- how it ends


def test_a_directory_in_no_repository_is_an_error(desk: Desk, tmp_path: Path) -> None:
    assert "it is in no git repository" in desk.fails("list", "--repo", str(tmp_path))


async def test_a_signal_ends_it_after_the_merge_that_has_begun(
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
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "worktrees", "merge", "task:main", cwd=bench.repo.path
    )
    await appears(tmp_path / "begun")
    process.send_signal(signal.SIGTERM)
    (tmp_path / "go").touch()
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == of_signal(signal.SIGTERM)
    assert bench.repo.git("status", "--porcelain") == ""
    assert (await bench.status()).merged


async def test_it_says_so_in_its_exit_code_when_nobody_reads_its_output(bench: Bench) -> None:
    made = await bench.create()
    bench.repo.write("a", "line\n" * 1_000_000, at=made.path)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"({PROGRAM} worktrees diff task:main; echo $? >&2) | head -n 1"),
        cwd=bench.repo.path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    assert output == b"diff --git a/a b/a\n"
    assert errors == b"141\n"
