"""`acprelay join`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import (
    FOUND,
    add_command,
    add_pass_env,
    add_url,
    not_empty,
    seconds,
)

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_JOIN = """\
Let an agent of this machine work in a role at a relay elsewhere.

The command is started once the relay has let it in, and speaks ACP on its
standard input and output. A link that is cut is taken up again, and nothing is
lost by that. Ctrl-C and SIGTERM end the agent with all that it has started.

The token comes from --token-file, or else from the variable ACPRELAY_TOKEN;
acprelay invite gives one. The agent does not see it."""

_JOIN_EXAMPLES = """\
examples:
  acprelay join --session task1 --role auth --token-file token -- some-agent
  ACPRELAY_TOKEN=... acprelay join --session task1 -- npx some-agent --acp

exit codes:
    0  the relay has ended the agent, the agent ended with status 0, or
       SIGTERM or SIGHUP came
    1  an error: the relay refuses the token, or the role is taken; the agent
       cannot be started, or ended by itself
    2  the options cannot be used, or there is no token
    3  the relay cannot be reached, or has given the link up
  130  Ctrl-C"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "join",
        summary="let an agent of this machine work at a relay elsewhere",
        description=_JOIN,
        epilog=_JOIN_EXAMPLES,
    )
    add_url(parser, text=FOUND)
    parser.add_argument("--session", required=True, metavar="ID", help="the session id to join")
    parser.add_argument(
        "--role", default="main", metavar="ROLE", help="the role there (default: %(default)s)"
    )
    parser.add_argument(
        "--token-file", type=not_empty, metavar="FILE", help="where the token stands"
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="for how long to try a relay that cannot be reached (default: %(default)g)",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="whenever the agent has ended, by itself or by the relay, start the command anew and "
        "join again, until a signal comes or the relay refuses",
    )
    add_pass_env(parser)
    parser.add_argument(
        "agent_command",
        nargs="+",
        metavar="COMMAND",
        help="the agent's program and its arguments, behind --",
    )
