"""`acprelay invite`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_INVITE = """\
Get a token that lets an agent elsewhere join one role of one session.

The token is shown once: the relay keeps only its hash. Whoever has it can join
that role until it expires, and do nothing else."""

_INVITE_EXAMPLES = """\
examples:
  acprelay invite --session task1 --role auth
  acprelay invite --session task1 --role auth --json
  acprelay invite --session task1 --role auth --revoke"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "invite",
        summary="get a token that lets an agent elsewhere join",
        description=_INVITE,
        epilog=_INVITE_EXAMPLES,
    )
    add_relay(parser)
    parser.add_argument("--session", required=True, metavar="ID", help="the session id to join")
    parser.add_argument(
        "--role", default="main", metavar="ROLE", help="the role there (default: %(default)s)"
    )
    parser.add_argument(
        "--ttl",
        type=float,
        metavar="SECONDS",
        help="for how long the token lets an agent in (default: a day; 366 days at most)",
    )
    parser.add_argument("--json", action="store_true", help="print what the relay answers")
    parser.add_argument(
        "--revoke",
        action="store_true",
        help="take all tokens for the role back instead; an agent that has joined is let go",
    )
