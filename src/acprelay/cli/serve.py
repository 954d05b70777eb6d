"""`acprelay serve`: a relay in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from pathlib import Path

from acprelay import __version__
from acprelay.agents.catalog import parse_agent
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.policy_file import read_policy
from acprelay.cli.signals import Interrupts
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig
from acprelay.routing.policy import Policy
from acprelay.routing.service_modes import ServiceMode, Services
from acprelay.storage.state_directory import default_state_directory


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
        state_dir=_state_dir(arguments),
        policy=read_policy(Path(arguments.policy)) if arguments.policy is not None else Policy(),
        services=Services(fs=ServiceMode(arguments.fs), terminal=ServiceMode(arguments.terminal)),
    )
    return run_async(_serve(config))


def _state_dir(arguments: argparse.Namespace) -> Path | None:
    if arguments.ephemeral:
        return None
    if arguments.state_dir is not None:
        return Path(arguments.state_dir)
    return default_state_directory(os.environ)


async def _serve(config: RelayConfig) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts:
            asked_to_stop = asyncio.Event()
            async with open_relay(config) as relay:
                interrupts.appeal_to(asked_to_stop.set)
                print(_greeting(relay, config), flush=True)
                await asked_to_stop.wait()
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
    return ExitCode.OK


def _greeting(relay: RunningRelay, config: RelayConfig) -> str:
    state = config.state_dir or "in memory, gone when the relay stops"
    return f"""\
acprelay {__version__} listens on {relay.url}
  agents:     {", ".join(relay.agents)}
  state:      {state}
  try it:     acprelay run --url {relay.url} "hello"
  in editors: acprelay connect --url {relay.url}
  stop it:    Ctrl-C"""
