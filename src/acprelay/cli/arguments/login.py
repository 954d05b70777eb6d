"""`acprelay login`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_LOGIN = """\
Print an address that logs a browser in, once and within ten minutes. The
browser may do what the token may that asks for it."""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "login",
        summary="get an address that logs a browser in",
        description=_LOGIN,
    )
    add_relay(parser)
    parser.add_argument("--open", action="store_true", help="open it in a browser, too")
