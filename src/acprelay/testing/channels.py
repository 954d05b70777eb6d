"""Channels: what an agent and a client tell each other through, one message at a time.

Over standard streams, as ACP has it, or in memory. They know nothing of what is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from acprelay.errors import ConfigError

_MAX_LINE = 64 * 1024 * 1024


class Channel(Protocol):
    """One end."""

    async def send(self, message: bytes) -> None:
        """Sends a message, which has no newline in it; waits while the other end does not read.

        Raises:
            ConnectionError: The other end is gone.
        """

    async def receive(self) -> bytes | None:
        """Gives the next message; None once the other end has closed.

        Safe to cancel: what was not given yet is given next.
        """


class MemoryChannel:
    """An end in memory; `memory_channels` gives both. What is sent waits until it is read."""

    def __init__(
        self, *, inbox: asyncio.Queue[bytes | None], outbox: asyncio.Queue[bytes | None]
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._is_over = False

    async def send(self, message: bytes) -> None:
        """Sends a message; see `Channel.send`."""
        await self._outbox.put(message)

    async def receive(self) -> bytes | None:
        """Gives the next message; see `Channel.receive`."""
        if self._is_over:
            return None
        message = await self._inbox.get()
        self._is_over = message is None
        return message

    async def close(self) -> None:
        """Tells the other end that nothing more comes."""
        await self._outbox.put(None)


def memory_channels(*, most: int = 1000) -> tuple[MemoryChannel, MemoryChannel]:
    """Makes both ends of a channel in memory.

    Args:
        most: How many messages may wait in each direction.
    """
    one: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=most)
    other: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=most)
    return MemoryChannel(inbox=one, outbox=other), MemoryChannel(inbox=other, outbox=one)


class CommandChannel:
    """A client's end to an agent that is a program; `command_channel` opens it.

    Args:
        process: The program, in a process group of its own.
        end_s: How long it may take to end, in seconds, before it is killed.

    Attributes:
        process: The same.
    """

    def __init__(self, process: asyncio.subprocess.Process, *, end_s: float = 5.0) -> None:
        self.process = process
        self._end_s = end_s

    async def send(self, message: bytes) -> None:
        """Writes a line; see `Channel.send`."""
        if self.process.stdin is None or self.process.stdin.is_closing():
            raise ConnectionResetError("the agent takes nothing any more")
        self.process.stdin.write(message + b"\n")
        await self.process.stdin.drain()

    async def receive(self) -> bytes | None:
        """Reads a line; see `Channel.receive`."""
        if self.process.stdout is None:
            return None
        line = await self.process.stdout.readline()
        return line.removesuffix(b"\n") if line else None

    def close_input(self) -> None:
        """Closes the agent's standard input: nothing more comes."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def signal_group(self, number: signal.Signals) -> None:
        """Sends a signal to the agent and what it has started; nothing where all are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    async def end(self) -> int:
        """Ends the agent as a client does, and gives its exit status; idempotent.

        Closes its standard input and sends SIGTERM to its group, then SIGKILL if it stays.
        """
        self.close_input()
        self.signal_group(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._end_s):
                return await self.process.wait()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """Kills the agent and what it has started, and gives its exit status; idempotent."""
        self.signal_group(signal.SIGKILL)
        return await self.process.wait()


@contextlib.asynccontextmanager
async def command_channel(
    command: Sequence[str],
    *,
    cwd: str | None = None,
    environment: Mapping[str, str] | None = None,
    show_stderr: bool = False,
    end_s: float = 5.0,
) -> AsyncIterator[CommandChannel]:
    """Starts an agent, and ends it with whatever it has started.

    Args:
        command: Its program and arguments.
        cwd: Where it is started; None is here.
        environment: Its whole environment; None is that of this process.
        show_stderr: Whether what it complains of goes to this process's standard error.
        end_s: How long it may take to end, in seconds, before it is killed.

    Raises:
        ConfigError: It cannot be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if show_stderr else asyncio.subprocess.DEVNULL,
            cwd=cwd,
            env=environment,
            start_new_session=True,
            limit=_MAX_LINE,
        )
    except OSError as error:
        raise ConfigError(
            f"cannot start {command[0]!r}: {error.strerror}",
            hint="name the agent's program and its arguments",
        ) from None
    channel = CommandChannel(process, end_s=end_s)
    try:
        yield channel
    finally:
        # What it has started may outlive it, and would hold the pipes.
        await asyncio.shield(channel.end())
        channel.signal_group(signal.SIGKILL)
