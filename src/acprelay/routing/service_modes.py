"""Who serves files and terminals to agents.

ACP, "File System" and "Terminals": an agent may ask its client to read and write files and to run
commands, where `initialize` has said that the client does. For an agent, that is the relay.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ServiceMode(StrEnum):
    """Who serves one of them."""

    OFF = "off"
    """Nobody: the agent is told so when it is initialised, and gets -32601 if it asks."""
    RELAY = "relay"
    """The relay, inside the session's directory; so it works with no client attached."""
    CLIENT = "client"
    """A client that says it can, the turn's owner first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What is served, and by whom.

    Attributes:
        fs: `fs/read_text_file` and `fs/write_text_file`.
        terminal: The methods that begin with `terminal/`.
    """

    fs: ServiceMode = ServiceMode.OFF
    terminal: ServiceMode = ServiceMode.OFF
