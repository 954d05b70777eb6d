"""Runs one program to its end: its output within a bound, its end within a deadline.

A program that is waited for no longer, because its time is up or because the caller is cancelled,
is asked to end with SIGTERM, so that git takes its lock files away; what does not heed that is
killed. Both go to a process group of the program's own, and the call returns when it is reaped.

The exit of the program counts, not the end of its output: a descendant that goes on in the
background and holds the pipes delays nothing. Nothing is awaited between the start of the process
and the care for its end, so no cancellation can come between.

This module does not know what the program is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from acprelay.workspace.uninterrupted import to_the_end

_READ_SIZE = 64 * 1024  # what a pipe holds: one read takes all of it
_STDIN_MOST = 4096  # a pipe takes as much at once, everywhere

Sink = Callable[[bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended, and what it wrote.

    Attributes:
        code: Its exit code, negative for a signal.
        out: What it wrote to standard output; empty where that went to a sink.
        err: What it wrote to standard error.
        overflowed: Whether there was more than the bound of either.
    """

    code: int
    out: bytes
    err: str
    overflowed: bool = False


class NotStarted(Exception):
    """A program cannot be started.

    Args:
        reason: What the system says.
    """

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


async def run_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bytes,
    timeout_s: float,
    grace_s: float,
    most: int,
    sink: Sink | None = None,
) -> Ended:
    """Runs a program.

    Cancelling is safe, and takes as long as the program takes to end, at most `grace_s` and a
    little.

    Args:
        argv: The program, looked for in its own `PATH`, and its arguments.
        env: Its whole environment.
        stdin: What it reads, at most 4096 bytes.
        timeout_s: How long it may take.
        grace_s: How long it may take to end once it is asked to, before it is killed.
        most: How many bytes of standard output, and of standard error, are kept.
        sink: Gets standard output as it comes, instead; it is to return soon.

    Raises:
        NotStarted: It cannot be started.
        TimeoutError: It was ended because its time was up.
        Exception: Whatever the sink raised, once the program has ended.
    """
    try:
        process = _Process.spawn(argv, env=env, stdin=stdin, most=most, sink=sink)
    except OSError as error:
        raise NotStarted(error) from error
    process.begin()
    try:
        async with asyncio.timeout(timeout_s):
            await process.exited.wait()
    finally:
        if process.code is None:
            await to_the_end(process.end(grace_s))
    return process.ended()


class _Process:
    """A process; `begin` has its output read and its exit waited for.

    Args:
        process: The process, which leads a group.
        out: Reads its standard output.
        err: Reads its standard error.
    """

    def __init__(self, *, process: subprocess.Popen[bytes], out: _Reader, err: _Reader) -> None:
        self.exited = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._out = out
        self._err = err
        self._ending = False

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bytes,
        most: int,
        sink: Sink | None,
    ) -> _Process:
        """Starts a program.

        Raises:
            OSError: It cannot be started; nothing is left behind.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            given = _prefilled(stdin, theirs)
            our_out, out = _pipe(ours, theirs)
            our_err, err = _pipe(ours, theirs)
            process = subprocess.Popen(  # noqa: S603 - no shell reads it, and it is ours
                argv, stdin=given, stdout=out, stderr=err, env=env, start_new_session=True
            )
            ours.pop_all()
        return cls(
            process=process,
            out=_Reader(our_out, most=most, sink=sink),
            err=_Reader(our_err, most=most, sink=None),
        )

    def begin(self) -> None:
        """Reads from now on, and waits for the exit."""
        self._out.begin()
        self._err.begin()
        try:
            pidfd = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # no Linux, or an old one
            name = f"exit of {self._process.pid}"
            threading.Thread(target=self._wait, name=name, daemon=True).start()
        else:
            self._loop.add_reader(pidfd, self._on_pidfd, pidfd)

    @property
    def code(self) -> int | None:
        return self._process.returncode

    def ended(self) -> Ended:
        return Ended(
            code=self._process.wait(),  # reaped already
            out=self._out.content(),
            err=self._err.content().decode(errors="replace"),
            overflowed=self._out.overflowed or self._err.overflowed,
        )

    async def end(self, grace_s: float) -> None:
        """Has the group end, and returns when the program is reaped."""
        self._ending = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.exited.wait()
        if self.code is None:
            self._signal(signal.SIGKILL)
            await self.exited.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Signals the group, while the program is not reaped and its number is nobody else's."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _on_pidfd(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._on_exit()

    def _wait(self) -> None:
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._on_exit)

    def _on_exit(self) -> None:
        if self._ending:
            self._signal(signal.SIGKILL)  # what the program has left of its group
        self._process.wait()
        try:
            self._out.finish()
            self._err.finish()
        finally:
            self.exited.set()


class _Reader:
    """Reads one pipe: into memory up to a bound, or into a sink."""

    def __init__(self, fd: int, *, most: int, sink: Sink | None) -> None:
        self.overflowed = False
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._room = most
        self._sink = sink
        self._failed: Exception | None = None
        self._chunks: list[bytes] = []
        self._open = True

    def begin(self) -> None:
        self._loop.add_reader(self._fd, self._read)

    def content(self) -> bytes:
        if self._failed is not None:
            raise self._failed
        return b"".join(self._chunks)

    def finish(self) -> None:
        """Takes what the pipe holds at this instant, and closes it."""
        if self._open:
            self._read()
        self._close()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return
        if data:
            self._take(data)
        else:
            self._close()

    def _take(self, data: bytes) -> None:
        if self._sink is not None:
            self._pass_on(data, self._sink)
            return
        kept = data[: self._room]
        self.overflowed = self.overflowed or len(kept) < len(data)
        self._room -= len(kept)
        if kept:
            self._chunks.append(kept)

    def _pass_on(self, data: bytes, sink: Sink) -> None:
        # A callback of the loop has nobody to raise to: the caller learns of it at the end.
        if self._failed is None:
            try:
                sink(data)
            except Exception as error:  # noqa: BLE001 - `content` raises it
                self._failed = error

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """Opens a pipe that the child writes to; our side never blocks."""
    our, child = os.pipe()
    ours.callback(os.close, our)
    theirs.callback(os.close, child)
    os.set_blocking(our, False)
    return our, child


def _prefilled(content: bytes, theirs: contextlib.ExitStack) -> int:
    """Gives a descriptor that a child reads this from, and then its end."""
    if not content:
        return subprocess.DEVNULL
    if len(content) > _STDIN_MOST:
        raise ValueError(f"cannot give a program {len(content)} bytes to read: {_STDIN_MOST} fit")
    child, our = os.pipe()
    theirs.callback(os.close, child)
    try:
        os.write(our, content)
    finally:
        os.close(our)
    return child
