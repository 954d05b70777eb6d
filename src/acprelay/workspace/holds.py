"""Says that an agent works in a worktree, wherever its processes have their current directories.

An agent learns of its directory from the protocol, and need not make it its own. So whoever runs it
holds a shared lock on the directory itself: the system takes that away with the process that has
it, so that a crash leaves nothing, and nothing is written anywhere. On a file system without locks
there are no holds.

This module knows neither agents nor sessions.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from functools import partial

from acprelay.workspace.failures import backoff

Release = Callable[[], None]
"""Lets go of a directory. To be called once."""

_WAITS_S = backoff(8, first_s=0.01, most_s=0.1)


async def hold(path: str) -> Release:
    """Holds a directory until what is returned is called; where it cannot be held, it is not.

    Cancelling is safe. Several may hold one directory.
    """
    for wait_s in _WAITS_S:
        try:
            return _lock(path)
        except BlockingIOError:  # somebody looks at this instant whether it is held
            await asyncio.sleep(wait_s)
        except OSError:
            break
    return _nothing


def is_held(path: str) -> bool:
    """Whether somebody holds a directory, this process included."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _lock(path: str) -> Release:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return partial(os.close, fd)


def _nothing() -> None:
    pass
