"""`acprelay transcript`: what was said in a session, to read or to process."""

from __future__ import annotations

import argparse
import json

from acprelay.cli.exits import ExitCode
from acprelay.cli.loop import run_async
from acprelay.cli.reaching import open_client
from acprelay.cli.terminal import harmless
from acprelay.cli.transcript_view import TranscriptView


def command(arguments: argparse.Namespace) -> int:
    """Prints a transcript.

    Returns:
        0.

    Raises:
        ConfigError: The options cannot be used.
        RelayError: The relay answered with an error.
        RelayUnreachable: The relay cannot be reached, or went away.
    """
    return run_async(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    view = TranscriptView()
    async with open_client(arguments) as client:
        async for entry in client.read_transcript(arguments.session, after=arguments.after):
            if arguments.json:
                print(json.dumps({"position": entry.position, "message": entry.message}))
            else:
                for line in view.lines(entry.message):
                    print(harmless(line))
    if not arguments.json:
        for line in view.rest():
            print(harmless(line))
    return ExitCode.OK
