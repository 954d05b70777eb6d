"""Standard input and output for an event loop, whatever they are.

A terminal, a pipe and a file are read and written alike, by threads that block. So nothing is set
to non-blocking: that would hold for every process that shares the terminal, and outlive this one.
The threads are daemons and hold no lock of the interpreter's own streams, so they never keep it
from ending.
"""

from __future__ import annotations

import asyncio
import io
import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import NoReturn, Self

STANDARD_INPUT, STANDARD_OUTPUT = 0, 1

_LINES_AHEAD = 16


class InputLines:
    """The lines of a descriptor, without their newlines; iterate over it once.

    Reading starts with the iteration, not before, and stays a few lines ahead at most.

    Args:
        descriptor: What to read; it is not closed.
    """

    def __init__(self, *, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=_LINES_AHEAD + 1)
        self._room = threading.Semaphore(_LINES_AHEAD)
        self._thread: threading.Thread | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Gives the next line. Cancelling is safe: the line is given to the next call.

        Raises:
            StopAsyncIteration: The input has ended, or cannot be read.
        """
        if self._thread is None:
            # A reader of its own: at exit, the interpreter would wait for the lock of sys.stdin's.
            reader = io.BufferedReader(io.FileIO(self._descriptor, closefd=False))
            arguments = (reader, asyncio.get_running_loop())
            self._thread = threading.Thread(target=self._read, args=arguments, daemon=True)
            self._thread.start()
        line = await self._lines.get()
        if line is None:
            self._lines.put_nowait(None)  # the end stays the end
            raise StopAsyncIteration
        self._room.release()
        return line

    def _read(self, reader: io.BufferedReader, loop: asyncio.AbstractEventLoop) -> None:
        # A RuntimeError says that the loop is closed; an OSError, that a terminal hung up.
        with suppress(RuntimeError):
            with suppress(OSError):
                for line in reader:
                    self._room.acquire()
                    loop.call_soon_threadsafe(self._lines.put_nowait, line.removesuffix(b"\n"))
            loop.call_soon_threadsafe(self._lines.put_nowait, None)


class Output:
    """Writes to a descriptor, in order, behind a bounded buffer.

    Enter it to start its thread. Leaving it drops what is not yet written: `drain` before.

    Args:
        descriptor: What to write to; it is not closed.
        high_water: How many bytes may wait before `write` does.
    """

    def __init__(self, *, descriptor: int, high_water: int = 1 << 20) -> None:
        self._descriptor = descriptor
        self._high_water = high_water
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._unwritten = 0
        self._error: OSError | None = None
        self._closed = False
        self._progress = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), daemon=True).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    async def write(self, data: bytes) -> None:
        """Takes data, and waits while more than the high water mark is unwritten.

        Cancelling stops the wait, not the write.

        Raises:
            OSError: Something could not be written: `BrokenPipeError` if nobody reads any more.
        """
        with self._changed:
            self._waiting.append(data)
            self._unwritten += len(data)
            self._changed.notify()
        await self._until(self._high_water)

    async def drain(self) -> None:
        """Waits until everything is written. Cancelling is safe.

        Raises:
            OSError: As for `write`.
        """
        await self._until(0)

    async def failure(self) -> NoReturn:
        """Waits until something cannot be written. Cancelling is safe.

        Raises:
            OSError: As for `write`, without waiting for the next one.
        """
        while self._error is None:
            self._progress.clear()
            await self._progress.wait()
        raise self._error

    async def _until(self, most: int) -> None:
        while self._error is None and self._unwritten > most:
            self._progress.clear()
            await self._progress.wait()
        if self._error is not None:
            raise self._error

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._error is None:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
            try:
                self._write_all(data)
            except OSError as error:
                self._error = error
            with self._changed:
                self._unwritten -= len(data)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._progress.set)

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
