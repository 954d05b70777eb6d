"""`acprelay events`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_EVENTS = """\
Watch what happens in a relay, until Ctrl-C: sessions that open and end, turns,
permissions, notices, agents that join.

A connection that is lost is made again. What came in between is told as well,
or that it is lost."""

_EXIT_CODES = """\
exit codes:
    0  SIGTERM or SIGHUP came
    1  an error: the relay refused
    2  the options cannot be used
    3  the relay cannot be reached, or is away for too long
  130  Ctrl-C
  141  whoever read the output stopped reading"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "events",
        summary="watch what happens in a relay",
        description=_EVENTS,
        epilog=_EXIT_CODES,
    )
    add_relay(parser)
    parser.add_argument("--session", metavar="SESSION", help="only those of this session")
    parser.add_argument("--group", metavar="GROUP", help="only those of this group")
    parser.add_argument(
        "--after", metavar="ID", help="begin behind this event, as its id has it (default: now)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
