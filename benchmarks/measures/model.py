"""What a measure is: what is done to one peer at work, and which figures come of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.building import LoadTools
from benchmarks.peers import Running

Figures = dict[str, float]
"""What one run gave, by the keys of the measure's figures."""


class CannotMeasure(Exception):
    """A run did not come to its end; the message tells what went wrong."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of a measure's table.

    Attributes:
        key: What samples call it.
        title: What people call it, with its unit.
        digits: How many there are after the point.
    """

    key: str
    title: str
    digits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Runs the load client.

    Attributes:
        tools: Where it is.
        is_quick: Whether a tenth of everything will do.
    """

    tools: LoadTools
    is_quick: bool

    def many(self, count: int, *, least: int = 1) -> int:
        """Tells how many there shall be of what there are so many of in a full run."""
        return max(least, count // 10) if self.is_quick else count

    def load(
        self, running: Running, mode: str, *, limit_s: int = 60, **options: int | str | bool
    ) -> dict[str, Any]:
        """Puts a peer under load, and gives what the load client printed.

        Args:
            running: The peer.
            mode: The load client's mode.
            limit_s: How long it may take.
            options: The load client's options; `True` for one without a value.

        Raises:
            CannotMeasure: It gave up, or took too long.
        """
        argv = [str(self.tools.load), *running.reach(), "--limit-s", str(limit_s)]
        argv += ["--watch", ",".join(str(process.pid) for process in running.processes())]
        for name, value in options.items():
            argv.append(f"--{name.replace('_', '-')}")
            if value is not True:
                argv.append(str(value))
        try:
            done = subprocess.run(
                [*argv, mode], capture_output=True, text=True, timeout=limit_s + 10, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CannotMeasure(f"cannot finish {mode} within {limit_s} s") from error
        if done.returncode:
            raise CannotMeasure(done.stderr.strip()[-500:] or f"the load client left {mode}")
        try:
            return dict(json.loads(done.stdout))
        except ValueError as error:
            raise CannotMeasure(f"cannot read what {mode} gave: {done.stdout[:500]}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing that is measured, on one peer after another.

    Attributes:
        name: What options and results call it.
        title: What the table calls it.
        figures: Its columns, the first one first.
        take: Does it once, on a peer at work; may raise `CannotMeasure`.
        peers: Who takes part, by name; none for everybody who need not be named.
        most_rounds: How many rounds it is worth at most.
        settings: What the relay is configured with for it, in TOML; limits that it is about.
        prewarm: How many agents the relay keeps ready.
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    take: Callable[[Driver, Running], Figures]
    peers: tuple[str, ...] = ()
    most_rounds: int = 100
    settings: str = ""
    prewarm: int = 0
