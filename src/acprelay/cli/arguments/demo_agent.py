"""`acprelay demo-agent`: its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acprelay.cli.arguments.common import add_command

if TYPE_CHECKING:
    from acprelay.cli.arguments.common import Commands

_DEMO_AGENT = """\
Be an ACP agent on standard input and output that needs no key and no network.

It answers every prompt with a short turn that is always the same, and does
on request what real agents do: send it the prompt /help for a list."""


def add(commands: Commands) -> None:
    """Adds the command."""
    add_command(
        commands,
        "demo-agent",
        summary="be a demo agent on standard input and output",
        description=_DEMO_AGENT,
    )
