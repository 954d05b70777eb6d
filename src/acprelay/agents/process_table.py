"""All processes of the machine at one instant, with what tells whose they are.

Reads the operating system; decides nothing. `acprelay.agents.process_tree` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import psutil

from acprelay.agents.models import MARKER
from acprelay.errors import AgentError

KeyT = TypeVar("KeyT", bound=Hashable)

_MOST_LISTINGS = 100  # of a machine that starts processes faster than it can be read
_TRIES = 20
_TRY_AGAIN_S = 0.0005
_IS_KERNEL_THREAD = 0x00200000  # PF_KTHREAD of Linux's sched.h


class ProcessHandle(Hashable, Protocol):
    """A process that is not mistaken for a later one with the same number.

    Equal handles are the same process. `psutil.Process` is one: it compares the start time too,
    also before it sends a signal.
    """

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def is_running(self) -> bool:
        """Whether it exists, if only as a zombie."""
        ...

    def status(self) -> str:
        """One of psutil's `STATUS_…`.

        Raises:
            psutil.NoSuchProcess: It is gone.
        """
        ...

    def ppid(self) -> int:
        """The number of its parent.

        Raises:
            psutil.NoSuchProcess: It is gone.
        """
        ...

    def send_signal(self, sig: int, /) -> None:
        """Sends a signal.

        Raises:
            psutil.NoSuchProcess: It is gone.
            psutil.AccessDenied: It belongs to somebody else.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEntry:
    """One process.

    Attributes:
        handle: The process itself.
        pid: Its number.
        parent: The number of its parent.
        group: The number of its process group.
        run: The marker in the environment it was started with; None without, or where it is not
            ours to read.
    """

    handle: ProcessHandle
    pid: int
    parent: int
    group: int
    run: str | None


class ProcessTable(list[ProcessEntry]):
    """A reading, in which what belongs together is found without a look at all the rest.

    Many look into the same reading: of a thousand agents that end at once, each does.
    """

    @cached_property
    def by_pid(self) -> Mapping[int, Sequence[ProcessEntry]]:
        """Processes by their numbers."""
        return self._grouped(lambda entry: entry.pid)

    @cached_property
    def by_parent(self) -> Mapping[int, Sequence[ProcessEntry]]:
        """Processes by their parents' numbers."""
        return self._grouped(lambda entry: entry.parent)

    @cached_property
    def by_group(self) -> Mapping[int, Sequence[ProcessEntry]]:
        """Processes by the numbers of their groups."""
        return self._grouped(lambda entry: entry.group)

    @cached_property
    def by_run(self) -> Mapping[str | None, Sequence[ProcessEntry]]:
        """Processes by their markers."""
        return self._grouped(lambda entry: entry.run)

    @cached_property
    def by_handle(self) -> Mapping[ProcessHandle, Sequence[ProcessEntry]]:
        """Processes by themselves."""
        return self._grouped(lambda entry: entry.handle)

    def _grouped(
        self, key: Callable[[ProcessEntry], KeyT]
    ) -> defaultdict[KeyT, list[ProcessEntry]]:
        groups: defaultdict[KeyT, list[ProcessEntry]] = defaultdict(list)
        for entry in self:
            groups[key(entry)].append(entry)
        groups.default_factory = None
        return groups


def read_process_table() -> list[ProcessEntry]:
    """Reads the process table: some 60 µs for each process.

    Processes that end while it reads are left out, but not the children that they have left: it
    lists processes again until there is none that it has not met.

    Raises:
        AgentError: It cannot be read, as where the relay may open no more files. Nothing is left
            out of what it gives.
    """
    try:
        return _read_entries()
    except OSError as error:
        raise unseen(error) from error


def unseen(error: OSError) -> AgentError:
    """What is said where the system does not tell of processes."""
    return AgentError(
        f"cannot see which processes there are: {error.strerror or error}",
        hint="see the limits of the relay's process (ulimit -a), and try again",
    )


def _read_entries() -> list[ProcessEntry]:
    table = []
    met: set[int] = set()
    for _ in range(_MOST_LISTINGS):
        new = [pid for pid in psutil.pids() if pid not in met]
        if not new:
            break
        met.update(new)
        for pid in new:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                table.append(_read_entry(pid))
    return table


def _read_entry(pid: int) -> ProcessEntry:
    process = psutil.Process(pid)
    return ProcessEntry(
        handle=process,
        pid=pid,
        parent=process.ppid(),
        group=os.getpgid(pid),
        run=_marker_of(process),
    )


def _marker_of(process: psutil.Process) -> str | None:
    try:
        environment = process.environ()
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return None
    return environment.get(MARKER) if environment else _late_marker(process.pid)


def _late_marker(pid: int) -> str | None:
    """Looks again at a process that seems to have no environment, which may be in an `execve`.

    For an instant of that, some tens of µs, Linux shows none. A process that has just left its
    group, and whose parent ends, would be known by nothing else.
    """
    folder = Path("/proc") / str(pid)
    try:
        for _ in range(_TRIES):
            if _has_no_environment((folder / "stat").read_bytes()):
                return None
            environment = (folder / "environ").read_bytes()
            if environment:
                return _find_marker(environment)
            time.sleep(_TRY_AGAIN_S)
    except OSError:  # it is gone, or this is no Linux
        pass
    return None


def _has_no_environment(stat: bytes) -> bool:
    """Whether a process has none for good: a zombie, a kernel thread, or one that got none."""
    # proc(5), from the third field on: the name before it may hold spaces and parentheses.
    fields = stat[stat.rindex(b")") + 2 :].split()
    state, flags, code = fields[0], int(fields[6]), int(fields[23])
    start, end = int(fields[47]), int(fields[48])
    # An `execve` counts the environment up from nothing, and says where the code is after that.
    is_bare = start == end != 0 and code != 0
    return state in (b"Z", b"X") or bool(flags & _IS_KERNEL_THREAD) or is_bare


def _find_marker(environment: bytes) -> str | None:
    name = f"{MARKER}=".encode()
    found = (each for each in environment.split(b"\0") if each.startswith(name))
    marker = next(found, None)
    return None if marker is None else os.fsdecode(marker.removeprefix(name))


class ProcessSurvey:
    """Shares readings of the process table among all who need one at about the same time.

    A reading never began before it was asked for. So whoever asks while one is under way gets the
    next one, together with all others who ask meanwhile: a hundred endings at once cost a few
    readings.

    Args:
        read: Reads the process table; called in a thread.
    """

    def __init__(self, *, read: Callable[[], Sequence[ProcessEntry]]) -> None:
        self._read = read
        self._running: asyncio.Task[ProcessTable] | None = None
        self._next: asyncio.Task[ProcessTable] | None = None

    async def take(self) -> ProcessTable:
        """Gives the process table as it is at some instant after the call. Cancelling is safe.

        Raises:
            AgentError: It cannot be read.
        """
        if self._next is None or self._next.done():  # done only if it was cancelled while it waited
            self._next = asyncio.get_running_loop().create_task(self._read_after(self._running))
        return await asyncio.shield(self._next)

    async def _read_after(self, previous: asyncio.Task[ProcessTable] | None) -> ProcessTable:
        await asyncio.sleep(0)  # `take` keeps this task before anything else happens
        if previous is not None:
            await asyncio.wait([previous])
        self._running, self._next = self._next, None
        return ProcessTable(await asyncio.to_thread(self._read))
