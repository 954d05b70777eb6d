"""What git's words mean."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.workspace.failures import backoff, cause_of, failure, is_contention

LOCKED = """\
fatal: Unable to create '/p/.git/index.lock': File exists.

Another git process seems to be running in this repository, e.g.
an editor opened by 'git commit'."""


@pytest.mark.parametrize(
    "errors",
    [
        LOCKED,
        "error: could not lock config file .git/config: File exists",
        "error: cannot lock ref 'refs/heads/x': Unable to create '/p/.git/refs/heads/x.lock': "
        "File exists.",
        "fatal: Unable to create '/p/.git/packed-refs.lock': File exists.",
        "fatal: could not create directory of '.git/worktrees/main': No such file or directory",
        "fatal: could not create leading directories of '/w/.git': File exists",
        "fatal: failed to read .git/worktrees/r5/commondir: Success",
        "error: cannot lock ref 'refs/heads/a/b': unable to create directory for "
        "/p/.git/refs/heads/a/b: No such file or directory",
    ],
)
def test_a_lock_that_is_taken_and_a_lost_race_are_contention(errors: str) -> None:
    assert is_contention(errors)


@pytest.mark.parametrize(
    "errors",
    [
        "",
        "fatal: cannot lock ref 'refs/heads/acprelay/a/b': reference already exists",
        "fatal: cannot lock ref 'refs/heads/acprelay/a/b': 'refs/heads/acprelay/a' exists; cannot "
        "create 'refs/heads/acprelay/a/b'",
        "error: cannot lock ref 'refs/heads/x': is at 1 but expected 2",
        "fatal: Unable to create '/p/.git/index.lock': Permission denied",
        "fatal: could not create directory of '.git/worktrees/main': Permission denied",
        "fatal: '/w' already exists",
        "fatal: not a git repository (or any of the parent directories): .git",
    ],
)
def test_what_will_fail_again_is_no_contention(errors: str) -> None:
    assert not is_contention(errors)


@pytest.mark.parametrize(
    ("errors", "cause"),
    [
        ("hint: x\nfatal: no luck\n", "no luck"),
        ("error: one\nfatal: two", "one"),
        ("something\nelse\n", "else"),
        ("", "git gives no reason"),
        (f"fatal: {'x' * 1000}", "x" * 300),
    ],
)
def test_the_cause_is_gits_first_complaint(errors: str, cause: str) -> None:
    assert cause_of(errors) == cause


@pytest.mark.parametrize(
    ("errors", "said", "hint"),
    [
        (
            "fatal: detected dubious ownership in repository at '/p'",
            "cannot work: the repository belongs to another user, and git does not trust it",
            "safe.directory",
        ),
        (
            "fatal: unsafe repository ('/p' is owned by someone else)",
            "cannot work: the repository belongs to another user, and git does not trust it",
            "safe.directory",
        ),
        (
            "fatal: not a git repository (or any of the parent directories): .git",
            "cannot work: it is in no git repository",
            "git init",
        ),
        (LOCKED, "cannot work: /p/.git/index.lock is taken", "remove it"),
        ("fatal: no luck", "cannot work: git says: no luck", "try again"),
    ],
)
def test_a_failure_has_a_cause_and_a_remedy(errors: str, said: str, hint: str) -> None:
    error = failure("work", errors)
    assert error.message == said
    assert hint in error.hint


@given(st.integers(1, 30), st.floats(0.001, 1), st.floats(1, 10))
def test_waits_double_up_to_their_bound(attempts: int, first_s: float, most_s: float) -> None:
    waits = backoff(attempts, first_s=first_s, most_s=most_s)
    assert len(waits) == attempts - 1
    assert list(waits[:1]) == [first_s][: attempts - 1]
    assert all(later == min(2 * one, most_s) for one, later in pairwise(waits))
