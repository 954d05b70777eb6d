"""`acprelay run`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import (
    add_command,
    add_config,
    add_pass_env,
    add_relay,
    add_worktree,
    not_empty,
)
from acprelay.cli.exits import EXIT_CODES

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_RUN = """\
Send one prompt and print the answer as it comes.

Standard output holds the text of the agent's messages and nothing else.
Thoughts, plans and tool calls are shown on standard error where that is a
terminal. Without --url, a relay is started for the one turn and ends with it."""

_RUN_EXAMPLES = """\
examples:
  acprelay run "hello"
  acprelay run --agent claude "explain this project"
  acprelay run --agent mine='my-agent --acp' "explain this project"
  acprelay run --url ws://127.0.0.1:8137/acp "hello" > answer.txt

exit codes:
"""


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "run",
        summary="send one prompt and print the answer",
        description=_RUN,
        epilog=_RUN_EXAMPLES + _exit_codes(),
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what to say to the agent")
    add_relay(parser, text="the relay to use (default: one of its own)")
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        dest="agents",
        metavar="NAME[='COMMAND ...']",
        help="the agent to use; a relay of its own offers it, if acprelay agents lists it or a "
        "command is given",
    )
    add_pass_env(parser)
    add_config(parser)
    parser.add_argument(
        "--cwd",
        type=not_empty,
        metavar="DIR",
        help="the directory the agent works in (default: this one)",
    )
    add_worktree(parser)
    parser.add_argument(
        "--permission",
        choices=("ask", "allow", "reject"),
        default="ask",
        help="how the agent's permission requests are answered; ask needs a terminal and rejects "
        "without one (default: %(default)s)",
    )


def _exit_codes() -> str:
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
