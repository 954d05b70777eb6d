"""Who serves files and terminals to agents, and what a client says that it can serve.

ACP, "File System" and "Terminals": an agent may ask its client to read and write files and to run
commands, where `initialize` has said that the client does. For an agent, that is the relay.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from acprelay.errors import MethodNotFound

READ = "fs/read_text_file"
WRITE = "fs/write_text_file"
TERMINAL_CREATE = "terminal/create"
TERMINAL_OUTPUT = "terminal/output"
TERMINAL_WAIT = "terminal/wait_for_exit"
TERMINAL_KILL = "terminal/kill"
TERMINAL_RELEASE = "terminal/release"

FILES = frozenset({READ, WRITE})
"""The methods for files."""

TERMINALS = frozenset(
    {TERMINAL_CREATE, TERMINAL_OUTPUT, TERMINAL_WAIT, TERMINAL_KILL, TERMINAL_RELEASE}
)
"""The methods for terminals."""

_PREFIXES = ("fs/", "terminal/")


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
    """What is served, and by whom; nothing is, unless it is said.

    Attributes:
        fs: `fs/read_text_file` and `fs/write_text_file`.
        terminal: The methods that begin with `terminal/`.
    """

    fs: ServiceMode = ServiceMode.OFF
    terminal: ServiceMode = ServiceMode.OFF

    @property
    def elsewhere(self) -> Services:
        """What is served to an agent that may be on another machine.

        Its paths and commands are not this machine's, and being let into a role is not being let
        onto this machine: the relay serves it nothing itself.
        """
        return Services(fs=_elsewhere(self.fs), terminal=_elsewhere(self.terminal))

    def mode(self, method: str) -> ServiceMode:
        """Tells who serves a method for which `is_service` holds."""
        if method in FILES:
            return self.fs
        return self.terminal if method in TERMINALS else ServiceMode.OFF


def _elsewhere(mode: ServiceMode) -> ServiceMode:
    return ServiceMode.OFF if mode is ServiceMode.RELAY else mode


NOT_SERVED = Services()
"""Neither, by anybody."""

SERVED_BY_RELAY = Services(fs=ServiceMode.RELAY, terminal=ServiceMode.RELAY)
"""Both, by the relay."""


def is_service(method: str) -> bool:
    """Whether a method belongs to files or terminals, served or not."""
    return method.startswith(_PREFIXES)


def unserved(method: str) -> MethodNotFound:
    """What an agent is told that asks for what nobody serves."""
    return MethodNotFound(method=method, hint="see clientCapabilities in the relay's initialize")


def read_offer(params: bytes | None) -> frozenset[str]:
    """Reads which of these methods a client serves; what cannot be read is not served.

    Args:
        params: The raw params of its `initialize`.
    """
    try:
        said = _member(msgspec.json.decode(params or b"null"), "clientCapabilities")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()
    files = _member(said, "fs")
    offered = {
        READ: _member(files, "readTextFile"),
        WRITE: _member(files, "writeTextFile"),
        **dict.fromkeys(TERMINALS, _member(said, "terminal")),
    }
    return frozenset(method for method, is_offered in offered.items() if is_offered is True)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
