"""Ends the agents and commands that a relay has left which died before it could end them.

Their environment names their owner: the state directory of the relay that started them. Only one
relay at a time has a state directory, so whatever runs in its name when a relay takes it over is
an orphan. Process numbers are not trusted over time: a process is known by what its environment
says, and by its descent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence

import psutil

from acprelay.agents.models import AgentLimits
from acprelay.agents.process_table import ProcessEntry, read_process_table
from acprelay.agents.process_tree import owned_by
from acprelay.errors import AgentError

_POLL_S = 0.01


async def end_orphans(
    owner: str,
    *,
    limits: AgentLimits | None = None,
    read: Callable[[], Sequence[ProcessEntry]] = read_process_table,
) -> int:
    """Ends every process that runs in an owner's name: SIGTERM, a grace period, SIGKILL.

    Cancelling is safe; what is left then is found by the next call.

    Args:
        owner: The first part of the marker in their environment.
        limits: How long to wait for them.
        read: Reads the process table; called in a thread.

    Returns:
        How many there were.

    Raises:
        AgentError: Processes survive SIGKILL, or it cannot be seen which there are.
    """
    limits = limits or AgentLimits()
    orphans = owned_by(await asyncio.to_thread(read), owner, asking=os.getpid())
    found = len(orphans)
    _signal(orphans, signal.SIGTERM)
    await _wait_until_gone(orphans, limits.grace_s)
    give_up_at = asyncio.get_running_loop().time() + limits.kill_s
    while orphans := owned_by(await asyncio.to_thread(read), owner, asking=os.getpid()):
        if asyncio.get_running_loop().time() >= give_up_at:
            pids = ", ".join(str(entry.pid) for entry in orphans)
            raise AgentError(
                f"cannot end what an earlier relay has left: processes {pids} survive SIGKILL",
                hint="look at what they wait for and whose they are, and start the relay again",
            )
        _signal(orphans, signal.SIGKILL)
        await _wait_until_gone(orphans, limits.kill_s)
    return found


def _signal(entries: Sequence[ProcessEntry], number: signal.Signals) -> None:
    for entry in entries:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            entry.handle.send_signal(number)


async def _wait_until_gone(entries: Sequence[ProcessEntry], timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while any(_lives(entry) for entry in entries):  # noqa: ASYNC110 - nobody is told of the end of another's child
                await asyncio.sleep(_POLL_S)


def _lives(entry: ProcessEntry) -> bool:
    try:
        return entry.handle.is_running() and entry.handle.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
