"""What a relay is started with: values only, checked when they are made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields

from acprelay.agents.models import AgentSpec
from acprelay.errors import ConfigError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8137

_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that hold for every session and every connection.

    Attributes:
        max_frame: The most bytes that one JSON-RPC message may have, in either direction.
        history_bytes: How much of a session's public log stays in memory once its clients have it.
        unread_bytes: How far a client may fall behind before its agent's output is left in the
            pipe.
        lane_bytes: How much may wait for one client before its own messages are left in the socket.
        start_s: How long an agent may take to answer `initialize`, and again `session/new`.
        authenticate_s: How long it may take to answer `authenticate`: a person may have to log in.
        heartbeat_s: How often what sessions have done is told to the session manager.

    Raises:
        ConfigError: A bound is negative, or is zero where nothing would be let through.
    """

    max_frame: int = 64 * 1024 * 1024
    history_bytes: int = 0
    unread_bytes: int = 16 * 1024 * 1024
    lane_bytes: int = 4 * 1024 * 1024
    start_s: float = 60.0
    authenticate_s: float = 600.0
    heartbeat_s: float = 1.0

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            if value < 0 or (value == 0 and bound.name != "history_bytes"):
                raise ConfigError(
                    f"cannot use {value} as limit {bound.name}", hint="give a positive number"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Everything that `open_relay` needs to know.

    Attributes:
        host: The address to listen on; a loopback address, since there are no identities.
        port: The TCP port; 0 lets the system choose.
        agents: Which agents are offered, the default one first; none offers the demo agent.
        limits: Bounds.

    Raises:
        ConfigError: The host is no loopback address, or the port is no port.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    agents: tuple[AgentSpec, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not is_loopback(self.host):
            raise ConfigError(
                f"cannot listen on {self.host!r}: whoever reaches it could run commands here",
                hint="listen on a loopback address such as 127.0.0.1, and reach it through SSH",
                host=self.host,
            )
        if not 0 <= self.port <= _MAX_PORT:
            raise ConfigError(
                f"cannot listen on port {self.port}",
                hint=f"a port is a number from 0 to {_MAX_PORT}",
                port=self.port,
            )


def is_loopback(host: str) -> bool:
    """Whether a host name or address, as a user writes it, is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
