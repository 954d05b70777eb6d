"""`acprelay drain`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_DRAIN = """\
Let a running relay stop in good order.

It begins nothing new, tells its clients, gives turns that run their time, and
ends. What SIGTERM does, for whoever has no way to send one. It takes a token
that may manage everything."""

_DRAIN_EXAMPLES = """\
examples:
  acprelay drain
  acprelay drain --wait"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "drain",
        summary="let a running relay stop in good order",
        description=_DRAIN,
        epilog=_DRAIN_EXAMPLES,
    )
    add_relay(parser)
    parser.add_argument(
        "--wait", action="store_true", help="return once the relay has stopped, and not before"
    )
