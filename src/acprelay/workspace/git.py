"""The git program: how it is run, and how patiently.

`GitRunner` is what the rest of the package works with. `Git` runs the program once; `PatientGit`
runs it again where it only found a lock taken. Neither knows what it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from acprelay.errors import WorkspaceError
from acprelay.workspace import commands
from acprelay.workspace.commands import Command
from acprelay.workspace.failures import backoff, is_contention
from acprelay.workspace.parsing import parse_version
from acprelay.workspace.process import Ended, NotStarted, Sink, run_process

OLDEST = (2, 20)
"""The oldest version that is used."""

_INSTALL = f"install git {OLDEST[0]}.{OLDEST[1]} or newer, and have it in PATH"


class GitRunner(Protocol):
    """Runs git."""

    async def run(self, command: Command, *, at: str, sink: Sink | None = None) -> Ended:
        """Runs one command to its end, whatever that is.

        Cancelling is safe: git is ended, and waited for.

        Args:
            command: What is asked.
            at: The directory that it is about.
            sink: Gets the output as it comes, instead of the result.

        Raises:
            WorkspaceError: Git is missing, too old, took too long or said too much.
        """
        ...


class Git:
    """The program, looked for in the environment's `PATH`.

    Args:
        env: Its whole environment; `environment.git_environment` makes one.
        program: Its name, or its path.
        most: How many bytes of output one command may have.
        grace_s: How long it may take to end when it is asked to, before it is killed.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        program: str = "git",
        most: int = 32 * 1024 * 1024,
        grace_s: float = 10.0,
    ) -> None:
        self._env = env
        self._program = program
        self._most = most
        self._grace_s = grace_s
        self._checked = False

    async def run(self, command: Command, *, at: str, sink: Sink | None = None) -> Ended:
        """Runs one command; the first one waits until the version is known to be new enough."""
        if not self._checked:
            await self._check_version()
            self._checked = True
        return await self._run(command, at=at, sink=sink)

    async def _check_version(self) -> None:
        answer = await self._run(commands.version(), at="/", sink=None)
        version = parse_version(answer.out)
        if version is None:
            raise WorkspaceError(
                f"cannot use {self._program!r}: it does not say which version of git it is",
                hint=_INSTALL,
            )
        if version < OLDEST:
            raise WorkspaceError(
                f"cannot use git {version[0]}.{version[1]}: it is too old for worktrees",
                hint=_INSTALL,
            )

    async def _run(self, command: Command, *, at: str, sink: Sink | None) -> Ended:
        name = f"git {command.args[0]}"
        try:
            ended = await run_process(
                commands.argv_of(command, program=self._program, at=at),
                env=self._env,
                stdin=command.stdin,
                timeout_s=command.timeout_s,
                grace_s=self._grace_s,
                most=self._most,
                sink=sink,
            )
        except TimeoutError:
            raise WorkspaceError(
                f"cannot wait for {name} in {at!r} any longer than {command.timeout_s:g} s",
                hint="see whether git works there by hand",
            ) from None
        except NotStarted as error:
            raise WorkspaceError(
                f"cannot start {self._program!r}: {error.reason.strerror or error}", hint=_INSTALL
            ) from error
        if ended.overflowed:
            raise WorkspaceError(
                f"cannot read what {name} says in {at!r}: it is more than {self._most} bytes",
                hint="look at it with git by hand",
            )
        return ended


class PatientGit:
    """Runs git again, a few times and after growing waits, where it found a lock taken.

    What is run is to be safe to run again after such a failure, as git's own commands are: they
    take their locks before they change anything.

    Args:
        git: Runs it once.
        delays_s: The wait after each failed attempt; the last attempt follows the last wait.
    """

    def __init__(
        self,
        *,
        git: GitRunner,
        delays_s: Sequence[float] = backoff(8, first_s=0.05, most_s=1.0),
    ) -> None:
        self._git = git
        self._delays_s = delays_s

    async def run(self, command: Command, *, at: str, sink: Sink | None = None) -> Ended:
        """Runs one command; contention that does not end is told as the last attempt tells it."""
        for delay_s in self._delays_s:
            ended = await self._git.run(command, at=at, sink=sink)
            if ended.code == 0 or not is_contention(ended.err):
                return ended
            await asyncio.sleep(delay_s)
        return await self._git.run(command, at=at, sink=sink)
