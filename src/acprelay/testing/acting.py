"""Lets an actor, which does no I/O, act on a channel or on standard input and output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from acprelay.testing.channels import Channel


class Actor(Protocol):
    """One side of a conversation."""

    @property
    def exit_status(self) -> int | None:
        """What its program ends with; None while it goes on."""

    def take(self, line: bytes) -> None:
        """Takes a message of the other side's, without its newline."""

    def due(self) -> list[bytes]:
        """Gives what it says now, in order, each once."""


async def serve(actor: Actor, channel: Channel) -> None:
    """Lets an actor act until it, or the other side, ends the conversation.

    Raises:
        ConnectionError: The other side went away while it was told something.
    """
    while True:
        for line in actor.due():
            await channel.send(line)
        if actor.exit_status is not None:
            return
        received = await channel.receive()
        if received is None:
            return
        actor.take(received)


def run_on_streams(actor: Actor) -> int:
    """Lets an actor act on this process's standard input and output; gives the exit status.

    0 at the end of standard input, and once nobody reads standard output.
    """
    with suppress(BrokenPipeError):
        lines = _lines()
        while True:
            for line in actor.due():
                _write(line + b"\n")
            if actor.exit_status is not None:
                return actor.exit_status
            line = next(lines, b"")
            if not line:
                return 0
            actor.take(line.removesuffix(b"\n"))
    return 0


def _lines() -> Iterator[bytes]:
    yield from sys.stdin.buffer


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]
