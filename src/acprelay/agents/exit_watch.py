"""Notices that a child has exited, and reaps it; on every event loop, without waiting.

This module knows no pipe: whoever holds a child's pipes cannot delay the notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Callable


def watch_exit(
    process: subprocess.Popen[bytes],
    *,
    loop: asyncio.AbstractEventLoop,
    on_exit: Callable[[], None],
) -> None:
    """Begins to watch a child.

    Args:
        process: The child.
        loop: Runs the callback.
        on_exit: Called once, after the child is reaped.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # no Linux, or an old one
        name = f"child-{process.pid}"
        threading.Thread(
            target=_wait, args=(process, loop, on_exit), name=name, daemon=True
        ).start()
    else:
        loop.add_reader(pidfd, _exited, pidfd, process, loop, on_exit)


def _exited(
    pidfd: int,
    process: subprocess.Popen[bytes],
    loop: asyncio.AbstractEventLoop,
    on_exit: Callable[[], None],
) -> None:
    loop.remove_reader(pidfd)
    os.close(pidfd)
    process.wait()
    on_exit()


def _wait(
    process: subprocess.Popen[bytes],
    loop: asyncio.AbstractEventLoop,
    on_exit: Callable[[], None],
) -> None:
    process.wait()
    with contextlib.suppress(RuntimeError):  # the loop was closed before its child was ended
        loop.call_soon_threadsafe(on_exit)
