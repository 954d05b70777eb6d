"""`acprelay serve`: its options and its help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import (
    DEFAULT_DRAIN_S,
    DEFAULT_HOST,
    DEFAULT_PORT,
    add_command,
    add_config,
    add_pass_env,
    not_empty,
    seconds,
)
from acprelay.cli.arguments.exposure import add_exposure
from acprelay.cli.arguments.services import add_services
from acprelay.cli.log_settings import DEFAULT_FORMAT, DEFAULT_LEVEL, FORMATS, LEVELS

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_SERVE = """\
Start a relay and serve until SIGTERM or Ctrl-C.

The first signal drains: nothing new is begun, clients are told, and turns that
run may go on for a while. Then the agents are ended, and the exit code is 0.
The second signal ends at once."""

_SERVE_EXAMPLES = """\
examples:
  acprelay serve
  acprelay serve --agent claude --agent gemini
  acprelay serve --port 9000 --agent mine='my-agent --acp'"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "serve",
        summary="start a relay",
        description=_SERVE,
        epilog=_SERVE_EXAMPLES,
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what a relay is started with."""
    parser.add_argument(
        "--host",
        type=not_empty,
        help=f"the address to listen on (default: {DEFAULT_HOST})",
    )
    parser.add_argument(
        "--port",
        type=int,
        help=f"the TCP port; 0 lets the system choose (default: {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        dest="agents",
        metavar="NAME[='COMMAND ...']",
        help="offer an agent, one that acprelay agents lists or one with a command; repeat it for "
        "more; the first one is the default one (default: what is configured, else the demo "
        "agent)",
    )
    add_pass_env(parser)
    add_config(parser)
    state = parser.add_mutually_exclusive_group()
    state.add_argument(
        "--state-dir",
        type=not_empty,
        metavar="DIR",
        help="where conversations are stored (default: $XDG_STATE_HOME/acprelay, or "
        "~/.local/state/acprelay)",
    )
    state.add_argument(
        "--ephemeral",
        action="store_true",
        help="store nothing: conversations are kept in memory, and gone when the relay stops",
    )
    parser.add_argument(
        "--worktree-dir",
        type=not_empty,
        metavar="DIR",
        help="where git worktrees are made (default: $XDG_DATA_HOME/acprelay/worktrees, or "
        "~/.local/share/acprelay/worktrees)",
    )
    parser.add_argument(
        "--root",
        action="append",
        default=[],
        type=not_empty,
        metavar="DIR",
        help="let clients have agents work below this directory only; repeat it for more (default: "
        "anywhere)",
    )
    parser.add_argument(
        "--policy",
        type=not_empty,
        metavar="FILE",
        help="rules that decide about permissions before anybody is asked (see acprelay policy)",
    )
    add_services(parser)
    parser.add_argument(
        "--drain",
        type=seconds,
        metavar="S",
        help="how long turns that run may go on once the relay is asked to stop, in seconds "
        f"(default: {DEFAULT_DRAIN_S:g})",
    )
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        help=f"how the log on standard error looks (default: {DEFAULT_FORMAT})",
    )
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        help=f"from which level on lines are written (default: {DEFAULT_LEVEL})",
    )
    add_exposure(parser)
