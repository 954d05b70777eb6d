"""`acprelay serve`: a relay in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from contextlib import ExitStack
from pathlib import Path

from acprelay import __version__
from acprelay.cli.configuration import find_config, serving
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.running_relays import RunningRelay as FoundRelay
from acprelay.cli.running_relays import announced
from acprelay.cli.signals import Interrupts
from acprelay.cli.terminal import complain
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig


def command(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes.

    Returns:
        0, once a signal came and every agent has ended.

    Raises:
        ConfigError: The options or the configuration cannot be used, or the port is taken.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    file = find_config(arguments, os.environ)
    return run_async(_serve(serving(arguments, file, os.environ), file.path))


async def _serve(config: RelayConfig, file: Path | None) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts:
            asked_to_stop = asyncio.Event()
            async with open_relay(config) as relay:
                interrupts.appeal_to(asked_to_stop.set)
                with ExitStack() as found:
                    _announce(found, relay)
                    print(_greeting(relay, config, file), flush=True)
                    await asked_to_stop.wait()
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
    return ExitCode.OK


def _announce(found: ExitStack, relay: RunningRelay) -> None:
    """Lets other commands find the relay, for as long as the stack is not left."""
    urls = dict.fromkeys((relay.public_url, relay.base_url))
    entry = FoundRelay(urls=tuple(urls), token=relay.owner_token, pid=os.getpid())
    try:
        found.enter_context(announced(entry, os.environ))
    except OSError as error:
        complain(
            f"cannot let other commands find this relay: {error.strerror or error}",
            hint="name its address with --url there, and a token with --token-file",
        )


def _greeting(relay: RunningRelay, config: RelayConfig, file: Path | None) -> str:
    state = config.state_dir or "in memory, gone when the relay stops"
    configuration = "" if file is None else f"  configured: {file}\n"
    login = relay.login_url()
    who = "  let in:     everybody who reaches it\n" if login is None else _login(login)
    return f"""\
acprelay {__version__} listens on {relay.url}
  agents:     {", ".join(relay.agents)}
  state:      {state}
{configuration}{who}\
  try it:     acprelay run --url {relay.url} "hello"
  in editors: acprelay connect --url {relay.url}
  stop it:    Ctrl-C"""


def _login(url: str) -> str:
    return f"""\
  log in:     {url}
              (once, within ten minutes; acprelay login gives another one)
"""
