"""`acprelay serve`: a relay in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging

from acprelay import __version__
from acprelay.agents.catalog import parse_agent
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
        ConfigError: The options cannot be used, or the port is taken.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = RelayConfig(
        host=arguments.host,
        port=arguments.port,
        agents=tuple(
            parse_agent(option, pass_env=arguments.pass_env) for option in arguments.agents
        ),
    )
    return run_async(_serve(config))


async def _serve(config: RelayConfig) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts:
            asked_to_stop = asyncio.Event()
            async with open_relay(config) as relay:
                interrupts.appeal_to(asked_to_stop.set)
                print(_greeting(relay), flush=True)
                await asked_to_stop.wait()
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
    return ExitCode.OK


def _greeting(relay: RunningRelay) -> str:
    return f"""\
acprelay {__version__} listens on {relay.url}
  agents:     {", ".join(relay.agents)}
  try it:     acprelay run --url {relay.url} "hello"
  in editors: acprelay connect --url {relay.url}
  stop it:    Ctrl-C"""
