"""The soak as a program: its options, its signals, its exit status."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acprelay.testing.long_runs import carry_out, positive_seconds
from acprelay.testing.soak.run import Plan, Soak

_DESCRIPTION = """\
Run a real relay with a real agent, kill, pause and reattach clients at random
while the agent streams numbered updates, and count what became of them."""

_EPILOG = """\
exit status:
    0  every message that was due came, once and in order; every prompt was answered
    1  not so
    2  the options cannot be used
  130  Ctrl-C, or SIGTERM; no process is left"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a soak.

    Args:
        argv: The arguments; the process's own where it is None.

    Returns:
        The exit status.

    Raises:
        SystemExit: The arguments cannot be parsed, or ask for help.
    """
    options = build_parser().parse_args(argv)
    return carry_out(Soak(plan_of(options)).run, name="soak", as_json=options.json)


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m acprelay.testing.soak",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    standard = Plan()
    parser.add_argument(
        "--seconds",
        type=positive_seconds,
        help=f"how long new turns begin (default: {standard.seconds:g}; no bound with --steps)",
    )
    parser.add_argument("--steps", type=int, help="how many prompts are sent at most")
    parser.add_argument(
        "--clients",
        type=int,
        default=standard.clients,
        help="how many clients there are, one of which prompts (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=standard.seed, help="decides every choice (default: 1)"
    )
    parser.add_argument(
        "--rate",
        type=int,
        default=standard.rate,
        help="updates a second on average; 0 is no bound (default: %(default)s)",
    )
    parser.add_argument(
        "--ephemeral", action="store_true", help="let the relay keep conversations in memory only"
    )
    parser.add_argument(
        "--kill-relay",
        action="store_true",
        help="kill the relay at random, and start it again on the same state directory",
    )
    parser.add_argument("--json", action="store_true", help="report in JSON")
    return parser


def plan_of(options: argparse.Namespace) -> Plan:
    """Makes the plan that parsed options ask for."""
    seconds = options.seconds
    if seconds is None and options.steps is None:
        seconds = Plan().seconds
    return Plan(
        seed=options.seed,
        clients=max(1, options.clients),
        seconds=seconds,
        steps=options.steps,
        rate=options.rate,
        ephemeral=options.ephemeral,
        kill_relay=options.kill_relay,
    )
