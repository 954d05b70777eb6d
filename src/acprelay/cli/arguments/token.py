"""`acprelay token`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay, not_empty

if TYPE_CHECKING:
    import argparse

    from acprelay.cli.arguments.common import Commands

GRANTS = ("observe", "prompt", "approve", "manage")

_ABOUT = """\
Make, list and take back tokens of a relay that runs.

A token says who somebody is, and what they may do. This takes a token with the
grant to manage everything, such as the one that a relay makes for its owner."""

_CREATE = """\
Make a token, and print it: it is shown only now.

  observe  see sessions, load and follow them
  prompt   also talk to agents
  approve  also answer permissions, change modes, stop what others have begun
  manage   everything: open, close and delete sessions, decide what runs"""

_CREATE_EXAMPLES = """\
examples:
  acprelay token create phone --grant prompt --grant approve --expires 30d
  acprelay token create visitor --grant observe --session login:auth
  acprelay token create ci --grant manage --group nightly"""

_LIST = """\
List the tokens that are good. When one was used last is known since the relay
started."""

_REVOKE = """\
Take tokens back. This returns once they are good no more, and all connections
and browsers that they let in are out."""


def add(commands: Commands) -> None:
    """Adds the command."""
    tokens = add_command(
        commands, "token", summary="make, list and take back tokens", description=_ABOUT
    ).add_subparsers(dest="token_command", metavar="COMMAND", required=True)
    _add_create(tokens)
    listing = _add(tokens, "list", summary="list tokens", description=_LIST)
    listing.add_argument("--json", action="store_true", help="print one JSON object a line")
    revoking = _add(tokens, "revoke", summary="take tokens back", description=_REVOKE)
    revoking.add_argument(
        "ids", type=not_empty, nargs="+", metavar="ID", help="the id of a token, as it is listed"
    )


def _add_create(tokens: Commands) -> None:
    parser = _add(
        tokens,
        "create",
        summary="make a token",
        description=_CREATE,
        epilog=_CREATE_EXAMPLES,
    )
    parser.add_argument("name", metavar="NAME", help="what you call it")
    parser.add_argument(
        "--grant",
        action="append",
        required=True,
        dest="grants",
        choices=GRANTS,
        help="what it lets somebody do; repeat it for more",
    )
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--group", metavar="GROUP", help="for the sessions of this group alone")
    scope.add_argument("--session", metavar="GROUP:ROLE", help="for this session alone")
    parser.add_argument(
        "--expires", metavar="DURATION", help="for how long it is good: 45m, 12h, 30d, 4w"
    )
    parser.add_argument("--json", action="store_true", help="print what the relay answers")


def _add(
    tokens: Commands, name: str, *, summary: str, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    parser = add_command(tokens, name, summary=summary, description=description, epilog=epilog)
    add_relay(parser)
    return parser
