"""Why a program could not be started."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from acprelay.agents.models import AgentSpec
from acprelay.agents.spawn_failure import spawn_failure
from acprelay.errors import SpawnFailed


def failure(number: int, *, program: str, cwd: Path) -> SpawnFailed:
    error = OSError(number, os.strerror(number))
    spec = AgentSpec(name="a", argv=(program,))
    return spawn_failure(error, spec=spec, path=str(cwd / "bin"), cwd=cwd)


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o700)
    return tmp_path


@pytest.mark.parametrize(
    ("number", "program", "message", "hint"),
    [
        (errno.ENOENT, "tool", "there is no program 'tool' on PATH", "install it"),
        (errno.ENOENT, "./tool", "there is no file './tool'", "check the path"),
        (errno.ENOENT, "script", "the interpreter of 'script' is missing", "(#!)"),
        (errno.ENOENT, "bin/script", "the interpreter of 'bin/script' is missing", "(#!)"),
        (errno.EACCES, "./tool", "'./tool' may not be executed", "chmod +x"),
        (errno.ENOEXEC, "./tool", "'./tool' is no program", "#!"),
        (errno.EMFILE, "tool", "Too many open files", "ulimit"),
    ],
)
def test_the_cause_and_its_remedy_are_told(
    cwd: Path, number: int, program: str, message: str, hint: str
) -> None:
    failed = failure(number, program=program, cwd=cwd)
    assert failed.message == f"cannot start agent 'a': {message}"
    assert hint in failed.hint
    assert failed.data["agent"] == "a"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR])
def test_a_missing_directory_is_told_before_all(tmp_path: Path, number: int) -> None:
    failed = failure(number, program="sh", cwd=tmp_path / "gone")
    assert "there is no directory" in failed.message
    assert failed.hint == "create the directory"


def test_an_error_without_words_is_told_as_it_is(cwd: Path) -> None:
    spec = AgentSpec(name="a", argv=("x",))
    failed = spawn_failure(OSError("strange"), spec=spec, path=None, cwd=cwd)
    assert failed.message == "cannot start agent 'a': strange"
