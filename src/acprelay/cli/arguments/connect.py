"""`acprelay connect`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay, add_worktree

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_CONNECT = """\
Be an ACP agent on standard input and output, whose other end is a relay.

Give this command to an editor as its agent command. Every line of standard
input becomes one WebSocket message, and the other way round, unchanged. When
standard input ends, open requests have a few seconds to be answered."""

_CONNECT_EXAMPLES = """\
exit codes:
    0  standard input ended, or SIGTERM or SIGHUP came
    1  an error
    2  the options cannot be used
    3  the relay cannot be reached, or went away; requests that wait for it
       are answered with an error
  130  Ctrl-C
  141  whoever read the output stopped reading"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "connect",
        summary="be an agent whose other end is a relay",
        description=_CONNECT,
        epilog=_CONNECT_EXAMPLES,
    )
    add_relay(parser)
    parser.add_argument("--agent", metavar="NAME", help="the agent to use, if not the default one")
    parser.add_argument("--role", metavar="ROLE", help="the role of the sessions that are opened")
    parser.add_argument("--session", metavar="ID", help="the session id of those sessions")
    add_worktree(parser)
