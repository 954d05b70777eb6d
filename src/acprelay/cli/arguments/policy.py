"""`acprelay policy`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, not_empty

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_POLICY = """\
Decide about permission requests by rules, before people are asked."""

_POLICY_CHECK = """\
Say what a policy decides about recorded permission requests, and why.

A REQUEST is a file with a session/request_permission message, or a recording
of a session with one JSON object a line: a message, or {"msg": a message}. The
tool calls' updates before a request count. Without a REQUEST, only the policy
itself is checked."""

_POLICY_CHECK_EXAMPLES = """\
examples:
  acprelay policy check --policy policy.toml
  acprelay policy check --policy policy.toml --agent claude recording.jsonl

exit codes:
    0  everything is decided, whatever that is
    2  the policy or a REQUEST cannot be used"""


def add(commands: Commands) -> None:
    """Adds the command."""
    policy = add_command(
        commands, "policy", summary="try out rules for permissions", description=_POLICY
    )
    parser = add_command(
        policy.add_subparsers(dest="policy_command", metavar="COMMAND", required=True),
        "check",
        summary="say what a policy decides, and why",
        description=_POLICY_CHECK,
        epilog=_POLICY_CHECK_EXAMPLES,
    )
    parser.add_argument(
        "requests", nargs="*", metavar="REQUEST", help="a recording; - stands for standard input"
    )
    parser.add_argument(
        "--policy", required=True, type=not_empty, metavar="FILE", help="the rules, in TOML"
    )
    parser.add_argument(
        "--agent",
        default="",
        metavar="NAME",
        help="the agent that asks; without it no rule about agents applies",
    )
    parser.add_argument(
        "--role",
        default="main",
        metavar="ROLE",
        help="the role of the agent that asks (default: %(default)s)",
    )
    parser.add_argument(
        "--cwd",
        type=not_empty,
        metavar="DIR",
        help="the directory that paths are relative to (default: what the recording says, else "
        "this one)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
