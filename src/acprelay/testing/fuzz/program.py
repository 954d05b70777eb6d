"""The fuzz run as a program: its options, its signals, its exit status."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acprelay.testing.fuzz.run import Fuzz, Plan
from acprelay.testing.long_runs import carry_out

_DESCRIPTION = """\
Abuse a real relay over raw sockets, in every way there is a name for, while a
client goes on working with it, and see what it costs the relay."""

_EPILOG = """\
exit status:
    0  the client was served all the time, and nothing is left of the abuse
    1  not so
    2  the options cannot be used
  130  Ctrl-C, or SIGTERM; no process is left"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a fuzz.

    Args:
        argv: The arguments; the process's own where it is None.

    Returns:
        The exit status.

    Raises:
        SystemExit: The arguments cannot be parsed, or ask for help.
    """
    options = build_parser().parse_args(argv)
    plan = Plan(
        seed=options.seed,
        rounds=max(1, options.rounds),
        seconds=options.seconds,
        crowd=max(1, options.crowd),
        strangers=options.strangers,
    )
    return carry_out(Fuzz(plan).run, name="fuzz", as_json=options.json)


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m acprelay.testing.fuzz",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    standard = Plan()
    parser.add_argument(
        "--rounds",
        type=int,
        default=standard.rounds,
        help="how often each attack is made, at least (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=standard.seconds,
        help="how long new rounds begin (default: no longer than those of --rounds)",
    )
    parser.add_argument(
        "--crowd",
        type=int,
        default=standard.crowd,
        help="how many connections a crowd has (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=standard.seed, help="decides every choice (default: 1)"
    )
    parser.add_argument(
        "--strangers",
        action="store_true",
        help="have the relay ask everybody for a token, which those who abuse it do not have",
    )
    parser.add_argument("--json", action="store_true", help="report in JSON")
    return parser
