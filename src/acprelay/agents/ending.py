"""The end of a child: its program, its process group, and whoever of its tree has left the group.

A child is an agent, or the command of a terminal.

One order for every cause. The process table is read first, since descent is lost once parents are
gone. Then stdin is closed *and* SIGTERM is sent, at once: closing alone is ignored by some agents,
SIGTERM alone leaves the children of others. Whoever is left after a grace period gets SIGKILL, as
does whoever a later reading of the table still finds, until one finds nobody.

This module knows no line and no sink; it neither reads nor writes the agent's streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Protocol

import psutil

from acprelay.agents.models import AgentExit, AgentLimits
from acprelay.agents.process_table import ProcessEntry, ProcessHandle, ProcessSurvey, unseen
from acprelay.agents.process_tree import belonging
from acprelay.errors import AgentError

_NONE: frozenset[ProcessHandle] = frozenset()
_POLL_S = 0.01
_MOST_LOOKS = 20  # at a tree whose members go on starting others and ending, faster than is looked


class EndingProcess(Protocol):
    """The program, as far as ending it goes."""

    @property
    def name(self) -> str:
        """What it is called in messages; an agent by its name in the catalog."""
        ...

    @property
    def pid(self) -> int:
        """Its number, and that of the group it leads."""
        ...

    @property
    def handle(self) -> ProcessHandle:
        """The process itself."""
        ...

    @property
    def run(self) -> str:
        """The marker in its environment."""
        ...

    @property
    def exit(self) -> AgentExit | None:
        """How it ended; None until it is reaped, which makes its number free for others."""
        ...

    def close_stdin(self) -> None:
        """Closes its standard input."""
        ...

    async def wait_exited(self) -> AgentExit:
        """Returns once it is reaped."""
        ...


class Ending:
    """Ends one child's process tree.

    Args:
        process: The program.
        survey: Gives readings of the process table.
        limits: How long to wait.
        what: What the child is, in a word.
    """

    def __init__(
        self,
        *,
        process: EndingProcess,
        survey: ProcessSurvey,
        limits: AgentLimits,
        what: str = "agent",
    ) -> None:
        self._process = process
        self._what = what
        self._survey = survey
        self._limits = limits
        self._members: list[ProcessEntry] = []
        self._gone: frozenset[ProcessHandle] = _NONE

    async def carry_out(self) -> None:
        """Returns once nothing of the tree is left. Cancelled, or on an error, it kills the group.

        Raises:
            AgentError: Processes survive SIGKILL, or it cannot be seen which there are.
        """
        try:
            is_anybody_left = await self._look()
            self._process.close_stdin()
            if is_anybody_left:
                self._signal_all(signal.SIGTERM)
                await self._wait_until_gone(self._limits.grace_s)
                await self._kill()
        except OSError as error:
            self._kill_group()
            raise unseen(error) from error
        except BaseException:
            self._kill_group()
            raise

    async def _kill(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._limits.kill_s
        while await self._look():
            if loop.time() >= give_up_at:
                raise self._survivors()
            self._signal_all(signal.SIGKILL)
            await self._wait_until_gone(give_up_at - loop.time())

    async def _look(self) -> bool:
        """Tells whether anybody is left.

        Whoever ended since the table was read may have left somebody who is not in it.
        """
        for _ in range(_MOST_LOOKS):
            await self._find()
            found = [entry.handle for entry in self._members]
            if self._anybody_left():
                return True
            if not found:
                break
            self._gone |= {*found}
        return False

    async def _find(self) -> None:
        table = await self._survey.take()
        found = belonging(
            table,
            group=self._process.pid,
            leader=self._process.handle,
            run=self._process.run,
            known={entry.handle for entry in self._members},
        )
        self._members = [entry for entry in found if entry.handle not in self._gone]

    def _anybody_left(self) -> bool:
        while self._members and not self._lives(self._members[-1]):
            self._members.pop()
        return bool(self._members) or self._process.exit is None

    def _lives(self, entry: ProcessEntry) -> bool:
        if entry.handle == self._process.handle:
            return self._process.exit is None
        try:
            if not entry.handle.is_running():
                return False
            if entry.handle.status() != psutil.STATUS_ZOMBIE:
                return True
            _reap_if_ours(entry)
        except psutil.NoSuchProcess:
            pass
        return False

    def _signal_all(self, number: signal.Signals) -> None:
        self._signal_group(number)
        for entry in self._members:
            if entry.group != self._process.pid:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    entry.handle.send_signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        # The number of a group without members may be given away: signal it only while it is ours.
        group = (entry for entry in self._members if entry.group == self._process.pid)
        if self._process.exit is None or any(self._lives(entry) for entry in group):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _kill_group(self) -> None:
        with contextlib.suppress(OSError):  # whether it is ours is not known
            self._signal_group(signal.SIGKILL)

    async def _wait_until_gone(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._process.wait_exited()
                while self._anybody_left():  # noqa: ASYNC110 - nobody is told of the end of a grandchild
                    await asyncio.sleep(_POLL_S)

    def _survivors(self) -> AgentError:
        pids = ", ".join(str(entry.pid) for entry in self._members)
        return AgentError(
            f"cannot end {self._what} {self._process.name!r}: processes {pids} survive SIGKILL",
            hint="look at what they wait for and whose they are; ending it again retries",
            **{self._what: self._process.name},
        )


def _reap_if_ours(zombie: ProcessEntry) -> None:
    # In a container the relay may be process 1, which inherits orphans and must reap them.
    if zombie.handle.ppid() == os.getpid():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(zombie.pid, os.WNOHANG)
