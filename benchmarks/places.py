"""Where the benchmarks keep what they make: all of it below one folder that git ignores."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / ".bench"
"""Compiled load tools, installed peers, the state of relays that are measured, results."""

SOURCES = PROJECT / "benchmarks" / "load"
DOCS = PROJECT / "docs"
