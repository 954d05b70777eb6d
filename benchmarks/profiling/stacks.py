"""Reads the sampled stacks of a process: which functions, and which of our modules, it was in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_FRAME = re.compile(r"(?P<function>.+) \((?P<path>.+?)(?::\d+)?\)")
_OURS = "acprelay/"
_AROUND = f"{_OURS}cli/"
"""What starts the event loop is around everything; it is not what has the work done."""


@dataclass(frozen=True, slots=True)
class Stacks:
    """Counts of samples.

    Attributes:
        total: How many there were.
        functions: How many were in a function itself, by its name and place.
        modules: How many were in one of our modules, or in what it calls outside of ours.
    """

    total: int
    functions: Counter[str]
    modules: Counter[str]


def read_stacks(lines: Iterable[str]) -> Stacks:
    """Reads what py-spy's raw format has: frames from the outermost on, then a count.

    What is no such line is left out.
    """
    total = 0
    functions: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        if not stack or not count.isdigit():
            continue
        frames = stack.split(";")
        total += int(count)
        functions[_spelled(frames[-1])] += int(count)
        ours = next((frame for frame in reversed(frames) if _is_ours(frame)), None)
        modules[_module(ours)] += int(count)
    return Stacks(total=total, functions=functions, modules=modules)


def _is_ours(frame: str) -> bool:
    return _OURS in frame and _AROUND not in frame


def _spelled(frame: str) -> str:
    found = _FRAME.fullmatch(frame)
    if found is None:
        return frame
    return f"{_shortened(found['path'])} {found['function']}"


def _module(frame: str | None) -> str:
    found = _FRAME.fullmatch(frame or "")
    return (
        "the event loop and aiohttp by themselves" if found is None else _shortened(found["path"])
    )


def _shortened(path: str) -> str:
    for root in (f"src/{_OURS}", "site-packages/", "lib/python"):
        if root in path:
            return path.rpartition(root)[2]
    return path
