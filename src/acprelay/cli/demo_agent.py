"""`acprelay demo-agent`: the demo agent on standard input and output."""

from __future__ import annotations

import argparse

from acprelay.testing.demo_agent import main


def command(_arguments: argparse.Namespace) -> int:
    """Serves until standard input ends; returns the exit code."""
    return main()
