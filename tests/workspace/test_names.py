"""What worktrees, branches and refs are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.session.models import KEY_PART_PATTERN, SessionKey
from acprelay.workspace import names

PARTS = st.from_regex(f"\\A{KEY_PART_PATTERN}\\Z") | st.text("aAbB", min_size=1, max_size=4)
KEYS = st.builds(SessionKey, PARTS, PARTS)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("task:main", "task/main"),
        ("0a_b-c:db", "0a_b-c/db"),
        ("Task:main", "Task.1/main"),
        ("tASK:Main", "tASK.e/Main.1"),
    ],
)
def test_a_slot_is_the_key_with_a_suffix_for_capital_letters(key: str, slot: str) -> None:
    assert names.slot_of(SessionKey.parse(key)) == slot
    assert names.branch_of(slot) == f"acprelay/{slot}"
    assert names.refs_of(slot) == (
        f"refs/heads/acprelay/{slot}",
        f"refs/acprelay/base/{slot}",
        f"refs/acprelay/unfinished/{slot}",
    )


@given(KEYS)
def test_a_key_is_read_back_from_its_slot(key: SessionKey) -> None:
    slot = names.slot_of(key)
    assert names.key_of(slot) == key
    assert names.slot_of_branch(names.branch_of(slot)) == slot


@given(KEYS, KEYS)
@pytest.mark.requirement("worktrees.names-never-collide")
def test_two_keys_share_no_name_even_where_case_does_not_count(
    one: SessionKey, other: SessionKey
) -> None:
    same = names.slot_of(one).casefold() == names.slot_of(other).casefold()
    assert same == (one == other)


@given(KEYS, KEYS)
def test_the_refs_of_two_keys_are_not_in_each_others_way(
    one: SessionKey, other: SessionKey
) -> None:
    found = names.obstacle(names.slot_of(one), names.refs_of(names.slot_of(other)))
    assert (found is None) == (one != other)


@pytest.mark.parametrize(
    "slot", ["", "task", "task/", "/main", "task/a/b", "Task/main", "task.1/main", "t:a/main"]
)
def test_what_nobody_would_have_named_so_is_no_slot(slot: str) -> None:
    assert names.key_of(slot) is None


@pytest.mark.parametrize(
    ("ref", "in_the_way"),
    [
        ("refs/heads/main", False),
        ("refs/heads/acprelay", True),
        ("refs/heads/acprelay/task", True),
        ("refs/heads/acprelay/task/main", True),
        ("refs/heads/acprelay/TASK/Main", True),
        ("refs/heads/acprelay/task/main/more", True),
        ("refs/heads/acprelay/task/main2", False),
        ("refs/heads/acprelay/task/mai", False),
        ("refs/heads/acprelay/tas", False),
        ("refs/acprelay/base/task/main", True),
        ("refs/acprelay/unfinished/task/main", True),
        ("refs/acprelay/base", True),
        ("refs/acprelay/base/task/db", False),
    ],
)
def test_a_ref_is_in_the_way_as_a_file_where_a_directory_is_needed(
    ref: str, *, in_the_way: bool
) -> None:
    assert names.obstacle("task/main", ["refs/heads/other", ref]) == (ref if in_the_way else None)


@pytest.mark.parametrize(
    ("common", "begins"),
    [
        ("/home/me/project/.git", "project-"),
        ("/srv/project.git", "project-"),
        ("/home/me/my pröject/.git", "my-pr-ject-"),
        ("/home/me/…/.git", "repository-"),
        ("/.git", "repository-"),
        ("/x/-.rc/.git", "rc-"),
        ("/x/" + "long" * 20 + "/.git", "long" * 10 + "-"),
        ("/x/\udcff/.git", "repository-"),
    ],
)
def test_a_repositorys_folder_says_its_name_in_plain_letters(common: str, begins: str) -> None:
    folder = names.folder_of(common)
    assert folder[: len(begins)] == begins
    assert len(folder) == len(begins) + 10


def test_repositories_of_one_name_have_folders_of_their_own() -> None:
    assert names.folder_of("/a/project/.git") != names.folder_of("/b/project/.git")
