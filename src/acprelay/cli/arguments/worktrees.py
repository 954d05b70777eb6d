"""`acprelay worktrees`: its options and its help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import SIGNALLED, add_command, not_empty

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_WORKTREES = """\
Look at the worktrees that roles have worked in, merge their work, remove them.

A NAME is session_id:role, the worktree's branch, or a session id that has one
worktree. No relay is needed: it all is in the repository."""

_LIST = """\
List the worktrees of a repository, and what is in each.

COMMITS counts those since the worktree was made. WORK says what would be lost
with the worktree: commits that are on no branch but acprelay's own, and
uncommitted changes."""

_DIFF = """\
Show what has changed in worktrees since they were made, as a patch.

Uncommitted changes are in it. Untracked files are not, but are named after it."""

_MERGE = """\
Merge the branches of worktrees into the branch that is checked out.

The project's tree must have no uncommitted changes. Where there is a conflict,
nothing is merged and the tree is as it was. The worktrees stay."""

_REMOVE = """\
Remove worktrees, with their branches.

One that holds unmerged commits or uncommitted changes is removed only if it is
named, and --force is given. One that an agent or a process works in is never
removed.
Ignored files go with the worktree."""

_EXAMPLES = """\
examples:
  acprelay worktrees list
  acprelay worktrees diff 5f3a:db | less
  acprelay worktrees merge 5f3a:db && acprelay worktrees remove 5f3a:db
  acprelay worktrees remove --merged"""

_EXIT_CODES = f"""

exit codes:
    0  done
    1  it cannot be done, and nothing has changed, but for what is said before
    2  the options cannot be used
{SIGNALLED}"""


def add(commands: Commands) -> None:
    """Adds the command."""
    worktrees = add_command(
        commands,
        "worktrees",
        summary="list, compare, merge and remove the worktrees of roles",
        description=_WORKTREES,
        epilog=_EXAMPLES + _EXIT_CODES,
    )
    actions = worktrees.add_subparsers(dest="worktrees_command", metavar="COMMAND", required=True)
    listing = add_command(actions, "list", summary="list them", description=_LIST)
    _add_common(listing)
    diff = add_command(actions, "diff", summary="show their changes", description=_DIFF)
    _add_names(diff, "+")
    _add_common(diff)
    merge = add_command(actions, "merge", summary="merge their work", description=_MERGE)
    _add_names(merge, "+")
    _add_common(merge)
    remove = add_command(actions, "remove", summary="remove them", description=_REMOVE)
    _add_names(remove, "*")
    remove.add_argument(
        "--merged", action="store_true", help="remove all whose commits are merged, and no other"
    )
    remove.add_argument(
        "--force", action="store_true", help="lose the work in those that are named"
    )
    _add_common(remove)


def _add_names(parser: argparse.ArgumentParser, number: str) -> None:
    parser.add_argument("names", nargs=number, metavar="NAME", help="a worktree")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-C", "--repo"),
        dest="repo",
        default=".",
        type=not_empty,
        metavar="DIR",
        help="a directory of the project (default: this one)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
