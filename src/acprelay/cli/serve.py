"""`acprelay serve`: a relay in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from acprelay import __version__
from acprelay.cli.configuration import find_config, serving
from acprelay.cli.descriptors import raise_soft_limit
from acprelay.cli.drain_view import DrainView
from acprelay.cli.exits import ExitCode
from acprelay.cli.logs import set_up_logs
from acprelay.cli.loop import run_async
from acprelay.cli.running_relays import announced
from acprelay.cli.service_manager import ServiceManager
from acprelay.cli.signals import Interrupts
from acprelay.cli.terminal import complain
from acprelay.client.own_relays import OwnRelay
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig

_COLLECT_AFTER = (20_000, 20, 20)
"""So many more objects than before, or so many times as often for those that are older."""


def command(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes, or a drain is asked for.

    Turns that run then get their time. A second signal ends everything at once.

    Returns:
        0, once that is so and every agent has ended.

    Raises:
        ConfigError: The options or the configuration cannot be used, or the port is taken.
    """
    raise_soft_limit()
    configured = find_config(arguments, os.environ)
    set_up_logs(form=configured["log-format"], level=configured["log-level"])
    return run_async(_serve(serving(arguments, configured, os.environ), configured.file))


async def _serve(config: RelayConfig, file: Path | None) -> int:
    interrupts = Interrupts()
    try:
        async with (
            interrupts,
            ServiceManager.of(os.environ) as manager,
            open_relay(config) as relay,
            AsyncExitStack() as found,
        ):
            _collect_seldom()
            interrupts.appeal_to(relay.draining.begin)
            _announce(found, relay)
            print(_greeting(relay, config, file, is_kept=manager.is_there), flush=True)
            manager.ready(f"serving on {relay.url}")
            await relay.draining.begun()
            manager.stopping()
            view = DrainView(
                screen=sys.stderr, again="press Ctrl-C again to end at once", manager=manager
            )
            await view.show(relay.draining.progressing())
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
    return ExitCode.OK


def _collect_seldom() -> None:
    """Has garbage collected seldom, and never among what the relay has begun with.

    Nothing else happens while all objects are looked at, and there are hundreds of thousands; those
    that messages leave behind go by their reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _announce(found: AsyncExitStack, relay: RunningRelay) -> None:
    """Lets other commands find the relay, for as long as the stack is not left."""
    urls = dict.fromkeys((relay.public_url, relay.base_url))
    entry = OwnRelay(urls=tuple(urls), token=relay.owner_token, pid=os.getpid())
    try:
        found.enter_context(announced(entry, os.environ))
    except OSError as error:
        complain(
            f"cannot let other commands find this relay: {error.strerror or error}",
            hint="name its address with --url there, and a token with --token-file",
        )


def _greeting(relay: RunningRelay, config: RelayConfig, file: Path | None, *, is_kept: bool) -> str:
    state = config.state_dir or "in memory, gone when the relay stops"
    configuration = "" if file is None else f"  configured: {file}\n"
    if relay.owner_token is None:
        who = "  let in:     everybody who reaches it\n"
    elif is_kept:  # others may read journals, and whoever logs in first is the owner
        who = "  log in:     by the address that acprelay login gives\n"
    else:
        who = _login(relay.login_url() or "")
    return f"""\
acprelay {__version__} listens on {relay.url}
  agents:     {", ".join(relay.agents)}
  state:      {state}
{configuration}{who}\
  try it:     acprelay run --url {relay.url} "hello"
  in editors: acprelay connect --url {relay.url}
  API:        {relay.base_url}/api/v1/docs
  stop it:    Ctrl-C"""


def _login(url: str) -> str:
    return f"""\
  log in:     {url}
              (once, within ten minutes; acprelay login gives another one)
"""
