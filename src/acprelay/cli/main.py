"""The entry point: parse, run the chosen command, turn errors into a line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from acprelay.cli.exits import ExitCode
from acprelay.cli.parser import build_parser
from acprelay.cli.terminal import complain
from acprelay.errors import ConfigError, RelayError, RelayUnreachable

_DEBUG = "ACPRELAY_DEBUG"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: What was typed after `acprelay`; the process's own arguments where it is None.

    Returns:
        The exit code.

    Raises:
        SystemExit: `--help` or `--version` was asked for, or the arguments cannot be parsed.
    """
    _open_missing_streams()
    arguments = build_parser().parse_args(argv)
    try:
        return _execute(arguments)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return ExitCode.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last place where an error can become a line
        return _report(error)


def _execute(arguments: argparse.Namespace) -> int:
    """Imports the command's module, and it alone, and runs it."""
    module = importlib.import_module(f"acprelay.cli.{arguments.command.replace('-', '_')}")
    command: Callable[[argparse.Namespace], int] = module.command
    _take_interrupts()
    return command(arguments)


def _take_interrupts() -> None:
    """Makes Ctrl-C an exception again; `acprelay.cli.entry` has left it to the system."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _open_missing_streams() -> None:
    """Gives a process that was started without a standard stream one that leads nowhere.

    Opening takes the lowest descriptor that is free, which is the stream's own; otherwise a socket
    would get it, and what is meant for the stream with it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open while it runs


def _report(error: Exception) -> int:
    """Says on standard error what went wrong, and gives the exit code for it."""
    match error:
        case RelayError():
            complain(error.message, hint=error.hint, quoted=str(error.fields.get("stderr", "")))
        case FileNotFoundError() if _is_nowhere():
            complain(
                "cannot go on: the current directory is gone", hint="change to another one with cd"
            )
        case OSError():
            complain(f"cannot go on: {error.strerror or error}")
        case _ if os.environ.get(_DEBUG):
            raise error
        case _:
            complain(
                f"cannot go on: {type(error).__name__}: {error}",
                hint=f"this is a defect of acprelay; with {_DEBUG}=1 it shows where",
            )
    return _exit_code(error)


def _is_nowhere() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _exit_code(error: Exception) -> ExitCode:
    match error:
        case ConfigError():
            return ExitCode.USAGE
        case RelayUnreachable():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.ERROR


def _discard_output() -> None:
    """Keeps the interpreter's last flush from failing on a pipe that nobody reads."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
