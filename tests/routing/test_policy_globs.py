"""Globs: what they fit, and that no text makes them slow."""

from __future__ import annotations

import posixpath
import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.globs import is_placed, matches, path_matches, place

CWD = "/home/me/project"

short_texts = st.text("ab*", max_size=6)
segments = st.sampled_from(["a", "b", "ab", "*", "a*", "**"])


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("git status", "git status", True),
        ("git status", "git status -s", False),
        ("git *", "git status", True),
        ("git *", "git", False),
        ("git*", "git", True),
        ("*", "", True),
        ("*", "a\nb", True),
        ("", "", True),
        ("", "a", False),
        ("*.py", "a.py", True),
        ("*.py", ".py", True),
        ("a*b*c", "a--b--b--c", True),
        ("a*b*c", "acb", False),
        ("ab*ba", "aba", False),
        ("a**b", "ab", True),
        ("Git *", "git status", False),
        ("a?c", "abc", False),
        ("a?c", "a?c", True),
        ("[ab]", "a", False),
    ],
)
def test_a_star_fits_any_run_and_all_else_fits_itself(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


@given(pattern=short_texts, text=short_texts)
def test_a_glob_fits_what_the_regular_expression_of_the_same_meaning_fits(
    pattern: str, text: str
) -> None:
    meaning = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, text) is bool(re.fullmatch(meaning, text, re.DOTALL))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 500_000 + "b", "a" * 1_000_000),
        ("*" * 1_000_000 + "b", "a" * 1_000_000),
        ("a*" * 500_000 + "b*c", "a" * 1_000_000 + "b"),
    ],
)
def test_a_megabyte_of_stars_ends_although_it_would_keep_a_backtracker_busy_for_ever(
    pattern: str, text: str
) -> None:
    assert not matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("**", f"{CWD}/a/b", True),
        ("**", CWD, True),
        ("**", "/home/me", False),
        ("**", "/home/me/project2/a", False),
        ("src/**", f"{CWD}/src/a/b.py", True),
        ("src/**", f"{CWD}/src", True),
        ("src/**", f"{CWD}/lib/src/a", False),
        ("src/*", f"{CWD}/src/a", True),
        ("src/*", f"{CWD}/src/a/b", False),
        ("src/*", f"{CWD}/src", False),
        ("src/", f"{CWD}/src", True),
        ("./src//a", f"{CWD}/src/a", True),
        ("*.py", f"{CWD}/a.py", True),
        ("*.py", f"{CWD}/src/a.py", False),
        ("**/*.py", f"{CWD}/src/x/a.py", True),
        ("**/*.py", f"{CWD}/a.py", True),
        ("**/.env", f"{CWD}/a/.env", True),
        ("**/.env", "/elsewhere/.env", False),
        ("/**/.env", "/elsewhere/.env", True),
        ("a/**/b/**/c", f"{CWD}/a/x/b/c", True),
        ("a/**/b/**/c", f"{CWD}/a/x/c/b", False),
        ("a/**/b/**/b", f"{CWD}/a/b", False),
        ("a/**/a", f"{CWD}/a", False),
        ("**/b/c/**", f"{CWD}/b/b/c", True),
        ("/etc/**", "/etc/passwd", True),
        ("/etc/passwd", "/etc/passwd", True),
        ("/etc", "/etc/passwd", False),
        ("/", "/", True),
        ("/**", "/", True),
        ("/", "/a", False),
        ("SRC/**", f"{CWD}/src/a", False),
        ("../**", "/home/me/a", False),
    ],
)
def test_a_path_glob_fits_whole_segments(pattern: str, path: str, fits: bool) -> None:
    cwd = place("", cwd=CWD)
    assert path_matches(pattern, place(path, cwd=CWD), cwd=cwd) is fits


@given(
    pattern=st.lists(segments, max_size=5),
    path=st.lists(st.sampled_from(["a", "b", "ab"]), max_size=5),
)
def test_a_path_glob_fits_what_trying_everything_fits(pattern: list[str], path: list[str]) -> None:
    @cache
    def tries(at_pattern: int, at_path: int) -> bool:
        if at_pattern == len(pattern):
            return at_path == len(path)
        if pattern[at_pattern] == "**":
            return any(tries(at_pattern + 1, at) for at in range(at_path, len(path) + 1))
        return (
            at_path < len(path)
            and matches(pattern[at_pattern], path[at_path])
            and tries(at_pattern + 1, at_path + 1)
        )

    assert path_matches("/" + "/".join(pattern), path, cwd=()) is tries(0, 0)


def test_many_runs_of_segments_are_looked_for_without_going_back() -> None:
    path = ["a"] * 2000
    assert not path_matches("/" + "**/a/" * 500 + "b", path, cwd=())
    assert path_matches("/" + "**/a/" * 500 + "a", path, cwd=())


def test_a_directory_with_a_star_in_its_name_is_no_pattern() -> None:
    cwd = place("", cwd="/home/*/p")
    assert path_matches("**", ("home", "*", "p", "a"), cwd=cwd)
    assert not path_matches("**", ("home", "you", "p", "a"), cwd=cwd)


@pytest.mark.parametrize(
    ("path", "placed"),
    [
        ("/a/b", "/a/b"),
        ("a", f"{CWD}/a"),
        ("", CWD),
        (".", CWD),
        ("./a//b/", f"{CWD}/a/b"),
        ("../other/a", "/home/me/other/a"),
        ("/a/../../../etc/passwd", "/etc/passwd"),
        ("src/../../../../../etc", "/etc"),
        ("//etc", "/etc"),
        ("/..", "/"),
        ("...", f"{CWD}/..."),
        ("a/..b", f"{CWD}/a/..b"),
    ],
)
def test_a_path_is_placed_by_its_text_alone(path: str, placed: str) -> None:
    assert "/" + "/".join(place(path, cwd=CWD)) == placed


@given(st.lists(st.sampled_from(["a", "b", ".", "..", ""]), max_size=8))
def test_a_path_is_placed_where_the_standard_library_normalises_it_to(parts: list[str]) -> None:
    path = "/".join(parts)
    joined = posixpath.normpath(posixpath.join(CWD, path)).replace("//", "/")
    assert "/" + "/".join(place(path, cwd=CWD)) == joined


@pytest.mark.parametrize(
    ("path", "cwd", "plain"),
    [
        ("/a", CWD, True),
        ("a", CWD, True),
        ("a/$b", CWD, True),
        ("a~", CWD, True),
        ("/a", "", True),
        ("a", "", False),
        ("a", "relative", False),
        ("~/a", CWD, False),
        ("~you/a", CWD, False),
        ("$HOME/a", CWD, False),
        ("file:///etc/passwd", CWD, False),
        ("a\0b", CWD, False),
    ],
)
def test_a_path_that_somebody_may_expand_has_no_plain_place(
    path: str, cwd: str, plain: bool
) -> None:
    assert is_placed(path, cwd=cwd) is plain
