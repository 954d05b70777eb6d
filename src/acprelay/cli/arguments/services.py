"""Who serves files and terminals to agents: the options for it."""

from __future__ import annotations

import argparse

_MODES = ("relay", "client", "off")


def add_services(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "--fs",
        choices=_MODES,
        help="who serves files to agents: the relay, inside the session's directory; a client that "
        "can; or nobody (default: relay)",
    )
    parser.add_argument(
        "--terminal",
        choices=_MODES,
        help="who runs commands for agents, likewise (default: relay)",
    )
