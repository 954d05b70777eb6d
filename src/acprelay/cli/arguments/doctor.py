"""`acprelay doctor`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import SIGNALLED, add_command
from acprelay.cli.arguments.serve import add_options

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_DOCTOR = """\
Check whether this machine is ready for a relay, and say what to do.

It looks at Python, git, the configuration, the state directory, the agents,
the port, the disk, the bounds of the system and the like. It changes nothing,
and takes the options of serve."""

_DOCTOR_EXAMPLES = f"""\
examples:
  acprelay doctor
  acprelay doctor --probe      start every agent that is offered

exit codes:
    0  nothing fails; there may be warnings
    1  something fails
    2  the options cannot be used
{SIGNALLED}"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "doctor",
        summary="check this machine",
        description=_DOCTOR,
        epilog=_DOCTOR_EXAMPLES,
    )
    parser.add_argument(
        "--probe", action="store_true", help="start each agent that is offered, and end it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_options(parser)
