"""What can be typed after `acprelay`.

It imports no command: a command's module is imported when it is chosen, so that `acprelay
demo-agent`, which is started once for every session, starts fast.
"""

from __future__ import annotations

import argparse

from acprelay import __version__
from acprelay.cli.arguments import (
    agents,
    config,
    connect,
    demo_agent,
    doctor,
    drain,
    events,
    invite,
    join,
    login,
    permissions,
    policy,
    run,
    serve,
    sessions,
    token,
    transcript,
    worktrees,
)

_COMMANDS = (
    *(serve, drain, run, sessions, worktrees),
    *(transcript, permissions, events),
    *(connect, invite, join),
    *(token, login),
    *(agents, policy, config, doctor, demo_agent),
)
"""In the order of the help."""

_MAIN = """\
A relay for coding agents that speak the Agent Client Protocol (ACP).

It owns the agents and lets clients reach them over WebSocket and HTTP."""

_MAIN_EXAMPLES = """\
examples:
  acprelay run "hello"        ask the demo agent, which needs no key
  acprelay serve              start a relay that offers the demo agent
  acprelay agents             list the agents that can be started here
  acprelay serve --agent claude --agent gemini
  acprelay COMMAND --help     say more about a command"""


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser; what it parses has `command`, the name of the chosen command."""
    parser = argparse.ArgumentParser(
        prog="acprelay",
        description=_MAIN,
        epilog=_MAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # a name cut short would change its meaning with the next option
    )
    parser.add_argument("--version", action="version", version=f"acprelay {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
