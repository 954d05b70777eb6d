"""`acprelay agents`: its options and its help."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import SIGNALLED, add_command, add_config, add_pass_env

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_START_S = 60.0

_AGENTS = """\
List the agents that can be started on this machine.

These are the configured ones and the well-known ones. A relay offers those
alone that --agent or its configuration names.

  ready     its program is there
  runnable  npx or uvx is there, and downloads it when it is first started
  missing   a program is missing"""

_PROBE = """\
Start an agent, initialise it, and end it again.

It says what the agent is and can do and how long it took to start, or why it
cannot be started and how to get it. No session is opened, and no model asked."""

_PROBE_EXAMPLES = f"""\
examples:
  acprelay agents probe claude
  acprelay agents probe mine='my-agent --acp'

exit codes:
    0  it answered
    1  it cannot be started, or did not answer as it should
    2  the options or the configuration cannot be used
{SIGNALLED}"""


def add(commands: Commands) -> None:
    """Adds the command."""
    agents = add_command(
        commands,
        "agents",
        summary="list agents, and try one out",
        description=_AGENTS,
    )
    _add_listing(agents)
    subcommands = agents.add_subparsers(dest="agents_command", metavar="COMMAND")
    _add_listing(
        _subcommand(subcommands, "list", summary="the same as acprelay agents", description=_AGENTS)
    )
    _add_probe(
        _subcommand(
            subcommands,
            "probe",
            summary="try one out",
            description=_PROBE,
            epilog=_PROBE_EXAMPLES,
        )
    )


def _subcommand(
    commands: Commands, name: str, *, summary: str, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    parser = add_command(commands, name, summary=summary, description=description, epilog=epilog)
    # An option that is not repeated behind the name of the subcommand keeps its value.
    parser.argument_default = argparse.SUPPRESS
    return parser


def _add_listing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="list the missing ones too")
    _add_common(parser)


def _add_probe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "agent",
        metavar="NAME",
        help="a configured or well-known agent, demo, or NAME='COMMAND ...'",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_START_S,
        metavar="S",
        help="how long it may take to answer, in seconds (default: %(default)g)",
    )
    add_pass_env(parser)
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_config(parser)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return seconds
