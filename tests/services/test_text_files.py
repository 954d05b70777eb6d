"""Files that are read and written for an agent: what it gets, and what is on the disk then."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.services.conftest import Files, as_nobody, tree

from acprelay.errors import FileMissing, Forbidden, InvalidParams, RequestCancelled, ServiceError
from acprelay.services import text_files

# --- reading


def test_a_file_is_read_as_it_is(files: Files, root: Path) -> None:
    (root / "a").write_bytes("\ufeffone\r\ntwo\0\u2028é".encode())
    assert files.read(root / "a") == "\ufeffone\r\ntwo\0\u2028é"


def test_lines_are_read_by_their_numbers(files: Files, root: Path) -> None:
    (root / "a").write_text("one\ntwo\nthree\n")
    assert files.read(root / "a", line=2) == "two\nthree\n"
    assert files.read(root / "a", line=2, limit=1) == "two\n"
    assert files.read(root / "a", line=None, limit=None) == "one\ntwo\nthree\n"
    assert files.read(root / "a", limit=0) == ""
    assert files.read(root / "a", line=9) == ""


@pytest.mark.parametrize("size", [100, 101])
def test_what_is_too_much_for_one_answer_is_read_in_parts(root: Path, size: int) -> None:
    files = Files(root, most_bytes=100)
    (root / "a").write_text("x" * (size - 1) + "\n")
    if size == 100:
        assert len(files.read(root / "a")) == 100
        return
    with pytest.raises(ServiceError, match="more than 100 bytes") as caught:
        files.read(root / "a")
    assert caught.value.hint == "read it in parts, with line and limit"
    assert files.read(root / "a", line=2) == ""


def test_of_a_huge_file_no_more_is_held_than_is_given(files: Files, root: Path) -> None:
    """It is larger than what this process may have in memory besides what it has."""
    with (root / "huge").open("wb") as huge:
        huge.write(b"first\n")
        huge.seek(1 << 30)
        huge.write(b"\nlast\n")
    with bounded_memory(256 << 20):
        assert files.read(root / "huge", line=3, limit=1) == "last\n"
        assert files.read(root / "huge", limit=1) == "first\n"
        with pytest.raises(ServiceError, match="in one answer"):
            files.read(root / "huge")


@contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Lets this process have only so many bytes more than it has."""
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (has + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_reading_goes_on_only_while_the_answer_is_wanted(files: Files, root: Path) -> None:
    (root / "a").write_text("x\n" * 1_000_000)
    files.is_wanted = False
    with pytest.raises(RequestCancelled):
        files.read(root / "a", line=999_999)


@pytest.mark.parametrize("content", [b"\xff", b"a\nb\xc3", b"\xed\xa0\x80"])
def test_what_is_no_text_is_told(files: Files, root: Path, content: bytes) -> None:
    (root / "a").write_bytes(content)
    with pytest.raises(ServiceError, match="as text: it is not UTF-8"):
        files.read(root / "a")


def test_a_file_that_is_not_there_is_not_found(files: Files, root: Path) -> None:
    for path in (root / "none", root / "no" / "such" / "folder"):
        with pytest.raises(FileMissing, match="resource not found"):
            files.read(path)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"path": 1},
        {"path": None},
        {"path": "/x", "line": -1},
        {"path": "/x", "line": "1"},
        {"path": "/x", "limit": 1.5},
        {"path": "/x", "limit": -1},
    ],
)
def test_params_that_are_none_are_refused(files: Files, params: dict[str, object]) -> None:
    with pytest.raises(InvalidParams, match="fs/read_text_file"):
        files.ask("fs/read_text_file", **params)


@pytest.mark.parametrize("raw", [b"null", b"[]", b'{"path":"/x","content":"\\ud800"}'])
def test_so_are_those_of_a_write(root: Path, raw: bytes) -> None:
    with pytest.raises(InvalidParams):
        text_files.TextFiles(most_bytes=1).serve(
            "fs/write_text_file", raw, roots=[str(root)], is_wanted=lambda: True
        )


