"""`acprelay run` at a terminal: questions are asked, keys are obeyed, agents' escapes are not."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acprelay.cli.exits import ExitCode

pytestmark = pytest.mark.process

PATIENCE_S = 60.0
PROGRAM = str(Path(sys.executable).with_name("acprelay"))
CTRL_C, CTRL_D = b"\x03", b"\x04"
CHOICES = (
    b"              1) Allow\r\n"
    b"              2) Always allow in this session\r\n"
    b"              3) Reject\r\n"
    b"              your choice: "
)


class Terminal:
    """A terminal whose keys the test presses and whose screen it reads."""

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._keyboard, self.line = os.openpty()
        self.screen = b""
        self._seen = 0
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *argv: str, stdout: int | None = None, **environment: str) -> None:
        self._process = subprocess.Popen(
            [PROGRAM, "run", *argv],
            stdin=self.line,
            stdout=self.line if stdout is None else stdout,
            stderr=self.line,
            cwd=self._cwd,
            env={
                **os.environ,
                "TERM": "xterm",
                "NO_COLOR": "1",
                "COLUMNS": "80",
                "XDG_CONFIG_HOME": str(self._cwd / "config"),
                **environment,
            },
            start_new_session=True,
            # A session has no terminal before it takes one; without one, Ctrl-C is just a byte.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one ioctl
        )

    def shows(self, text: bytes) -> None:
        """Returns once the screen shows a text beyond what was waited for before."""
        end_at = time.monotonic() + PATIENCE_S
        while text not in self.screen[self._seen :]:
            assert self._read(end_at - time.monotonic()), self.screen
        self._seen += self.screen[self._seen :].index(text) + len(text)

    def press(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    def ended(self) -> int:
        """Gives the exit code, once the command has ended and its whole screen is read."""
        assert self._process is not None
        code = self._process.wait(timeout=PATIENCE_S)
        while self._read(0.0):
            pass
        return code

    def _read(self, patience_s: float) -> bool:
        readable, _, _ = select.select([self._keyboard], [], [], max(patience_s, 0.0))
        if readable:
            self.screen += os.read(self._keyboard, 1 << 16)
        return bool(readable)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._keyboard)
        os.close(self.line)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def test_a_turn_is_shown_in_order_each_note_on_a_line_of_its_own(terminal: Terminal) -> None:
    terminal.run("hello\n/refuse")
    assert terminal.ended() == ExitCode.REFUSAL
    assert terminal.screen == (
        b"  thought     The prompt has 1 word.\r\n"
        b"  plan        1 of 2 done: Answer it\r\n"
        b"You wrote 1 word: hello\r\n"
        b"Send /help for what else I can do.\r\n"
        b"  plan        2 of 2 done\r\n"
        b"I refuse, as was asked.\r\n"
        b"acprelay: the turn ended with refusal\r\n"
    )


def test_a_permission_is_asked_for_until_the_answer_fits(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.run("/write file.txt text")
    terminal.shows(b"  permission  Write file.txt\r\n")
    terminal.shows(b"              %b\r\n" % bytes(tmp_path / "file.txt"))
    terminal.shows(b'              {"path": "file.txt", "content": "text\\n"}\r\n')
    terminal.shows(CHOICES)
    assert not (tmp_path / "file.txt").exists()
    terminal.press(b"7\n")
    terminal.shows(b"              a number from 1 to 3: ")
    terminal.press(b"1\n")
    assert terminal.ended() == ExitCode.OK
    assert (tmp_path / "file.txt").read_bytes() == b"text\n"
    assert terminal.screen.endswith(
        b"1\r\n  tool        Write file.txt: completed\r\nWrote file.txt.\r\n"
    )


def test_a_permission_can_be_rejected(terminal: Terminal, tmp_path: Path) -> None:
    terminal.run("/write file.txt text")
    terminal.shows(CHOICES)
    terminal.press(b"n\n")
    assert terminal.ended() == ExitCode.OK
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_the_input_rejects(terminal: Terminal, tmp_path: Path) -> None:
    terminal.run("/write file.txt text")
    terminal.shows(CHOICES)
    terminal.press(CTRL_D)
    assert terminal.ended() == ExitCode.OK
    assert b"The permission was not given" in terminal.screen
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_at_the_question_cancels_the_turn(terminal: Terminal, tmp_path: Path) -> None:
    terminal.run("/write file.txt text\n/think too late")
    terminal.shows(CHOICES)
    terminal.press(CTRL_C)
    assert terminal.ended() == ExitCode.INTERRUPTED
    assert terminal.screen.endswith(b"^C\r\n  tool        Write file.txt: failed\r\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_a_slow_turn_cancels_it(terminal: Terminal) -> None:
    terminal.run("/stream 1\n/slow 3600")
    terminal.shows(b"0\r\n")
    terminal.press(CTRL_C)
    assert terminal.ended() == ExitCode.INTERRUPTED
    assert b"Traceback" not in terminal.screen


def test_what_an_agent_writes_moves_no_cursor(terminal: Terminal) -> None:
    terminal.run(
        "\x1b[2J\x9b2J\r/\n/think \x1b]0;title\x07\n/tool \x1b[1A\u202e", "--permission=allow"
    )
    assert terminal.ended() == ExitCode.OK
    assert b"\x1b" not in terminal.screen
    assert b"\x07" not in terminal.screen
    text = terminal.screen.decode()
    assert "^[[2J\\x9b2J" in text
    assert "  thought     ^[]0;title^G" in text
    assert "  tool        ^[[1A\\u202e: completed" in text


@pytest.mark.parametrize(
    ("no_color", "term", "dimmed"),
    [
        ("1", "xterm", False),
        ("", "xterm", True),
        ("", "dumb", False),
    ],
)
def test_notes_are_dimmed_unless_the_user_wants_no_colour(
    terminal: Terminal, no_color: str, term: str, dimmed: bool
) -> None:
    terminal.run("/think hm", NO_COLOR=no_color, TERM=term)
    assert terminal.ended() == ExitCode.OK
    assert (b"\x1b[2mthought" in terminal.screen) is dimmed


def test_the_answer_goes_to_a_pipe_while_the_notes_and_the_question_stay_on_the_terminal(
    terminal: Terminal,
) -> None:
    reading, writing = os.pipe()
    terminal.run("one\n/tool", stdout=writing)
    os.close(writing)
    terminal.shows(CHOICES)
    terminal.press(b"y\n")
    assert terminal.ended() == ExitCode.OK
    with os.fdopen(reading, "rb") as file:
        assert file.read() == (
            b"You wrote 1 word: one\nSend /help for what else I can do.\n"
            b"The tool call is completed.\n"
        )
    assert b"You wrote" not in terminal.screen
    assert terminal.screen.startswith(b"  thought     The prompt has 1 word.\r\n")
