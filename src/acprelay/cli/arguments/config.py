"""`acprelay config`: its options and its help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, not_empty
from acprelay.cli.arguments.serve import add_options

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_CONFIG = """\
Show and check what a relay is configured with.

Options win over environment variables, those over the configuration file, and
that over the defaults."""

_SHOW = """\
Show what acprelay serve would be started with, and where each value comes from.

It takes the options of serve. The values of agents' variables are not shown."""

_SHOW_EXAMPLES = """\
examples:
  acprelay config show
  ACPRELAY_PORT=9000 acprelay config show --ephemeral"""

_CHECK = """\
Say what is wrong with the configuration file and the environment variables.

Without a FILE it is the configuration that acprelay serve would read. What they
name has to be there: the policy, and the agents."""

_CHECK_EXAMPLES = """\
exit codes:
    0  a relay can be started with it
    2  something cannot be used; all of it is told"""

_SCHEMA = """\
Print a JSON Schema of the configuration file, for editors that check TOML."""


def add(commands: Commands) -> None:
    """Adds the command."""
    config = add_command(
        commands, "config", summary="show and check the configuration", description=_CONFIG
    )
    subcommands = config.add_subparsers(dest="config_command", metavar="COMMAND", required=True)
    _add_show(subcommands)
    _add_check(subcommands)
    add_command(subcommands, "schema", summary="print a schema of the file", description=_SCHEMA)


def _add_show(subcommands: Commands) -> None:
    parser = add_command(
        subcommands,
        "show",
        summary="show the values, and where each comes from",
        description=_SHOW,
        epilog=_SHOW_EXAMPLES,
    )
    _add_json(parser)
    add_options(parser)


def _add_check(subcommands: Commands) -> None:
    parser = add_command(
        subcommands,
        "check",
        summary="say what is wrong with it",
        description=_CHECK,
        epilog=_CHECK_EXAMPLES,
    )
    parser.add_argument(
        "config",
        nargs="?",
        type=not_empty,
        metavar="FILE",
        help="the file (default: the one that serve reads)",
    )
    _add_json(parser)
    parser.set_defaults(no_config=False, agents=[], pass_env=[])


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
