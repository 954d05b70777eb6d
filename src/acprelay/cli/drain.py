"""`acprelay drain`: has a running relay stop in good order, and waits for that if it is told to."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from acprelay.cli.credentials import Reach, reach_of
from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.client.relay_client import RelayClient
from acprelay.client.stopping import DrainState
from acprelay.errors import RelayUnreachable
from acprelay.routing.draining import DrainProgress

_LOOK_S = 0.5


def command(arguments: argparse.Namespace) -> int:
    """Asks the relay, and says for whom it waits.

    Returns:
        0, once it drains; with `wait`, once it has stopped.

    Raises:
        ConfigError: The address or the token cannot be used.
        ClientError: The relay cannot be reached, or refuses.
    """
    return run_async(_drain(reach_of(arguments, os.environ), wait=arguments.wait))


async def _drain(reach: Reach, *, wait: bool) -> int:
    async with RelayClient(reach.url, token=reach.token, tls=reach.tls) as relay:
        state = await relay.drain_relay()
        told = _tell(state, None)
        while wait:
            await asyncio.sleep(_LOOK_S)
            try:
                told = _tell(await relay.get_drain(), told)
            except RelayUnreachable:
                print("the relay has stopped", file=sys.stderr)
                break
    return ExitCode.OK


def _tell(state: DrainState, told: tuple[str, ...] | None) -> tuple[str, ...]:
    """Says how far the relay is, where that is news; gives what is known then."""
    if state.waiting_for != told:
        progress = DrainProgress(waiting_for=state.waiting_for, left_s=state.left_s)
        print(progress.describe(), file=sys.stderr)
    return state.waiting_for
