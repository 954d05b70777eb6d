"""How errors reach the user: a line, a remedy, an exit code, and never a traceback."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from acprelay.cli import demo_agent, main
from acprelay.cli.exits import ExitCode
from acprelay.errors import (
    ConfigError,
    Forbidden,
    RelayUnreachable,
    RequestRefused,
    SessionNotFound,
)

Streams = pytest.CaptureFixture[str]


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Makes a command raise an error."""

    def command(_arguments: argparse.Namespace) -> NoReturn:
        raise error

    monkeypatch.setattr(demo_agent, "command", command)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            ConfigError("cannot listen", hint="choose another port"),
            ExitCode.USAGE,
            "acprelay: cannot listen\n  hint: choose another port\n",
        ),
        (
            RelayUnreachable("cannot reach it", hint="start it"),
            ExitCode.UNREACHABLE,
            "acprelay: cannot reach it\n  hint: start it\n",
        ),
        (Forbidden("cannot serve you"), ExitCode.ERROR, "acprelay: cannot serve you\n"),
        (
            SessionNotFound(key="a:b"),
            ExitCode.ERROR,
            "acprelay: cannot find session 'a:b'\n"
            "  hint: see session/list or acprelay sessions list; take part in one with "
            "session/load or session/resume, or open one with session/new\n",
        ),
        (
            RequestRefused("cannot finish the turn: it ended", stderr="one\ntwo\n"),
            ExitCode.ERROR,
            "acprelay: cannot finish the turn: it ended\n  | one\n  | two\n",
        ),
        (
            ValueError("odd"),
            ExitCode.ERROR,
            "acprelay: cannot go on: ValueError: odd\n"
            "  hint: this is a defect of acprelay; with ACPRELAY_DEBUG=1 it shows where\n",
        ),
        (
            OSError(28, "No space left on device"),
            ExitCode.ERROR,
            "acprelay: cannot go on: No space left on device\n",
        ),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, ""),
    ],
)
def test_an_error_is_said_in_words_and_told_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: Streams,
    error: BaseException,
    code: ExitCode,
    said: str,
) -> None:
    _fail_with(monkeypatch, error)
    assert main.main(["demo-agent"]) == code
    assert capsys.readouterr() == ("", said)


def test_a_current_directory_that_is_gone_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, capsys: Streams, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(demo_agent, "command", lambda _arguments: Path.cwd())
    assert main.main(["demo-agent"]) == ExitCode.ERROR
    assert capsys.readouterr().err == (
        "acprelay: cannot go on: the current directory is gone\n"
        "  hint: change to another one with cd\n"
    )


def test_a_defect_shows_its_traceback_to_whoever_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fail_with(monkeypatch, ValueError("odd"))
    monkeypatch.setenv("ACPRELAY_DEBUG", "1")
    with pytest.raises(ValueError, match="odd"):
        main.main(["demo-agent"])


def test_the_code_of_a_command_is_the_code_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_agent, "command", lambda _arguments: 5)
    assert main.main(["demo-agent"]) == 5


@pytest.mark.process
def test_a_broken_pipe_is_no_error_to_speak_of() -> None:
    program = (
        "import sys; from acprelay.cli import demo_agent, main\n"
        "def command(_):\n"
        "    sys.stdout.write('x' * 100_000); sys.stdout.flush()\n"
        "demo_agent.command = command\n"
        "sys.exit(main.main(['demo-agent']))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (ExitCode.BROKEN_PIPE, b"")
