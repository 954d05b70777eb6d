"""Has this process die, or fail, at one of its calls that change the disk, counted from 1.

The calls are those of the operating system that Python makes: so every boundary between two states
of the disk is met, whichever part of the relay is at work.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

_CALLS = ("mkdir", "rmdir", "unlink", "rename", "replace", "ftruncate", "truncate", "pwrite")


@dataclass(slots=True, kw_only=True)
class Failpoints:
    """What is to happen at which call; `arm` replaces the calls.

    Attributes:
        at: The number of the call that this process dies at, or that fails; 0 for none.
        torn: Whether it dies in the middle of it, if it is a write, and not before it.
        errno: What the call fails with; 0 has the process die.
        most: How many calls fail.
        on_write: Told of what was written, whole, to a file whose name has a given end.
        on_death: Told the name of the call, right before the end.
        count: How many calls there were.
    """

    at: int
    torn: bool
    errno: int
    most: int
    on_write: Callable[[str, bytes], None]
    on_death: Callable[[str], None]
    count: int = 0
    _lock: RLock = field(default_factory=RLock)

    def arm(self) -> None:
        """Puts itself in the place of the calls."""
        for name in _CALLS:
            setattr(os, name, self._counting(name, getattr(os, name)))
        if self.errno:
            os.fsync = self._counting("fsync", os.fsync)
        # Else without it: to those who come after a kill, and no power cut, it changes nothing.
        writev, open_ = os.writev, os.open

        def counting_writev(fd: int, buffers: Sequence[Any]) -> int:
            with self._lock:  # nobody else writes between the death's being due and its coming
                data = b"".join(buffers)
                self._meet("writev", lambda: os.write(fd, data[: len(data) // 2]))
                written = writev(fd, [data])
                if written == len(data):
                    self.on_write(str(Path(f"/proc/self/fd/{fd}").readlink()), data)
                return written

        def counting_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            with self._lock:
                if flags & os.O_CREAT:
                    self._meet("open")
                return open_(path, flags, *args, **kwargs)

        os.writev, os.open = counting_writev, counting_open  # type: ignore[assignment]

    def _counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self._meet(name)
                return call(*args, **kwargs)

        return counting

    def heal(self) -> None:
        """Lets all calls through from now on."""
        with self._lock:
            self.at = 0

    def _meet(self, call: str, tear: Callable[[], object] = lambda: None) -> None:
        self.count += 1
        if self.errno and self.at and self.at <= self.count < self.at + self.most:
            raise OSError(self.errno, os.strerror(self.errno))
        if not self.errno and self.count == self.at:
            if self.torn:
                tear()
            self.on_death(call)
            os.kill(os.getpid(), signal.SIGKILL)
