"""`acprelay login`: an address that logs a browser in."""

from __future__ import annotations

import argparse
import os
import webbrowser

from acprelay.cli.api import ask
from acprelay.cli.credentials import reach_of
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.terminal import complain


def command(arguments: argparse.Namespace) -> int:
    """Prints the address, and opens it if that is wanted.

    Returns:
        0; 1 where no browser could be started.

    Raises:
        ConfigError: The options cannot be used.
        RelayError: The relay refuses.
        RelayUnreachable: The relay cannot be reached.
    """
    link = run_async(ask(reach_of(arguments, os.environ), "POST", "/login-links", {}))
    url = str(link.get("url"))
    print(url, flush=True)
    if arguments.open and not webbrowser.open(url):
        complain("cannot start a browser", hint="open the address by hand")
        return ExitCode.ERROR
    return ExitCode.OK