# --- what is no file


def test_what_is_no_regular_file_is_neither_opened_nor_replaced(files: Files, root: Path) -> None:
    """A pipe without a writer would block whoever opens it."""
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "socket"))
    (root / "loop").symlink_to("loop")
    before = sorted(root.iterdir())
    for name in ("folder", "pipe", "socket", "loop", ""):
        with pytest.raises(ServiceError, match="no regular file"):
            files.read(root / name)
        with pytest.raises(ServiceError, match="no regular file"):
            files.write(root / name, "x")
    assert sorted(root.iterdir()) == before
    listener.close()


def test_devices_are_not_opened() -> None:
    files = Files(Path("/dev"))
    for name in ("null", "zero", "tty"):
        with pytest.raises(ServiceError, match="no regular file"):
            files.read(f"/dev/{name}")
        with pytest.raises(ServiceError, match="no regular file"):
            files.write(f"/dev/{name}", "x")


def test_a_pipe_that_takes_a_files_place_blocks_nobody(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_text("x")
    looked = os.stat

    def look_and_swap(*args: object, **kwargs: object) -> os.stat_result:
        found = looked(*args, **kwargs)  # type: ignore[arg-type]
        (root / "a").unlink()
        os.mkfifo(root / "a")
        return found

    monkeypatch.setattr("acprelay.services.confinement.os.stat", look_and_swap)
    with pytest.raises(ServiceError, match="no regular file"):
        files.read(root / "a")


# --- writing


@pytest.mark.requirement("files.success-means-done")
def test_a_file_is_written_whole_and_made_with_its_directories(files: Files, root: Path) -> None:
    files.write(root / "new" / "deep" / "a", "one\r\nzwei é\n")
    assert (root / "new" / "deep" / "a").read_bytes() == "one\r\nzwei é\n".encode()
    files.write(root / "new" / "deep" / "a", "")
    assert tree(root) == {"new/": "", "new/deep/": "", "new/deep/a": ""}


def test_a_new_file_gets_the_mode_that_programs_give_and_an_old_one_keeps_its_own(
    files: Files, root: Path
) -> None:
    former = os.umask(0o027)
    try:
        files.write(root / "new", "x")
    finally:
        os.umask(former)
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o640
    (root / "new").chmod(0o751)
    files.write(root / "new", "y")
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o751


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(files: Files, root: Path) -> None:
    (root / "a").write_text("x")
    os.chown(root / "a", 1234, 4321)
    files.write(root / "a", "y")
    assert ((root / "a").stat().st_uid, (root / "a").stat().st_gid) == (1234, 4321)


@pytest.mark.requirement("files.writes-are-atomic")
def test_whoever_reads_has_the_old_content_or_the_new(files: Files, root: Path) -> None:
    contents = {"a" * 3_000_000, "b" * 3_000_000}
    files.write(root / "a", "a" * 3_000_000)
    seen = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add((root / "a").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for content in contents:
            files.write(root / "a", content)
    stop.set()
    reader.join()
    assert seen <= contents


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Lets this process write no file that is longer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.requirement("files.success-means-done")
def test_a_write_that_does_not_fit_fails_and_changes_nothing(files: Files, root: Path) -> None:
    (root / "a").write_text("old")
    with limited_files(1000), pytest.raises(ServiceError, match="File too large"):
        files.write(root / "a", "x" * 1001)
    with limited_files(1000), pytest.raises(ServiceError, match="File too large"):
        files.write(root / "b", "x" * 1001)
    assert tree(root) == {"a": "old"}


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield root
    subprocess.run(["umount", str(root)], check=True)


@pytest.mark.requirement("files.success-means-done")
def test_on_a_full_disk_a_write_fails_and_changes_nothing(small_disk: Path) -> None:
    files = Files(small_disk)
    files.write(small_disk / "a", "old")
    for name in ("a", "b"):
        with pytest.raises(ServiceError, match="No space left on device"):
            files.write(small_disk / name, "x" * 100_000)
    assert tree(small_disk) == {"a": "old"}
    files.write(small_disk / "a", "new")
    assert tree(small_disk) == {"a": "new"}


@pytest.mark.requirement("files.success-means-done")
@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod", "write"])
def test_wherever_a_write_fails_nothing_is_left_of_it(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(5, "Input/output error")

    (root / "a").write_text("old")
    monkeypatch.setattr(f"acprelay.services.text_files.os.{call}", fail)
    with pytest.raises(ServiceError, match=r"cannot write .*: Input/output error"):
        files.write(root / "a", "new")
    monkeypatch.undo()
    assert tree(root) == {"a": "old"}


@pytest.mark.requirement("files.success-means-done")
def test_directories_that_were_made_for_a_write_that_fails_are_removed(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    (root / "old").mkdir()
    monkeypatch.setattr("acprelay.services.text_files.os.fsync", fail)
    with pytest.raises(ServiceError, match="No space left"):
        files.write(root / "old" / "new" / "newer" / "a", "x")
    assert tree(root) == {"old/": ""}


def test_a_directory_that_somebody_uses_by_then_stays(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def use_it_and_fail(*_args: object) -> None:
        (root / "new" / "theirs").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acprelay.services.text_files.os.fsync", use_it_and_fail)
    with pytest.raises(ServiceError):
        files.write(root / "new" / "newer" / "a", "x")
    assert tree(root) == {"new/": "", "new/theirs": ""}


def test_only_so_many_directories_are_made_for_a_file(files: Files, root: Path) -> None:
    with pytest.raises(ServiceError, match="File name too long"):
        files.write(root / "/".join("d" * 70) / "a", "x")
    assert tree(root) == {}


@pytest.mark.parametrize("end", ["/", "/.", "/folder/.."])
def test_the_path_of_a_directory_is_none_of_a_file(files: Files, root: Path, end: str) -> None:
    with pytest.raises(InvalidParams, match="that of a directory"):
        files.write(f"{root}/new{end}", "x")
    with pytest.raises(InvalidParams, match="that of a directory"):
        files.read(f"{root}/new{end}")
    assert tree(root) == {}


# --- without permission


@pytest.mark.requirement("files.success-means-done")
def test_what_may_not_be_read_or_written_is_told_and_stays(open_place: Path) -> None:
    (open_place / "unreadable").write_text("x")
    (open_place / "unreadable").chmod(0o200)
    (open_place / "unwritable").write_text("x")
    (open_place / "unwritable").chmod(0o444)
    (open_place / "folder").mkdir(0o555)
    files = Files(open_place)
    with as_nobody():
        for path in ("unreadable", "unwritable", "folder/new"):
            with pytest.raises(ServiceError, match="Permission denied"):
                files.read(open_place / path) if path == "unreadable" else files.write(
                    open_place / path, "y"
                )
        files.write(open_place / "new", "z")
    assert tree(open_place) == {
        "unreadable": "x",
        "unwritable": "x",
        "folder/": "",
        "new": "z",
    }


def test_a_directory_that_may_only_be_entered_is_entered(open_place: Path) -> None:
    (open_place / "folder").mkdir()
    (open_place / "folder" / "a").write_text("x")
    (open_place / "folder").chmod(0o711)
    with as_nobody():
        assert Files(open_place).read(open_place / "folder" / "a") == "x"


def test_names_that_the_system_does_not_take_are_told(files: Files, root: Path) -> None:
    with pytest.raises(ServiceError, match="File name too long"):
        files.read(root / ("x" * 300))
    with pytest.raises(ServiceError, match="File name too long"):
        files.write(root / ("x" * 300), "x")
    (root / "a").write_text("x")
    with pytest.raises((ServiceError, Forbidden), match="Not a directory"):
        files.read(root / "a" / "b")
    assert tree(root) == {"a": "x"}
