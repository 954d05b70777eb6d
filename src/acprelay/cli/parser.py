"""What can be typed after `acprelay`.

It imports no command: a command's module is imported when it is chosen, so that `acprelay
demo-agent`, which is started once for every session, starts fast.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from acprelay import __version__
from acprelay.cli.exits import EXIT_CODES

if TYPE_CHECKING:
    # The type that `add_subparsers` returns has no public name
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8137
DEFAULT_URL = f"ws://{DEFAULT_HOST}:{DEFAULT_PORT}/acp"

_MAIN = """\
A relay for coding agents that speak the Agent Client Protocol (ACP).

It owns the agents and lets clients reach them over WebSocket."""

_MAIN_EXAMPLES = """\
examples:
  acprelay run "hello"        ask the demo agent, which needs no key
  acprelay serve              start a relay that offers the demo agent
  acprelay serve --agent claude='npx @agentclientprotocol/claude-agent-acp'
  acprelay COMMAND --help     say more about a command"""

_SERVE = """\
Start a relay and serve until SIGTERM or Ctrl-C.

The first signal lets the agents end, and the exit code is 0. The second one
ends at once."""

_SERVE_EXAMPLES = """\
examples:
  acprelay serve
  acprelay serve --port 9000 --agent claude='claude-agent-acp'"""

_RUN = """\
Send one prompt and print the answer as it comes.

Standard output holds the text of the agent's messages and nothing else.
Thoughts, plans and tool calls are shown on standard error where that is a
terminal. Without --url, a relay is started for the one turn and ends with it."""

_RUN_EXAMPLES = """\
examples:
  acprelay run "hello"
  acprelay run --agent claude='claude-agent-acp' "explain this project"
  acprelay run --url ws://127.0.0.1:8137/acp "hello" > answer.txt

exit codes:
"""

_CONNECT = """\
Be an ACP agent on standard input and output, whose other end is a relay.

Give this command to an editor as its agent command. Every line of standard
input becomes one WebSocket message, and the other way round, unchanged. When
standard input ends, open requests have a few seconds to be answered."""

_CONNECT_EXAMPLES = """\
exit codes:
    0  standard input ended, or SIGTERM came
    1  an error
    2  the options cannot be used
    3  the relay cannot be reached, or went away; requests that wait for it
       are answered with an error
  130  Ctrl-C
  141  whoever read the output stopped reading"""

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

_DEMO_AGENT = """\
Be an ACP agent on standard input and output that needs no key and no network.

It answers every prompt with a short turn that is always the same, and does
on request what real agents do: send it the prompt /help for a list."""


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser; what it parses has `command`, the name of the chosen command."""
    parser = argparse.ArgumentParser(
        prog="acprelay",
        description=_MAIN,
        epilog=_MAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"acprelay {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_run(commands)
    _add_connect(commands)
    _add_policy(commands)
    _add_command(
        commands,
        "demo-agent",
        summary="be a demo agent on standard input and output",
        description=_DEMO_AGENT,
    )
    return parser


def _add_serve(commands: _Commands) -> None:
    parser = _add_command(
        commands,
        "serve",
        summary="start a relay",
        description=_SERVE,
        epilog=_SERVE_EXAMPLES,
    )
    parser.add_argument(
        "--host",
        default=DEFAULT_HOST,
        help="the loopback address to listen on (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="the TCP port; 0 lets the system choose (default: %(default)s)",
    )
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        dest="agents",
        metavar="NAME='COMMAND ...'",
        help="offer an agent; repeat it for more; the first one is the default one "
        "(default: the demo agent)",
    )
    _add_pass_env(parser)
    state = parser.add_mutually_exclusive_group()
    state.add_argument(
        "--state-dir",
        metavar="DIR",
        help="where conversations are stored (default: $XDG_STATE_HOME/acprelay, or "
        "~/.local/state/acprelay)",
    )
    state.add_argument(
        "--ephemeral",
        action="store_true",
        help="store nothing: conversations are kept in memory, and gone when the relay stops",
    )
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="rules that decide about permissions before anybody is asked (see acprelay policy)",
    )


def _add_run(commands: _Commands) -> None:
    parser = _add_command(
        commands,
        "run",
        summary="send one prompt and print the answer",
        description=_RUN,
        epilog=_RUN_EXAMPLES + _exit_codes(),
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what to say to the agent")
    _add_url(parser, default=None, text="the relay to use (default: one of its own)")
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        dest="agents",
        metavar="NAME[='COMMAND ...']",
        help="the agent to use; with a command, the relay of its own offers it",
    )
    _add_pass_env(parser)
    parser.add_argument(
        "--cwd", metavar="DIR", help="the directory the agent works in (default: this one)"
    )
    parser.add_argument(
        "--permission",
        choices=("ask", "allow", "reject"),
        default="ask",
        help="how the agent's permission requests are answered; ask needs a terminal and rejects "
        "without one (default: %(default)s)",
    )


def _add_connect(commands: _Commands) -> None:
    parser = _add_command(
        commands,
        "connect",
        summary="be an agent whose other end is a relay",
        description=_CONNECT,
        epilog=_CONNECT_EXAMPLES,
    )
    _add_url(parser, default=DEFAULT_URL, text="the relay to use (default: %(default)s)")
    parser.add_argument("--agent", metavar="NAME", help="the agent to use, if not the default one")
    parser.add_argument("--role", metavar="ROLE", help="the role of the sessions that are opened")
    parser.add_argument("--session", metavar="ID", help="the session id of those sessions")


def _add_policy(commands: _Commands) -> None:
    policy = _add_command(
        commands, "policy", summary="try out rules for permissions", description=_POLICY
    )
    parser = _add_command(
        policy.add_subparsers(dest="policy_command", metavar="COMMAND", required=True),
        "check",
        summary="say what a policy decides, and why",
        description=_POLICY_CHECK,
        epilog=_POLICY_CHECK_EXAMPLES,
    )
    parser.add_argument(
        "requests", nargs="*", metavar="REQUEST", help="a recording; - stands for standard input"
    )
    parser.add_argument("--policy", required=True, metavar="FILE", help="the rules, in TOML")
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
        metavar="DIR",
        help="the directory that paths are relative to (default: what the recording says, else "
        "this one)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _add_url(parser: argparse.ArgumentParser, *, default: str | None, text: str) -> None:
    parser.add_argument("--url", default=default, metavar="WS_URL", help=text)


def _add_pass_env(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pass-env",
        action="append",
        default=[],
        metavar="VARIABLE",
        help="let the agents see this variable, such as an API key, besides PATH, HOME, the locale "
        "and the like; repeat it for more",
    )


def _add_command(
    commands: _Commands, name: str, *, summary: str, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _exit_codes() -> str:
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
