"""`acprelay events`: what happens in a relay, line by line."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal

from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.reaching import open_client
from acprelay.cli.session_texts import local_time
from acprelay.cli.signals import Interrupts
from acprelay.cli.terminal import one_line
from acprelay.client import RelayEvent


def command(arguments: argparse.Namespace) -> int:
    """Prints events until a signal comes.

    Returns:
        0, also after SIGTERM; 130 after SIGINT.

    Raises:
        ConfigError: The options cannot be used.
        RelayError: The relay answered with an error.
        RelayUnreachable: The relay cannot be reached, or is away for too long.
        BrokenPipeError: Nobody reads standard output any more.
    """
    return run_async(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts, open_client(arguments) as client:
            async for event in client.stream_events(
                after=arguments.after, session=arguments.session, group=arguments.group
            ):
                print(_as_json(event) if arguments.json else _as_line(event), flush=True)
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
    return ExitCode.INTERRUPTED if interrupts.signal == signal.SIGINT else ExitCode.OK


def _as_json(event: RelayEvent) -> str:
    return json.dumps(
        {
            "id": event.id,
            "event": event.kind,
            "sessionId": event.session_id,
            "at": event.at,
            **event.facts,
        }
    )


def _as_line(event: RelayEvent) -> str:
    facts = " ".join(f"{name}={_fact(value)}" for name, value in event.facts.items())
    time = "-" if event.at is None else local_time(event.at)
    return one_line(f"{time}  {event.session_id or '-'}  {event.kind}  {facts}").rstrip()


def _fact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
