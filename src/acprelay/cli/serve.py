"""`acprelay serve`: a relay in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from pathlib import Path

from acprelay import __version__
from acprelay.cli.configuration import find_config, serving
from acprelay.cli.descriptors import raise_soft_limit
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.signals import Interrupts
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
    raise_soft_limit()
    configured = find_config(arguments, os.environ)
    return run_async(_serve(serving(arguments, configured, os.environ), configured.file))


async def _serve(config: RelayConfig, file: Path | None) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts:
            asked_to_stop = asyncio.Event()
            async with open_relay(config) as relay:
                interrupts.appeal_to(asked_to_stop.set)
                print(_greeting(relay, config, file), flush=True)
                await asked_to_stop.wait()
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
    return ExitCode.OK


def _greeting(relay: RunningRelay, config: RelayConfig, file: Path | None) -> str:
    state = config.state_dir or "in memory, gone when the relay stops"
    configuration = "" if file is None else f"  configured: {file}\n"
    return f"""\
acprelay {__version__} listens on {relay.url}
  agents:     {", ".join(relay.agents)}
  state:      {state}
{configuration}\
  try it:     acprelay run --url {relay.url} "hello"
  in editors: acprelay connect --url {relay.url}
  stop it:    Ctrl-C"""
