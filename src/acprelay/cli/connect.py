"""`acprelay connect`: an ACP agent on standard input and output whose other end is a relay."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace

from acprelay.cli.bridge import Bridge
from acprelay.cli.credentials import Reach, reach_of
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.signals import Interrupts
from acprelay.cli.stdio import STANDARD_INPUT, STANDARD_OUTPUT, InputLines, Output
from acprelay.client.addresses import endpoint
from acprelay.client.websocket import open_socket
from acprelay.errors import RelayError


def command(arguments: argparse.Namespace) -> int:
    """Passes messages on until standard input ends or a signal comes.

    Returns:
        0, also after SIGTERM; 130 after SIGINT.

    Raises:
        ConfigError: The address cannot be used.
        RelayUnreachable: The relay cannot be reached, or went away.
        RequestRefused: The relay does not take the connection.
        BrokenPipeError: Nobody reads standard output any more.
    """
    reach = reach_of(arguments, os.environ)
    url = endpoint(
        reach.url,
        agent=arguments.agent,
        role=arguments.role,
        session=arguments.session,
        worktree=arguments.worktree,
    )
    return run_async(_connect(replace(reach, url=url)))


async def _connect(reach: Reach) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts, Output(descriptor=STANDARD_OUTPUT) as output:
            bridge = Bridge(lines=InputLines(descriptor=STANDARD_INPUT), output=output)
            while not await _pass_on(bridge, reach, interrupts):
                if not await bridge.first_line():
                    break
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
    return ExitCode.INTERRUPTED if interrupts.signal == signal.SIGINT else ExitCode.OK


async def _pass_on(bridge: Bridge, reach: Reach, interrupts: Interrupts) -> bool:
    """Passes messages on; tells whether that is all.

    It is not where the relay would not wait any longer for an editor that says nothing: some start
    their agents long before they need them.
    """
    connected = False
    try:
        async with open_socket(reach.url, token=reach.token, tls=reach.tls) as socket:
            connected = True
            interrupts.appeal_to(bridge.stop)
            await bridge.run(socket)
    except RelayError as error:
        if connected and bridge.is_silent and not sys.stdin.isatty():
            return False
        # A person who typed the command sends no request, and need not wait for the reason.
        await bridge.refuse(error, await_first=not connected and not sys.stdin.isatty())
        raise
    return True
