"""Takes from a running process what the operating system gives it, and gives it back."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.end_to_end.relays import RelayProcess

_STANDARD_STREAMS = 3  # nobody closes those
_NOBODY_ELSES = 61_954  # a user of whom this machine has nothing


@contextmanager
def descriptors(process: psutil.Process, *, room: int = 0) -> Iterator[None]:
    """Lets a process open about so many more files, and no more; with no room, none at all.

    What is open stays open.
    """
    pid = process.pid
    former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # The limit is on numbers: those that are free below it count too, also those that become so.
    limit = _free_descriptors(pid)[room] if room else _STANDARD_STREAMS
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, former[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, former)


def _free_descriptors(pid: int) -> list[int]:
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return [number for number in range(max(taken) + 200) if number not in taken]


@contextmanager
def processes(process: psutil.Process) -> Iterator[None]:
    """Lets a process, and all others of its user, start no process and no thread."""
    _limit_processes(process.pid, "1:")
    try:
        yield
    finally:
        former, _ = resource.getrlimit(resource.RLIMIT_NPROC)  # it has inherited this one
        _limit_processes(process.pid, "unlimited:" if former < 0 else f"{former}:")


@contextmanager
def relay_that_can_be_limited() -> Iterator[RelayProcess]:
    """A relay for which limits of processes hold, as they do not for root's."""
    is_root = os.geteuid() == 0
    if is_root:
        _needs_another_user()
    with tempfile.TemporaryDirectory() as folder:
        relay = RelayProcess(log=Path(folder) / "relay.log")
        if is_root:
            os.chown(folder, _NOBODY_ELSES, _NOBODY_ELSES)
            relay.prefix = (*_as_another_user(), *_who_reads_everything())
        with relay:
            yield relay


def _limit_processes(pid: int, limit: str) -> None:
    prefix = _as_another_user() if os.geteuid() == 0 else ()
    subprocess.run([*prefix, "prlimit", "--pid", str(pid), f"--nproc={limit}"], check=True)


def _as_another_user() -> tuple[str, ...]:
    user = str(_NOBODY_ELSES)
    return ("setpriv", "--reuid", user, "--regid", user, "--clear-groups")


def _who_reads_everything() -> tuple[str, ...]:
    """For the Python that runs the tests may lie where only root may look."""
    may = "+dac_override,+dac_read_search"
    return ("--inh-caps", may, "--ambient-caps", may)


def _needs_another_user() -> None:
    if shutil.which("setpriv") is None or shutil.which("prlimit") is None:
        pytest.skip("no limit of processes holds for root, and setpriv is missing")
    trial = [*_as_another_user(), *_who_reads_everything(), "true"]
    if subprocess.run(trial, check=False, capture_output=True).returncode:
        pytest.skip("no limit of processes holds for root, who may not become anybody else here")
