"""What was measured, where and when."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from acprelay import __version__
from acprelay.cli.diagnosis import rules
from acprelay.cli.diagnosis.machine import look_at_python
from benchmarks.places import PROJECT


def describe(command: str) -> dict[str, str]:
    """Tells what will be measured: machine, date, commit and versions.

    Args:
        command: How the run was asked for.
    """
    memory = psutil.virtual_memory().total / 1024**3
    return {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "commit": _commit(),
        "versions": f"acprelay {__version__}, {rules.judge_python(look_at_python()).message}, "
        f"aiohttp {version('aiohttp')}, uvloop {version('uvloop')}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "benchmarks")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        ", changed since" if changed else ""
    )
