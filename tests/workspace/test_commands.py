"""What git is asked."""

from __future__ import annotations

import pytest

from acprelay.workspace import commands
from acprelay.workspace.commands import Command

SLOT = "task/main"


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (commands.version(), "version"),
        (
            commands.locate(),
            "rev-parse --is-bare-repository --git-common-dir --show-prefix --show-toplevel",
        ),
        (
            commands.status(untracked="all"),
            "status --porcelain=v2 --branch -z --untracked-files=all --ignore-submodules=none "
            "--no-renames",
        ),
        (commands.list_worktrees(), "worktree list --porcelain"),
        (
            commands.add_worktree(SLOT, path="/w"),
            "worktree add --no-checkout /w acprelay/task/main",
        ),
        (commands.fill_worktree(), "read-tree --reset -u HEAD"),
        (commands.remove_worktree("/w"), "worktree remove /w"),
        (commands.remove_worktree("/w", force=True), "worktree remove --force --force /w"),
        (commands.count_commits(["x", "y"], without=["b"]), "rev-list --count x y ^b --"),
        (
            commands.count_unmerged(["x"], without=["b"]),
            "rev-list --count x --not b --exclude=acprelay/* --branches --",
        ),
        (
            commands.diff("b"),
            "diff --no-ext-diff --no-textconv --no-renames --no-color b --",
        ),
        (
            commands.diff_numbers("b", "x"),
            "diff --numstat -z --no-ext-diff --no-textconv --no-renames --no-color b x --",
        ),
        (commands.own_directory(), "rev-parse --git-dir"),
        (commands.list_untracked(), "ls-files --others --exclude-standard -z"),
        (commands.merge("x"), "-c merge.autoStash=false merge --no-edit --no-stat x"),
        (commands.resolve("x", "y"), "rev-parse x y --"),
        (commands.is_merging(), "rev-parse --quiet --verify MERGE_HEAD"),
        (commands.list_conflicts(), "diff --name-only --diff-filter=U -z"),
        (commands.abort_merge(), "merge --abort"),
    ],
)
def test_a_command_is_an_argv(command: Command, args: str) -> None:
    assert command.args == tuple(args.split(" "))
    assert command.stdin == b""


def test_refs_are_asked_for_with_their_values() -> None:
    assert commands.list_refs().args == (
        *("for-each-ref", "--format=%(objectname) %(refname)"),
        *("refs/heads/acprelay", "refs/acprelay"),
    )


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        (
            commands.claim(SLOT, base="b"),
            [
                "create refs/acprelay/unfinished/task/main b",
                "create refs/heads/acprelay/task/main b",
            ],
        ),
        (
            commands.finish(SLOT, base="b"),
            [
                "create refs/acprelay/base/task/main b",
                "delete refs/acprelay/unfinished/task/main b",
            ],
        ),
        (
            commands.mark_unfinished(SLOT, base="b"),
            ["update refs/acprelay/unfinished/task/main b"],
        ),
        (commands.delete_refs({"r": "1", "s": "2"}), ["delete r 1", "delete s 2"]),
        (commands.delete_refs({"r": "1"}, absent=["s"]), ["delete r 1", "verify s"]),
    ],
)
def test_refs_change_in_one_transaction(command: Command, changes: list[str]) -> None:
    assert command.args == ("update-ref", "--stdin")
    assert command.stdin.decode().splitlines() == changes


def test_every_command_is_made_predictable() -> None:
    argv = commands.argv_of(commands.list_worktrees(), program="/bin/git", at="/my project")
    assert argv[0] == "/bin/git"
    assert argv[-5:] == ["-C", "/my project", "worktree", "list", "--porcelain"]
    assert {"--no-pager", "core.fsmonitor=false", "gc.auto=0", "submodule.recurse=false"} <= {*argv}
    assert "core.hooksPath=/dev/null" in argv


def test_only_a_merge_runs_hooks() -> None:
    assert "core.hooksPath=/dev/null" not in commands.argv_of(
        commands.merge("x"), program="git", at="/"
    )


@pytest.mark.parametrize(
    "command",
    [
        commands.fill_worktree(),
        commands.merge("x"),
        commands.abort_merge(),
        commands.remove_worktree("/w"),
        commands.diff("b"),
    ],
)
def test_what_writes_many_files_has_more_time(command: Command) -> None:
    assert command.timeout_s == commands.LONG_S
