"""How many files the relay's process may have open: a connection is one of them."""

from __future__ import annotations

import resource
from contextlib import suppress


def raise_soft_limit() -> None:
    """Lets this process open as many files as its hard limit allows; does what it can.

    Programs that it starts inherit that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems have a lower bound than they tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
