"""Programs that are measured: started on loopback, looked at, and ended with all their children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.places import PROJECT

START_S = 30.0
END_S = 60.0


def end_on_sigterm() -> None:
    """Makes of SIGTERM what Ctrl-C is: what was started is ended first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class CannotStart(Exception):
    """A program does not come up; the message has the end of what it said."""


def free_port() -> int:
    """Gives a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    argv: Sequence[str | Path],
    *,
    port: int,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    input_fd: int = subprocess.DEVNULL,
) -> Iterator[psutil.Process]:
    """Runs a program from the moment it listens; ends it, and whatever it has started.

    Args:
        argv: The program and its arguments.
        port: Where it listens once it is ready.
        cwd: Where it works, and leaves what it says on standard error, as `stderr`.
        env: Variables besides those of this process.
        input_fd: Its standard input.

    Raises:
        CannotStart: It ends, or does not listen within half a minute.
    """
    said = cwd / "stderr"
    with said.open("wb") as errors:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=input_fd,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    tree = psutil.Process(process.pid)
    try:
        _wait_until_listening(process, port, said)
        yield tree
    finally:
        _end(process, tree)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    words = said.read_text(errors="replace").replace(f"{PROJECT}/", "")
    raise CannotStart(f"cannot start it: {words[-500:].strip() or 'it said nothing'}")


def _end(process: subprocess.Popen[bytes], tree: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        children = tree.children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        for each in (tree, *children):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
    process.wait()


def without_agents(tree: psutil.Process, agent: Path) -> list[psutil.Process]:
    """Gives a program's processes but for the agents that it has started."""
    found = [tree]
    for child in tree.children(recursive=True):
        with suppress(psutil.Error):
            if child.exe() != str(agent):
                found.append(child)
    return found


def rss_bytes(processes: Sequence[psutil.Process]) -> int:
    """Tells how much memory of processes is resident."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total
