"""What git answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.workspace import parsing
from acprelay.workspace.parsing import FileNumbers, Location, TreeStatus, WorktreeEntry

OID = "3c5b9dc3bd9bc233833a819cde379d6336c2e298"
NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20).map(
    str.encode
)


@pytest.mark.parametrize(
    ("out", "version"),
    [
        (b"git version 2.39.5\n", (2, 39)),
        (b"git version 2.50.1 (Apple Git-155)\n", (2, 50)),
        (b"git version 2.45.0.windows.1\n", (2, 45)),
        (b"git version 2.20\n", (2, 20)),
        (b"git version next\n", None),
        (b"", None),
    ],
)
def test_a_version_is_its_first_two_numbers(out: bytes, version: object) -> None:
    assert parsing.parse_version(out) == version


@pytest.mark.parametrize(
    ("out", "location"),
    [
        (b"false\n.git\n\n/p\n", Location(bare=False, common=".git", prefix="", top="/p")),
        (
            b"false\n../../.git\nsub/d r/\n/p\n",
            Location(bare=False, common="../../.git", prefix="sub/d r/", top="/p"),
        ),
        (b"true\n.\n\n", Location(bare=True, common=".", prefix="")),
        (b"true\n.\n", Location(bare=True, common=".")),
        (b"false\n.git\n\n/p\nq\n", None),
        (b"maybe\n.git\n\n/p\n", None),
        (b"", None),
    ],
)
def test_a_location_is_read_as_far_as_git_came(out: bytes, location: object) -> None:
    assert parsing.parse_location(out) == location


@pytest.mark.parametrize(
    ("records", "status"),
    [
        (
            [f"# branch.oid {OID}", "# branch.head main"],
            TreeStatus(head=OID, branch="main"),
        ),
        (
            [
                f"# branch.oid {OID}",
                "# branch.head feature/x",
                "# branch.upstream origin/x",
                "# branch.ab +1 -0",
            ],
            TreeStatus(head=OID, branch="feature/x"),
        ),
        (
            ["# branch.oid (initial)", "# branch.head main", "? new"],
            TreeStatus(head=None, branch="main", changes=("new",)),
        ),
        (
            [f"# branch.oid {OID}", "# branch.head (detached)"],
            TreeStatus(head=OID, branch=None),
        ),
        (
            [
                "# branch.oid (initial)",
                f"1 .M N... 100644 100644 100644 {OID} {OID} my file",
                f"1 A. S.M. 100644 100644 100644 {OID} {OID} module",
                f"u UU N... 100644 100644 100644 100644 {OID} {OID} {OID} both changed",
                "? un tracked/",
                "! ignored",
            ],
            TreeStatus(
                head=None, branch=None, changes=("my file", "module", "both changed", "un tracked/")
            ),
        ),
    ],
)
def test_a_status_has_head_branch_and_changes(records: list[str], status: TreeStatus) -> None:
    assert parsing.parse_status("".join(f"{each}\0" for each in records).encode()) == status


@given(st.lists(NAMES))
def test_any_path_is_read_back_from_a_status(paths: list[bytes]) -> None:
    out = b"".join(b"? " + path + b"\0" for path in paths)
    assert [each.encode() for each in parsing.parse_status(out).changes] == paths


@given(st.lists(NAMES))
def test_any_path_is_read_back_from_a_list(paths: list[bytes]) -> None:
    out = b"".join(path + b"\0" for path in paths)
    assert [each.encode() for each in parsing.parse_paths(out)] == paths


def test_refs_are_read_by_name() -> None:
    out = f"{OID} refs/heads/acprelay/a/b\n{OID} refs/heads/acprelay/\u2028x\n".encode()
    assert parsing.parse_refs(out) == {
        "refs/heads/acprelay/a/b": OID,
        "refs/heads/acprelay/\u2028x": OID,
    }
    assert parsing.parse_refs(b"") == {}


def test_worktrees_are_read_block_by_block() -> None:
    out = f"""\
worktree /my project
HEAD {OID}
branch refs/heads/main

worktree /w/task/main
HEAD {OID}
branch refs/heads/acprelay/task/main
locked on a stick

worktree /w/task/db
HEAD {OID}
detached
locked
prunable gitdir file points to non-existent location

worktree /w/new
HEAD {"0" * 40}
branch refs/heads/new

worktree /bare.git
bare

"""
    assert parsing.parse_worktrees(out.encode()) == [
        WorktreeEntry(path="/my project", head=OID, branch="main"),
        WorktreeEntry(
            path="/w/task/main", head=OID, branch="acprelay/task/main", locked="on a stick"
        ),
        WorktreeEntry(path="/w/task/db", head=OID, locked=""),
        WorktreeEntry(path="/w/new", branch="new"),
        WorktreeEntry(path="/bare.git"),
    ]


def test_numbers_of_lines_are_read_and_binary_files_have_none() -> None:
    assert parsing.parse_numbers(b"1\t20\ta\tb\0-\t-\tpicture\0") == (
        FileNumbers(path="a\tb", added=1, deleted=20),
        FileNumbers(path="picture", added=None, deleted=None),
    )


def test_a_path_and_a_count_are_read() -> None:
    assert parsing.parse_path(b"/a b\n") == "/a b"
    assert parsing.parse_count(b"12\n") == 12
