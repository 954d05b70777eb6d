"""Paths stay inside: as they are written, through links, and while somebody moves things about."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services.conftest import Files, tree

from acprelay.errors import Forbidden, InvalidParams, RelayError, ServiceError
from acprelay.services import text_files
from acprelay.services.confinement import Place, locate
from acprelay.services.terminal_orders import read_order


@pytest.mark.requirement("files.stay-in-the-worktree")
@pytest.mark.parametrize(
    "path",
    [
        "{place}/outside/secret",
        "{root}/../outside/secret",
        "{root}/a/../../outside/secret",
        "{root}x/secret",
        "{place}",
        "/etc/passwd",
        "/",
        "//etc//passwd",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
    ],
)
def test_a_path_that_leads_out_is_refused(files: Files, root: Path, path: str) -> None:
    (root.parent / "rootx").mkdir()
    (root.parent / "rootx" / "secret").write_text("x")
    before = tree(root.parent)
    named = path.format(place=root.parent, root=root)
    with pytest.raises(Forbidden, match="outside of the session's directory") as caught:
        files.read(named)
    assert str(root) in caught.value.hint
    with pytest.raises(Forbidden):
        files.write(named, "x")
    assert tree(root.parent) == before


@pytest.mark.parametrize("path", ["", "a", "./a", "../a", "~/a", "C:\\a", "/a\0b", "/a" * 2049])
def test_what_is_no_absolute_path_is_refused(files: Files, path: str) -> None:
    with pytest.raises(InvalidParams, match="as a path"):
        files.read(path)


def test_every_spelling_of_a_path_inside_is_taken(files: Files, root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "a").write_text("x")
    (root.parent / "alias").symlink_to(root)
    for path in (
        f"{root}/folder/../folder/a",
        f"{root}//folder/./a",
        f"/{root}/folder/a",
        f"{root.parent}/alias/folder/a",
        f"{root}/../root/folder/a",
        f"{root.parent}/outside/../root/folder/a",
    ):
        assert files.read(path) == "x"


def test_a_root_may_be_named_through_a_link(root: Path) -> None:
    (root / "a").write_text("x")
    (root.parent / "alias").symlink_to(root)
    files = Files(root.parent / "alias")
    assert files.read(root / "a") == "x"
    files.write(root.parent / "alias" / "b", "y")
    assert (root / "b").read_text() == "y"


def test_further_directories_count_as_roots(root: Path) -> None:
    files = Files(root, root.parent / "outside")
    assert files.read(root.parent / "outside" / "secret") == "secret"
    files.write(root.parent / "outside" / "secret", "told")
    assert (root.parent / "outside" / "secret").read_text() == "told"


def test_the_root_of_all_is_a_root(root: Path) -> None:
    (root / "a").write_text("x")
    assert Files(Path("/")).read(root / "a") == "x"
    with pytest.raises(ServiceError, match="no regular file"):
        Files(Path("/")).read("/")


def test_without_a_root_nothing_is_inside(root: Path) -> None:
    (root / "a").write_text("x")
    with pytest.raises(Forbidden) as caught:
        Files().read(root / "a")
    assert caught.value.hint == "open the session with an absolute directory"
    with pytest.raises(InvalidParams):
        read_order(b'{"command":"true"}', roots=[], path=None)


# --- links


@pytest.mark.requirement("files.leaving-symlinks-are-refused")
@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("link", "{place}/outside/secret", "link"),
        ("link", "../outside/secret", "link"),
        ("link", "{place}/outside", "link/secret"),
        ("link", "..", "link/outside/secret"),
        ("link", "/", "link/etc/passwd"),
        ("folder/link", "../../outside", "folder/link/secret"),
        ("link", "{place}/outside/new", "link"),
        ("link", "{place}/outside/new", "link/new"),
        ("link", "/proc/self/root", "link/etc/passwd"),
        ("link", "/proc/self/cwd/..", "link/x"),
    ],
)
def test_a_link_that_leads_out_is_refused_to_read_and_to_write(
    files: Files, root: Path, link: str, target: str, path: str
) -> None:
    (root / "folder").mkdir()
    (root / link).symlink_to(target.format(place=root.parent))
    before = tree(root.parent)
    with pytest.raises(Forbidden):
        files.read(root / path)
    with pytest.raises(Forbidden):
        files.write(root / path, "x")
    assert tree(root.parent) == before


def test_a_link_that_stays_inside_is_followed_and_stays_a_link(files: Files, root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "a").write_text("x")
    (root / "link").symlink_to("folder/a")
    (root / "aside").symlink_to(root / "folder")
    (root / "new").symlink_to("folder/b")
    assert files.read(root / "link") == files.read(root / "aside" / "a") == "x"
    files.write(root / "link", "y")
    files.write(root / "new", "z")
    files.write(root / "aside" / "c", "w")
    assert tree(root) == {
        "folder/": "",
        "folder/a": "y",
        "folder/b": "z",
        "folder/c": "w",
        "link@": "folder/a",
        "aside@": str(root / "folder"),
        "new@": "folder/b",
    }


@pytest.mark.requirement("files.leaving-symlinks-are-refused")
def test_a_sessions_directory_that_becomes_a_link_leads_nowhere(files: Files, root: Path) -> None:
    root.rename(root.parent / "aside")
    root.symlink_to(root.parent / "outside")
    with pytest.raises(Forbidden):
        files.read(root / "secret")
    with pytest.raises(Forbidden):
        files.write(root / "new", "x")
    assert tree(root.parent / "outside") == {"secret": "secret"}


# --- what is swapped between the look and the use


def swap_after_locating(monkeypatch: pytest.MonkeyPatch, swap: Callable[[], object]) -> None:
    """Lets something happen at the worst moment: once a path was found to be inside."""

    def locate_and_swap(path: str, roots: list[str]) -> Place:
        place = locate(path, roots)
        swap()
        return place

    monkeypatch.setattr(text_files, "locate", locate_and_swap)


@pytest.mark.requirement("files.leaving-symlinks-are-refused")
@pytest.mark.parametrize("name", ["a", "folder", "folder/deep"])
@pytest.mark.parametrize("what", ["read", "write"])
def test_a_link_put_in_between_the_look_and_the_use_leads_nowhere(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    (root / "folder" / "deep").mkdir(parents=True)
    (root / "a").write_text("mine")
    (root / "folder" / "deep" / "secret").write_text("mine")
    (root.parent / "outside" / "deep").mkdir()
    (root.parent / "outside" / "deep" / "secret").write_text("secret")
    outside = tree(root.parent / "outside")
    asked = root / "a" if name == "a" else root / "folder" / "deep" / "secret"
    target = {"a": "secret", "folder": "", "folder/deep": "deep"}[name]

    def swap() -> None:
        (root / name).rename(root / "aside")
        (root / name).symlink_to(root.parent / "outside" / target)

    swap_after_locating(monkeypatch, swap)
    with pytest.raises(ServiceError):
        files.read(asked) if what == "read" else files.write(asked, "x")
    assert tree(root.parent / "outside") == outside
    assert not any("acprelay" in name for name in tree(root))


@pytest.mark.requirement("files.leaving-symlinks-are-refused")
def test_a_link_put_in_after_the_last_look_is_replaced_and_not_followed(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_text("mine")
    rename = os.rename

    def swap_and_rename(*args: object, **kwargs: object) -> None:
        (root / "a").unlink()
        (root / "a").symlink_to(root.parent / "outside" / "secret")
        rename(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", swap_and_rename)
    files.write(root / "a", "new")
    assert tree(root) == {"a": "new"}
    assert (root.parent / "outside" / "secret").read_text() == "secret"


def test_a_directory_made_meanwhile_is_entered(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir

    def be_second(name: str, *, dir_fd: int) -> None:
        mkdir(name, dir_fd=dir_fd)
        mkdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", be_second)
    files.write(root / "new" / "a", "x")
    assert (root / "new" / "a").read_text() == "x"


NAMES = ["folder", "up", "out", "in", "a", "..", ".", "root", "outside", "secret"]


@given(st.lists(st.sampled_from(NAMES), max_size=8))
def test_whatever_the_path_what_is_outside_is_neither_read_nor_written(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    place = tmp_path_factory.mktemp("place")
    root = place / "root"
    (root / "folder").mkdir(parents=True)
    (place / "outside").mkdir()
    (place / "outside" / "secret").write_text("secret")
    (root / "a").write_text("mine")
    (root / "up").symlink_to("..")
    (root / "out").symlink_to(place / "outside")
    (root / "folder" / "in").symlink_to(root)
    outside = tree(place / "outside")
    files = Files(root)
    path = "/".join([str(root), *names])
    with suppress(RelayError):
        assert files.read(path) == "mine"
    with suppress(RelayError):
        files.write(path, "new")
        assert Path(path).resolve().is_relative_to(root)
    assert tree(place / "outside") == outside
    assert sorted(each.name for each in place.iterdir()) == ["outside", "root"]
