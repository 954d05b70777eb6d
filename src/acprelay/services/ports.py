"""What terminals need: commands, however they are started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class CommandExit(Protocol):
    """How a command ended."""

    @property
    def returncode(self) -> int | None:
        """The exit status; None if a signal ended it."""
        ...

    @property
    def signal(self) -> int | None:
        """The number of the signal; None if it ended by itself."""
        ...


class RunningCommand(Protocol):
    """A command at work."""

    @property
    def exit(self) -> CommandExit | None:
        """How it ended, known only after all that it wrote itself; None while it runs."""
        ...

    async def wait_exited(self) -> CommandExit:
        """Gives how it ended, once it did, whoever else holds its output. Cancelling is safe."""
        ...

    async def end(self) -> None:
        """Ends it, and every process that it has left behind.

        Idempotent. Cancelling a caller does not stop it.

        Raises:
            AgentError: A process survives; the next call tries again.
        """
        ...


class CommandStarter(Protocol):
    """Starts commands."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What every command sees."""
        ...

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        on_output: Callable[[bytes], None],
    ) -> RunningCommand:
        """Starts a command; it belongs to the caller, who ends it. Awaits nothing.

        Args:
            argv: The program and its arguments.
            env: Variables that it gets besides those that every command sees.
            cwd: Where it starts.
            on_output: Gets what it writes, to either output, on the event loop.

        Raises:
            SpawnFailed: It cannot be started.
        """
        ...
