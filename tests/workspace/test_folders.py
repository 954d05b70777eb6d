"""Directories for worktrees."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from acprelay.workspace.folders import make_folder, remove_empty


def test_a_directory_and_those_above_it_are_made_for_their_owner_only(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b/c")
    for name in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_is_there_already_is_not_taken_over(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.mkdir() if kind == "directory" else path.touch()
    with pytest.raises(FileExistsError):
        make_folder(path)


class Rival:
    """Takes empty directories away while another one makes them in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
        self._times = times
        self._mkdir = Path.mkdir

        def make(path: Path, mode: int) -> None:
            self._make(path, mode)

        monkeypatch.setattr(Path, "mkdir", make)

    def _make(self, path: Path, mode: int) -> None:
        if path.name == "c" and self._times > 0:
            self._times -= 1
            remove_empty(path.parent)
        self._mkdir(path, mode)


def test_a_parent_that_is_taken_away_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rival(monkeypatch, times=3)
    make_folder(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()


def test_a_parent_that_is_taken_away_every_time_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rival(monkeypatch, times=100)
    with pytest.raises(FileNotFoundError):
        make_folder(tmp_path / "a/b/c")


def test_only_empty_directories_go_and_no_more_than_are_asked_for(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b/c/d")
    (tmp_path / "a/file").touch()
    remove_empty(tmp_path / "a/b/c/d")
    assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a/b/c").exists()
    remove_empty(tmp_path / "a/b")
    assert (tmp_path / "a/file").exists()
    remove_empty(tmp_path / "nowhere")
