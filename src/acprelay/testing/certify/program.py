"""The command that certifies an agent: its options, its exit status."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from acprelay.errors import RelayError
from acprelay.testing.certify.checks import CHECKS, carry_out
from acprelay.testing.certify.client import Trial
from acprelay.testing.certify.findings import Certificate
from acprelay.testing.long_runs import carry_out as run_to_the_end
from acprelay.testing.long_runs import positive_seconds

_DESCRIPTION = """\
Try an ACP agent out: start it, be its client, and say what was found."""

_EPILOG = """\
exit status:
    0  no check failed
    1  one did
    2  the agent cannot be started, or the options cannot be used
  130  Ctrl-C, or SIGTERM; no process is left"""


async def certify(trial: Trial, *, only: Sequence[str] = ()) -> Certificate:
    """Carries the checks out, one after another.

    Cancelling it ends the agent.

    Args:
        trial: What is tried.
        only: The names of the checks; none stands for all.

    Raises:
        ConfigError: The agent cannot be started.
    """
    return Certificate([await carry_out(name, trial) for name in only or CHECKS])


def main(argv: Sequence[str] | None = None) -> int:
    """Certifies an agent, and writes what was found to standard output.

    Args:
        argv: The arguments; the process's own where it is None.

    Returns:
        The exit status.

    Raises:
        SystemExit: The arguments cannot be parsed, or ask for help.
    """
    options = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="acprelay-certify-") as folder:
        trial = Trial(
            command=options.command,
            cwd=str((options.cwd or Path(folder)).resolve()),
            prompt=options.prompt,
            patience_s=options.patience,
        )
        try:
            return run_to_the_end(
                lambda: certify(trial, only=options.only), name="certify", as_json=options.json
            )
        except RelayError as error:
            sys.stderr.write(f"certify: {error}\n")
            return 2


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m acprelay.testing.certify",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(CHECKS),
        default=[],
        metavar="CHECK",
        help=f"carry out this check; may be repeated (default: all of {', '.join(CHECKS)})",
    )
    parser.add_argument(
        "--prompt", default=Trial.__dataclass_fields__["prompt"].default, help="what it is told"
    )
    parser.add_argument(
        "--cwd", type=Path, help="the directory of its sessions (default: an empty one)"
    )
    parser.add_argument(
        "--patience",
        type=positive_seconds,
        default=60.0,
        metavar="SECONDS",
        help="for one answer (default: 60)",
    )
    parser.add_argument("--json", action="store_true", help="report in JSON")
    parser.add_argument("command", nargs="+", help="the agent's program and arguments, after --")
    return parser
