"""The relay's side of a child's standard streams, driven by the event loop.

This module knows no process and no line.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

_READ_SIZE = 64 * 1024  # what a pipe holds on Linux: one read takes all of it
# What one holds whose writer is faster than its reader. Each batch costs the same however large it
# is, and this is still read, sent and forgotten in less than a millisecond.
_WIDE_SIZE = 256 * 1024
_MUCH = _READ_SIZE // 2  # a pipe is full before it holds all that it can: its pages rarely are
_SET_SIZE: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)  # only Linux has it
_C_INT = 4  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardStreams:
    """File descriptors of the same side of three pipes."""

    stdin: int
    stdout: int
    stderr: int

    def close(self) -> None:
        """Closes all three."""
        for fd in (self.stdin, self.stdout, self.stderr):
            os.close(fd)


def open_pipes() -> tuple[StandardStreams, StandardStreams]:
    """Opens three pipes: the relay's side, which never blocks, and the child's, which does.

    Neither side is inherited by any process that is not given it.

    Raises:
        OSError: The process has too many files open; none was left open.
    """
    with ExitStack() as opened:
        pairs = []
        for _ in range(3):
            pair = os.pipe()
            pairs.append(pair)
            for fd in pair:
                opened.callback(os.close, fd)
        opened.pop_all()
    (child_in, our_in), (our_out, child_out), (our_err, child_err) = pairs
    for fd in (our_in, our_out, our_err):
        os.set_blocking(fd, False)
    ours = StandardStreams(stdin=our_in, stdout=our_out, stderr=our_err)
    return ours, StandardStreams(stdin=child_in, stdout=child_out, stderr=child_err)


class ReadPipe:
    """The end of a pipe that is read; paused at first.

    A pipe that is found full, or nearly so, is made to hold more, where the system lets it be.

    Args:
        loop: Tells when there is something to read.
        fd: Non-blocking; belongs to this object from now on.
        on_data: Gets what one read brought.
        on_end: Called once when every writer is gone; the descriptor is closed by then.
    """

    __slots__ = ("_closed", "_fd", "_is_wide", "_loop", "_on_data", "_on_end", "_reading", "_size")

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_data = on_data
        self._on_end = on_end
        self._reading = False
        self._closed = False
        self._size = _READ_SIZE
        self._is_wide = False

    def resume(self) -> None:
        """Lets data flow. Does nothing once closed, or while it flows."""
        if not self._closed and not self._reading:
            self._reading = True
            self._loop.add_reader(self._fd, self._on_readable)

    def pause(self) -> None:
        """Leaves data in the pipe; nothing arrives after this. Does nothing while paused."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def drain(self) -> None:
        """Passes on what the pipe holds at this instant, paused or not. Does nothing once closed.

        For the moment when the writer that counts is gone: all that it wrote is in the pipe, and
        the amount is known, so nobody else who holds the pipe can prolong this.
        """
        data = self._take()
        if data:
            self._on_data(data)

    def finish(self) -> None:
        """Does as `drain`, and closes the pipe first. Idempotent."""
        data = self._take()
        self.close()
        if data:
            self._on_data(data)

    def _take(self) -> bytes:
        if self._closed:
            return b""
        answer = fcntl.ioctl(self._fd, termios.FIONREAD, bytes(_C_INT))
        held = int.from_bytes(answer, byteorder=sys.byteorder)
        return os.read(self._fd, held) if held else b""

    def close(self) -> None:
        """Closes the descriptor; what the pipe holds is lost. Idempotent."""
        if not self._closed:
            self.pause()
            self._closed = True
            os.close(self._fd)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, self._size)
        except BlockingIOError:  # a wake-up without a cause, which select(2) permits
            return
        if data:
            is_busy = len(data) >= _MUCH
            if is_busy is not (self._size == _WIDE_SIZE):
                self._suit(is_busy=is_busy)
            self._on_data(data)
        else:
            self.close()
            self._on_end()

    def _suit(self, *, is_busy: bool) -> None:
        """Chooses how much to read next, as memory for what does not come is not free either.

        Args:
            is_busy: Whether the last read brought much.
        """
        self._size = _WIDE_SIZE if is_busy else _READ_SIZE
        if is_busy and not self._is_wide:
            self._is_wide = True
            if _SET_SIZE is not None:
                with suppress(OSError):  # the user has as much memory in pipes as may be
                    fcntl.fcntl(self._fd, _SET_SIZE, _WIDE_SIZE)


class WritePipe:
    """The end of a pipe that is written, with the memory of what its reader has not taken yet.

    Args:
        loop: Tells when there is room.
        fd: Non-blocking; belongs to this object from now on.
        on_end: Called once when a write finds every reader gone; the descriptor is closed by then,
            and what waited is lost.

    Attributes:
        on_taken: Called when nothing waits any more that did.
    """

    __slots__ = (
        *("_accepting", "_closed", "_fd", "_loop", "_on_end", "_stuck_since", "_waiting"),
        "on_taken",
    )

    def __init__(
        self, *, loop: asyncio.AbstractEventLoop, fd: int, on_end: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_end = on_end
        self.on_taken: Callable[[], None] = _nothing
        self._waiting = bytearray()
        self._stuck_since: float | None = None
        self._accepting = True
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many bytes its reader has made wait."""
        return len(self._waiting)

    @property
    def waiting_since(self) -> float | None:
        """Since when its reader has taken nothing of what waits; None where nothing waits."""
        return self._stuck_since if self._waiting else None

    def write(self, data: bytes) -> bool:
        """Writes now what the pipe takes, and the rest as soon as it takes more.

        Returns:
            False if the pipe is closed, or its reader has just been found to have closed its end;
            then nothing was written.
        """
        if not self._accepting:
            return False
        if self._waiting:
            self._waiting += data
            return True
        written = self._try_to_write(data)
        if written is None:
            return False
        if written < len(data):
            self._waiting += memoryview(data)[written:]
            self._stuck_since = self._loop.time()
            self._loop.add_writer(self._fd, self._on_writable)
        return True

    def close(self) -> None:
        """Closes the pipe once what waits has been taken. Idempotent."""
        self._accepting = False
        if not self._waiting:
            self.abort()

    def abort(self) -> None:
        """Closes the pipe now; what waits is lost. Idempotent."""
        self._accepting = False
        if self._closed:
            return
        if self._waiting:
            self._loop.remove_writer(self._fd)
            self._waiting.clear()
        self._closed = True
        os.close(self._fd)

    def _try_to_write(self, data: bytes | bytearray) -> int | None:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            self.abort()
            self._on_end()
            return None

    def _on_writable(self) -> None:
        written = self._try_to_write(self._waiting)
        if written is None:
            return
        del self._waiting[:written]
        self._stuck_since = self._loop.time()
        if not self._waiting:
            self._loop.remove_writer(self._fd)
            if not self._accepting:
                self.abort()
            self.on_taken()


def _nothing() -> None:
    """Does so."""
