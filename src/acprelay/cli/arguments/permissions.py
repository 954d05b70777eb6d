"""`acprelay permissions`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay, not_empty

if TYPE_CHECKING:
    import argparse

    from acprelay.cli.arguments.common import Commands

_PERMISSIONS = """\
See what agents wait for somebody to allow, and answer."""

_LIST = """\
List the permissions that wait for an answer, with the options that each offers.

What an agent wants to do is its own claim."""

_ANSWER = """\
Answer a permission with one of the options that it offers. The first answer
decides, whoever gives it."""

_EXAMPLES = """\
examples:
  acprelay permissions list
  acprelay permissions answer ASK allow
  acprelay permissions answer ASK --cancel"""


def add(commands: Commands) -> None:
    """Adds the command."""
    permissions = add_command(
        commands,
        "permissions",
        summary="list and answer what agents ask for",
        description=_PERMISSIONS,
    ).add_subparsers(dest="permissions_command", metavar="COMMAND", required=True)
    parser = _add(permissions, "list", summary="list permissions", description=_LIST)
    parser.add_argument("--session", metavar="SESSION", help="only those of this session")
    parser.add_argument("--group", metavar="GROUP", help="only those of this group")
    parser = _add(
        permissions, "answer", summary="answer a permission", description=_ANSWER, epilog=_EXAMPLES
    )
    parser.add_argument(
        "ask", type=not_empty, metavar="ASK", help="the permission, as the list names it"
    )
    parser.add_argument("option", nargs="?", metavar="OPTION", help="the option to choose")
    parser.add_argument("--cancel", action="store_true", help="choose none of its options")


def _add(
    permissions: Commands, name: str, *, summary: str, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    parser = add_command(permissions, name, summary=summary, description=description, epilog=epilog)
    add_relay(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser
