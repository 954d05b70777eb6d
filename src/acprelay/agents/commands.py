"""Commands as child processes: what they write, how they exit, and their end.

A command is started, marked and ended as an agent is, so that nothing of it is left behind, and
that what a relay leaves which is killed is found by the next one. Other than an agent it has no
standard input, writes both its outputs to one pipe, and what it has left running lives until it is
ended. This module knows no terminal and no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import psutil

from acprelay.agents.ending import Ending
from acprelay.agents.environment import allowed
from acprelay.agents.exit_watch import watch_exit
from acprelay.agents.models import MARKER, AgentExit, AgentLimits
from acprelay.agents.pipes import ReadPipe
from acprelay.agents.process_table import ProcessHandle, ProcessSurvey, read_process_table
from acprelay.agents.spawn_failure import explain
from acprelay.errors import SpawnFailed


class Command:
    """A command that was started.

    Args:
        name: What it is called in messages.
        run: The value of the marker in its environment.
        process: Its process, which leads a session and a process group.
        output: The end of the pipe that it writes; non-blocking, and this object's from now on.
        on_output: Gets what one read brought.
        survey: Finds what it leaves behind.
        limits: How long to wait for its end.
    """

    def __init__(
        self,
        *,
        name: str,
        run: str,
        process: subprocess.Popen[bytes],
        output: int,
        on_output: Callable[[bytes], None],
        survey: ProcessSurvey,
        limits: AgentLimits,
    ) -> None:
        self._name = name
        self._run = run
        self._process = process
        self._handle = psutil.Process(process.pid)
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[AgentExit] = self._loop.create_future()
        self._ending: asyncio.Task[None] | None = None
        self._tree = Ending(process=self, survey=survey, limits=limits, what="command")
        self._pipe = ReadPipe(loop=self._loop, fd=output, on_data=on_output, on_end=_nothing)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._name

    @property
    def run(self) -> str:
        """The value of the marker in its environment."""
        return self._run

    @property
    def pid(self) -> int:
        """Its number, and that of the group it leads."""
        return self._process.pid

    @property
    def handle(self) -> ProcessHandle:
        """Its process."""
        return self._handle

    @property
    def exit(self) -> AgentExit | None:
        """How it ended, known only after all that it wrote itself; None while it runs."""
        return self._exited.result() if self._exited.done() else None

    def watch(self) -> None:
        """Begins to read what it writes, and to watch for its exit."""
        watch_exit(self._process, loop=self._loop, on_exit=self._on_exit)
        self._pipe.resume()

    def close_stdin(self) -> None:
        """Does nothing: it has none."""

    async def wait_exited(self) -> AgentExit:
        """Gives how it ended, once it did, whoever else holds its pipe. Cancelling is safe."""
        return await asyncio.shield(self._exited)

    async def end(self) -> None:
        """Ends it, and every process that it has left behind: SIGTERM, a grace period, SIGKILL.

        Idempotent: however many callers, it is ended once. Cancelling a caller does not stop that.

        Raises:
            AgentError: A process survives; the next call tries again.
        """
        if self._ending is None or _failed(self._ending):
            self._ending = self._loop.create_task(self._end())
        await asyncio.shield(self._ending)

    def discard(self) -> None:
        """Kills and reaps it at once, where it was never watched."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()

    async def _end(self) -> None:
        await self._tree.carry_out()
        await self.wait_exited()
        self._pipe.finish()

    def _on_exit(self) -> None:
        how = AgentExit.from_returncode(cast("int", self._process.returncode))
        self._pipe.drain()  # first: whoever knows of the exit has all that the command wrote itself
        self._exited.set_result(how)


class CommandLauncher:
    """Starts commands.

    Args:
        owner: The first part of the marker in the environment of what is started: whose it is.
        environment: The relay's own environment; commands get what the allowlist passes.
        limits: How long to wait for the end of a command.
    """

    def __init__(self, *, owner: str, environment: Mapping[str, str], limits: AgentLimits) -> None:
        self._owner = owner
        self._environment = allowed(environment)
        self._limits = limits
        self._survey = ProcessSurvey(read=read_process_table)

    @property
    def environment(self) -> Mapping[str, str]:
        """What every command sees, besides the marker."""
        return self._environment

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        on_output: Callable[[bytes], None],
    ) -> Command:
        """Starts a command; it belongs to the caller, who ends it.

        Nothing is awaited, so a cancellation comes before there is a process, or after the caller
        has it. Blocks until the system has loaded the program, a millisecond or two.

        Args:
            argv: The program, looked for in the command's `PATH`, and its arguments.
            env: Variables that it gets besides the allowlist.
            cwd: Where it starts.
            on_output: Gets what it writes, to either output, on the event loop.

        Raises:
            SpawnFailed: It cannot be started; the hint says what to do.
        """
        run = f"{self._owner}.{secrets.token_hex(16)}"
        environment = {**self._environment, **env, MARKER: run}
        ours, theirs = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - what an agent asks for is run as it asks
                argv,
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException as error:
            os.close(ours)
            if isinstance(error, OSError | ValueError):
                raise _failure(error, argv[0], environment.get("PATH"), cwd) from error
            raise
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        command = Command(
            name=argv[0],
            run=run,
            process=process,
            output=ours,
            on_output=on_output,
            survey=self._survey,
            limits=self._limits,
        )
        try:
            command.watch()
        except BaseException:
            command.discard()
            raise
        return command


def _failure(error: OSError | ValueError, program: str, path: str | None, cwd: Path) -> SpawnFailed:
    if isinstance(error, ValueError):  # a NUL, or a variable's name with an equals sign
        reason, hint = str(error), "send text that a command can be given"
    else:
        reason, hint = explain(error, program=program, path=path, cwd=cwd)
    return SpawnFailed(f"cannot start {program[:200]!r}: {reason}", hint=hint)


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _nothing() -> None:
    """The end of a pipe says nothing: the exit of the command does."""
