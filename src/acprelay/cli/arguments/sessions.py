"""`acprelay sessions`: its options and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command, add_relay, add_worktree, not_empty

if TYPE_CHECKING:
    import argparse

    from acprelay.cli.arguments.common import Commands

_SESSIONS = """\
Look after the sessions of a relay.

A session is named GROUP:ROLE. Where NAME is a GROUP, all of its sessions are
meant."""

_LIST = """\
List sessions, the one that changed last first.

A session is live while a run of its agent serves it, and dormant otherwise: the
next prompt takes it up again."""

_SHOW = """\
Show everything that the relay tells of sessions."""

_NEW = """\
Open one or many sessions on one task, each with a role of its own.

Nobody is attached to them: prompt them with any client. A session that cannot
be opened leaves the others alone."""

_NEW_EXAMPLES = """\
examples:
  acprelay sessions new --role main
  acprelay sessions new login --worktree --role auth=claude --role db=codex

exit codes:
    0  all of them are open
    1  one or more could not be opened
    2  the options cannot be used
    3  the relay cannot be reached, or went away"""

_STOP = """\
End the runs of sessions: turns are cancelled, agents ended. The conversations
and their worktrees stay; the next prompt begins a new run."""

_REMOVE = """\
Remove sessions with their history, and end their runs. Worktrees stay: see
acprelay worktrees."""

_JSON = "print one JSON object a line"


def add(commands: Commands) -> None:
    """Adds the command."""
    sessions = add_command(
        commands, "sessions", summary="list, show, open, stop and remove", description=_SESSIONS
    ).add_subparsers(dest="sessions_command", metavar="COMMAND", required=True)
    _add_list(sessions)
    _add_show(sessions)
    _add_new(sessions)
    _add_ending(sessions, "stop", summary="end the runs of sessions", description=_STOP)
    _add_ending(sessions, "remove", summary="remove sessions", description=_REMOVE)


def _add_list(sessions: Commands) -> None:
    parser = _add(sessions, "list", summary="list sessions", description=_LIST)
    parser.add_argument("--group", metavar="GROUP", help="only those of this group")
    parser.add_argument("--cwd", type=not_empty, metavar="DIR", help="only those of this directory")


def _add_show(sessions: Commands) -> None:
    parser = _add(sessions, "show", summary="show sessions", description=_SHOW)
    parser.add_argument(
        "names", type=not_empty, nargs="+", metavar="NAME", help="a session or a group"
    )


def _add_new(sessions: Commands) -> None:
    parser = _add(sessions, "new", summary="open sessions", description=_NEW, epilog=_NEW_EXAMPLES)
    parser.add_argument(
        "group", nargs="?", metavar="GROUP", help="their group, new or not (default: a new one)"
    )
    parser.add_argument(
        "--role",
        action="append",
        required=True,
        dest="roles",
        metavar="ROLE[=AGENT]",
        help="a role, and its agent if that is not the default one; repeat it for more",
    )
    add_worktree(parser)
    parser.add_argument(
        "--cwd",
        type=not_empty,
        metavar="DIR",
        help="the directory they work in (default: this one)",
    )


def _add_ending(sessions: Commands, name: str, *, summary: str, description: str) -> None:
    parser = _add(sessions, name, summary=summary, description=description)
    parser.add_argument(
        "names", type=not_empty, nargs="+", metavar="NAME", help="a session or a group"
    )


def _add(
    sessions: Commands, name: str, *, summary: str, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    parser = add_command(sessions, name, summary=summary, description=description, epilog=epilog)
    add_relay(parser)
    parser.add_argument("--json", action="store_true", help=_JSON)
    return parser
