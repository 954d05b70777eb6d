"""What commands have in common on the command line."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The type that `add_subparsers` returns has no public name
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8137
DEFAULT_DRAIN_S = 30.0
DEFAULT_URL = f"ws://{DEFAULT_HOST}:{DEFAULT_PORT}/acp"
FOUND = f"the relay (default: the one that you have started here, else {DEFAULT_URL})"


SIGNALLED = """\
  129  SIGHUP
  130  Ctrl-C
  143  SIGTERM"""
"""The exit codes of a command that ends what it has begun before a signal ends it."""

_EXITS = """\
exit codes:
    0  done
    1  an error: the relay refused, or could not do all of it
    2  the options cannot be used
    3  the relay cannot be reached, or went away
  130  Ctrl-C
  141  whoever read the output stopped reading"""


def add_command(
    commands: Commands, name: str, *, summary: str, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Adds a command."""
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # a name cut short would change its meaning with the next option
    )


def not_empty(text: str) -> str:
    """Takes a text that is not empty.

    An empty path would be the current directory, and an empty name another address of the relay.

    Raises:
        argparse.ArgumentTypeError: It is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def seconds(text: str) -> float:
    """Takes a time to wait, which may be none.

    Raises:
        argparse.ArgumentTypeError: It is negative, or has no end.
        ValueError: It is no number.
    """
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"cannot wait {text} seconds")
    return value


def add_url(parser: argparse.ArgumentParser, *, text: str) -> None:
    """Adds the address of a relay."""
    parser.add_argument("--url", type=not_empty, metavar="WS_URL", help=text)
    add_ca_file(parser)


def add_ca_file(parser: argparse.ArgumentParser) -> None:
    """Adds what a relay's certificate is checked by."""
    parser.add_argument(
        "--ca-file",
        type=not_empty,
        metavar="FILE",
        help="certificates in PEM that a relay's own may come from, besides those that the system "
        "trusts",
    )


def add_relay(parser: argparse.ArgumentParser, *, text: str = FOUND) -> None:
    """Adds which relay is talked to, and who says so."""
    add_url(parser, text=text)
    parser.add_argument(
        "--token-file",
        type=not_empty,
        metavar="FILE",
        help="where a token stands that says who you are (default: $ACPRELAY_TOKEN, else that of "
        "a relay that you have started here)",
    )
    if "exit codes:" not in (parser.epilog or ""):
        parser.epilog = "\n\n".join(filter(None, (parser.epilog, _EXITS)))


def add_pass_env(parser: argparse.ArgumentParser) -> None:
    """Adds what agents see of the environment."""
    parser.add_argument(
        "--pass-env",
        action="append",
        default=[],
        metavar="VARIABLE",
        help="let the agents see this variable, such as an API key, besides PATH, HOME, the locale "
        "and the like; repeat it for more",
    )


def add_worktree(parser: argparse.ArgumentParser) -> None:
    """Adds whether sessions work in worktrees."""
    parser.add_argument(
        "--worktree",
        action="store_true",
        help="work in a git worktree of the directory's repository, on a branch of its own",
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of the configuration file."""
    config = parser.add_mutually_exclusive_group()
    config.add_argument(
        "--config",
        type=not_empty,
        metavar="FILE",
        help="the configuration, in TOML; options win over it (default: "
        "$XDG_CONFIG_HOME/acprelay/config.toml or ~/.config/acprelay/config.toml, if it is there)",
    )
    config.add_argument("--no-config", action="store_true", help="read no configuration")
