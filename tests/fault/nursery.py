"""Relays that live one after another on one state directory, each in a process of its own.

Run as a program, `python -m tests.fault.nursery`, it forks: what a relay needs is imported once,
and a life costs no more than what happens in it. It reads one `Life` a line, as JSON, and answers
each with one line, a `Death`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import msgspec
from tests.fault.failpoints import Failpoints

PATIENCE_S = 60
PROJECT = Path(__file__).parents[2]


class Life(msgspec.Struct, kw_only=True):
    """What a relay is to live through.

    Attributes:
        script: What happens in it.
        folder: Where everything of it lies.
        known: What earlier lives have found out.
        dies_at: The number of the call that changes the disk that it dies at; 0 for none.
        torn: Whether it dies in the middle of it, where it is a write.
        errno: What that call fails with instead; 0 for none.
        most: How many calls fail, that one and those after it.
        dies_after_s: How long it lives at most, in seconds of real time; 0 for as long as it likes.
    """

    script: str
    folder: str
    known: dict[str, Any] = {}
    dies_at: int = 0
    torn: bool = False
    errno: int = 0
    most: int = 1
    dies_after_s: float = 0.0


class Death(msgspec.Struct, kw_only=True):
    """What came of a life.

    Attributes:
        status: The exit status; negative for a signal.
        told: What it has told, in order, each with its name.
    """

    status: int
    told: list[tuple[str, Any]]

    def all(self, name: str) -> list[Any]:
        """What it has told under a name."""
        return [value for found, value in self.told if found == name]

    def last(self, name: str) -> Any:
        """What it has told last under a name; None where it has not."""
        return next(reversed(self.all(name)), None)

    @property
    def was_killed(self) -> bool:
        """Whether it was not to see the end of its script."""
        return self.status in (-signal.SIGKILL, -signal.SIGALRM) and "end" not in dict(self.told)


class Diary:
    """What a life tells: it is kept, however the life ends.

    Args:
        fd: Where to.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = Lock()

    def tell(self, name: str, value: object = None) -> None:
        """Tells something under a name."""
        line = json.dumps([name, value]).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._fd, line) :]


Script = Callable[[Life, Diary, Failpoints], Coroutine[Any, Any, None]]


class Nursery:
    """The program, for tests; to be used as a context.

    Args:
        log: Where what its relays log goes; no traceback may be in it in the end.
    """

    def __init__(self, log: Path) -> None:
        self._log = log

    def __enter__(self) -> Self:
        self._stderr = self._log.open("wb")
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.nursery"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._program.communicate(timeout=PATIENCE_S)
        self._stderr.close()
        logged = self._log.read_text()
        assert "Traceback" not in logged, logged

    def live(self, life: Life) -> Death:
        """Has a relay live, and returns once it is dead."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(msgspec.json.encode(life) + b"\n")
        self._program.stdin.flush()
        return msgspec.json.decode(self._program.stdout.readline(), type=Death)


def _serve(scripts: dict[str, Script]) -> None:
    gc.freeze()  # what was imported is shared with all children for good
    for line in sys.stdin.buffer:
        life = msgspec.json.decode(line, type=Life)
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            os.close(ours)
            _live(life, scripts[life.script], Diary(theirs))
        os.close(theirs)
        with os.fdopen(ours, "rb") as diary:
            told = [json.loads(entry) for entry in diary if entry.endswith(b"\n")]
        _, status = os.waitpid(child, 0)
        death = Death(status=os.waitstatus_to_exitcode(status), told=told)
        sys.stdout.buffer.write(msgspec.json.encode(death) + b"\n")
        sys.stdout.buffer.flush()


def _live(life: Life, script: Script, diary: Diary) -> None:
    try:
        points = Failpoints(
            at=life.dies_at,
            torn=life.torn,
            errno=life.errno,
            most=life.most,
            on_write=lambda path, data: diary.tell("written", [path, data.hex()]),
            on_death=lambda call: diary.tell("died", call),
        )
        points.arm()
        signal.setitimer(signal.ITIMER_REAL, life.dies_after_s or PATIENCE_S)
        asyncio.run(script(life, diary, points))
        diary.tell("calls", points.count)
        diary.tell("end")
    except BaseException as error:
        diary.tell("failed", traceback.format_exception(error))
        raise
    finally:
        os._exit(0)


if __name__ == "__main__":
    from tests.fault import lives

    _serve({"first": lives.first, "next": lives.next_one, "steady": lives.steady})
