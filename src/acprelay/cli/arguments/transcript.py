"""`acprelay transcript`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay, not_empty

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_TRANSCRIPT = """\
Show what was said in a session so far. Nothing is started for it.

People see who said what, and which tools were called; --json gives every
message as clients get it, with its position."""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands, "transcript", summary="show what was said in a session", description=_TRANSCRIPT
    )
    parser.add_argument(
        "session", type=not_empty, metavar="SESSION", help="the session, GROUP:ROLE"
    )
    add_relay(parser)
    parser.add_argument(
        "--after", metavar="POSITION", help="only what follows this position, GENERATION:SEQ"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
