"""Records what an agent and its client tell each other.

Run as `python -m acprelay.testing.record --to FILE -- COMMAND` it stands between the two, as the
client's agent, and passes every line on at once. A line is written down before it is passed on, so
what a transcript tells first was said first.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from acprelay.testing.transcripts import A2C, C2A, STDERR, encode, record_of

_CANNOT_START = 127


class Recorder:
    """Writes lines down, from several threads.

    Args:
        file: Where the transcript goes.
        now: Gives the time in seconds.
    """

    def __init__(self, *, file: IO[bytes], now: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._now = now
        self._began_at = now()
        self._lock = threading.Lock()

    def note(self, direction: str, line: bytes) -> None:
        """Writes a line down, whose newline is left out."""
        with self._lock:
            record = record_of(self._now() - self._began_at, direction, line.rstrip(b"\n"))
            self._file.write(encode(record))
            self._file.flush()  # whoever kills the agent wants to see why


def main(argv: Sequence[str] | None = None) -> int:
    """Starts an agent, and records until it ends.

    Args:
        argv: The arguments; the process's own where it is None.

    Returns:
        The agent's exit status, as a shell gives it; 127 where it cannot be started; 2 where the
        transcript cannot be written.

    Raises:
        SystemExit: The arguments cannot be parsed, or ask for help.
    """
    options = build_parser().parse_args(argv)
    try:
        with options.to.open("xb") as file:
            agent = _start(options.command)
            if agent is None:
                options.to.unlink()  # there is nothing in it, and the next try may have its name
                return _CANNOT_START
            return _record(agent, Recorder(file=file))
    except FileExistsError:
        return _refused(2, f"cannot write {options.to}: it is there; choose another name")
    except OSError as error:
        return _refused(2, f"cannot write {options.to}: {error.strerror}")


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m acprelay.testing.record",
        description="Run an agent, and write down what it and its client tell each other.",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        default=Path("transcript.jsonl"),
        help="where to write it, which must not be there (default: %(default)s)",
    )
    parser.add_argument("command", nargs="+", help="the agent's program and arguments, after --")
    return parser


def _start(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(  # noqa: S603 - the command is the user's own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        _refused(_CANNOT_START, f"cannot start {command[0]!r}: {error.strerror}")
        return None


def _record(agent: subprocess.Popen[bytes], recorder: Recorder) -> int:
    assert agent.stdin and agent.stdout and agent.stderr  # noqa: S101, PT018 - they were asked for
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: agent.send_signal(number))
    note = recorder.note
    threading.Thread(target=_pass_input_on, args=(agent.stdin, note), daemon=True).start()
    complaints = threading.Thread(
        target=_pass_on, args=(agent.stderr, 2, STDERR, note), daemon=True
    )
    complaints.start()
    _pass_on(agent.stdout, 1, A2C, note)
    status = agent.wait()
    complaints.join(timeout=1)  # something that it has started may hold the pipe
    return 128 - status if status < 0 else status


def _pass_input_on(agent: IO[bytes], note: Callable[[str, bytes], None]) -> None:
    # A buffer of its own: a reader holds its lock, and Python wants that of sys.stdin as it exits.
    for line in open(0, "rb", closefd=False):  # noqa: SIM115 - a descriptor, left open
        note(C2A, line)
        try:
            agent.write(line)
            agent.flush()
        except OSError:  # it has ended, as the other thread finds out
            return
    agent.close()


def _pass_on(
    source: IO[bytes], descriptor: int, direction: str, note: Callable[[str, bytes], None]
) -> None:
    is_read = True
    for line in source:
        note(direction, line)
        rest = memoryview(line)
        while rest and is_read:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except OSError:  # nobody reads it; the agent is to go on, and be recorded
                is_read = False


def _refused(status: int, why: str) -> int:
    sys.stderr.write(f"record: {why}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
