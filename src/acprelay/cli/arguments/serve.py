"""`acprelay serve`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    add_command,
    add_config,
    add_pass_env,
)
from acprelay.cli.arguments.exposure import add_exposure
from acprelay.cli.arguments.services import add_services

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_SERVE = """\
Start a relay and serve until SIGTERM or Ctrl-C.

The first signal lets the agents end, and the exit code is 0. The second one
ends at once."""

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
    parser.add_argument(
        "--host",
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
        metavar="DIR",
        help="where git worktrees are made (default: $XDG_DATA_HOME/acprelay/worktrees, or "
        "~/.local/share/acprelay/worktrees)",
    )
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="rules that decide about permissions before anybody is asked (see acprelay policy)",
    )
    add_services(parser)
    add_exposure(parser)
