"""`acprelay login`: an address that logs a browser in."""

from __future__ import annotations

import argparse
import webbrowser

from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.reaching import open_client
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
    url = run_async(_link(arguments))
    print(url, flush=True)
    if arguments.open and not webbrowser.open(url):
        complain("cannot start a browser", hint="open the address by hand")
        return ExitCode.ERROR
    return ExitCode.OK


async def _link(arguments: argparse.Namespace) -> str:
    async with open_client(arguments) as client:
        return (await client.create_login_link()).url
