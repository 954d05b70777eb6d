"""Which processes work in a directory: those whose current directory is in it.

The system knows this at every instant, so nothing has to be recorded, and a relay that crashes
leaves nothing that says otherwise. Processes of other users, which cannot be asked, are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath

import psutil

Occupants = Callable[[], Iterable[tuple[str, str]]]
"""Tells of processes: what each is called, and its current directory."""


def processes() -> list[tuple[str, str]]:
    """Tells of every process that can be asked, as `name (pid)`, and its current directory.

    Blocks for as long as it takes to ask them all.
    """
    return [
        (f"{process.info['name']} ({process.info['pid']})", process.info["cwd"])
        for process in psutil.process_iter(["pid", "name", "cwd"])
        if process.info["cwd"]
    ]


def occupants_of(
    paths: Iterable[str], running: Iterable[tuple[str, str]]
) -> Mapping[str, tuple[str, ...]]:
    """Sorts processes by the directory that they are in, or below. Pure.

    Args:
        paths: The directories.
        running: The processes.
    """
    found: dict[str, list[str]] = {path: [] for path in paths}
    for name, cwd in running:
        for each in (PurePath(cwd), *PurePath(cwd).parents):
            if str(each) in found:
                found[str(each)].append(name)
    return {path: tuple(names) for path, names in found.items()}
