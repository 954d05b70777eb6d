"""A child process with pipes for its standard streams, as an `asyncio.SubprocessProtocol` sees it.

Why not `loop.subprocess_exec`: on uvloop a child gets sockets, which a program cannot open again as
`/dev/stdin` or `/dev/stderr`, as shell scripts do; it inherits a second copy of all three, and with
them whoever it starts, besides every other inheritable descriptor of the relay. Here it gets pipes
and nothing else, on every loop; and as nothing is awaited between the start of the process and the
return, no cancellation can come between.

This module knows no line, no marker and no process but the one it starts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from acprelay.agents.exit_watch import watch_exit
from acprelay.agents.pipes import ReadPipe, StandardStreams, WritePipe, open_pipes


class Child:
    """A process that leads a session and a process group of its own, both numbered like itself.

    `spawn` makes one. Nothing is read or noticed before `connect`.

    Args:
        process: The process.
        streams: The relay's side of its pipes; they belong to this object from now on.
    """

    __slots__ = ("_loop", "_process", "_protocol", "_streams", "stderr", "stdin", "stdout")

    def __init__(self, *, process: subprocess.Popen[bytes], streams: StandardStreams) -> None:
        self._process = process
        self._streams = streams
        self._protocol = asyncio.SubprocessProtocol()
        self._loop = loop = asyncio.get_running_loop()
        self.stdin = WritePipe(loop=loop, fd=streams.stdin, on_end=self._input_ended)
        self.stdout = ReadPipe(
            loop=loop,
            fd=streams.stdout,
            on_data=self._output_received,
            on_end=self._output_ended,
        )
        self.stderr = ReadPipe(
            loop=loop,
            fd=streams.stderr,
            on_data=self._complaint_received,
            on_end=self._complaints_ended,
        )

    @classmethod
    def spawn(cls, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Child:
        """Starts a process; it is the caller's to connect or to discard.

        Blocks until the system has loaded the program, a millisecond or two.

        Args:
            argv: The program, looked for in the child's `PATH`, and its arguments.
            env: Its whole environment.
            cwd: Where it starts.

        Raises:
            OSError: It cannot be started; nothing is left behind.
        """
        ours, theirs = open_pipes()
        try:
            process = subprocess.Popen(  # noqa: S603 - the catalog's commands are trusted, and no shell reads them
                argv,
                stdin=theirs.stdin,
                stdout=theirs.stdout,
                stderr=theirs.stderr,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process=process, streams=ours)

    @property
    def pid(self) -> int:
        """Its number, and that of the group it leads."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None until it is reaped."""
        return self._process.returncode

    def connect(self, protocol: asyncio.SubprocessProtocol) -> None:
        """Chooses who learns what happens, and begins to watch for it.

        `pipe_data_received` tells of each read: of stderr from now on, of stdout while it is
        resumed. `pipe_connection_lost` follows the end of either while the process lives, and of
        stdin when a write finds that nobody reads it.
        `process_exited` comes once, after all that the process wrote, whoever else holds its pipes.
        """
        self._protocol = protocol
        watch_exit(self._process, loop=self._loop, on_exit=self._on_exit)
        self.stderr.resume()

    def discard(self) -> None:
        """Kills and reaps a process that was never connected."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._streams.close()

    def _on_exit(self) -> None:
        # Scheduled first: a receiver of the last data that fails must not keep the exit a secret.
        self._loop.call_soon(self._protocol.process_exited)
        self.stdin.abort()
        self.stderr.finish()
        self.stdout.finish()

    def _output_received(self, data: bytes) -> None:
        self._protocol.pipe_data_received(1, data)

    def _output_ended(self) -> None:
        self._protocol.pipe_connection_lost(1, None)

    def _complaint_received(self, data: bytes) -> None:
        self._protocol.pipe_data_received(2, data)

    def _complaints_ended(self) -> None:
        self._protocol.pipe_connection_lost(2, None)

    def _input_ended(self) -> None:
        self._protocol.pipe_connection_lost(0, None)
