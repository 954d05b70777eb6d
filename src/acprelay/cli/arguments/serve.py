"""`acprelay serve`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import DEFAULT_HOST, DEFAULT_PORT, add_command, add_pass_env
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
  acprelay serve --port 9000 --agent claude='claude-agent-acp'"""


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
        default=DEFAULT_HOST,
        help="the loopback address to listen on (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="the TCP port; 0 lets the system choose (default: %(default)s)",
    )
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        dest="agents",
        metavar="NAME='COMMAND ...'",
        help="offer an agent; repeat it for more; the first one is the default one "
        "(default: the demo agent)",
    )
    add_pass_env(parser)
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
        "--policy",
        metavar="FILE",
        help="rules that decide about permissions before anybody is asked (see acprelay policy)",
    )
    add_services(parser)
