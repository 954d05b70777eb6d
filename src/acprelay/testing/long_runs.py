"""What the programs have in common that run a relay for long, and report: their ends.

What they do with the relay is not known here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from acprelay.testing.soak.relay import RelayFailed

_FAILED, _INTERRUPTED = 1, 130


def positive_seconds(text: str) -> float:
    """Reads an option for a time; argparse tells where it is none.

    Raises:
        ArgumentTypeError: It is no positive number.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return seconds


class Report(Protocol):
    """What was found."""

    @property
    def failures(self) -> Sequence[str]:
        """What should not be; nothing where all is well."""

    def as_json(self) -> dict[str, object]:
        """All of it, for programs."""

    def as_text(self) -> str:
        """All of it, for people."""


def carry_out(run: Callable[[], Awaitable[Report]], *, name: str, as_json: bool) -> int:
    """Runs to the end, or until SIGINT or SIGTERM, and writes the report to standard output.

    Args:
        run: Runs, and leaves no process behind when it is cancelled.
        name: What the program is called, for what it says on standard error.
        as_json: Whether the report is for programs.

    Returns:
        The exit status.
    """
    try:
        report = asyncio.run(_ended_by_sigterm(run))
    except RelayFailed as error:
        sys.stderr.write(f"{name}: {error}\n")
        return _FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _INTERRUPTED
    shown = json.dumps(report.as_json(), indent=2) if as_json else report.as_text()
    sys.stdout.write(f"{shown}\n")
    return _FAILED if report.failures else 0


async def _ended_by_sigterm(run: Callable[[], Awaitable[Report]]) -> Report:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run()
